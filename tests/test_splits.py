"""No seed and no pose straddles two splits, and what does straddle is told."""

from __future__ import annotations

import random

import pytest

from synthgen import splits
from synthgen.errors import RequestError


def keys(count: int, poses: int, adapters: int = 1) -> list[dict[str, str]]:
    return [
        {"seed": str(at), "pose": f"p{at % poses}", "adapter": f"a{at // poses % adapters}", "prompt": f"t{at % 7}"}
        for at in range(count)
    ]


def test_no_pose_straddles_and_shares_are_near() -> None:
    items = keys(400, 40)
    groups = splits.groups(items)
    labels = ["a" if at % 3 else "b" for at in range(400)]
    chosen = splits.assign(groups, labels, splits.parse("80/10/10"))
    assert splits.shared(items, chosen).keys() <= {"adapter", "prompt"}
    for name, part in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert abs(chosen.count(name) / 400 - part) < 0.06
        assert {label for label, split in zip(labels, chosen, strict=True) if split == name} == {"a", "b"}


def test_order_does_not_change_who_belongs_together() -> None:
    items = keys(60, 9)
    mixed = list(range(60))
    random.Random(3).shuffle(mixed)
    again = splits.groups([items[at] for at in mixed])
    assert [again[mixed.index(at)] for at in range(60)] == splits.groups(items)


def test_adapters_group_where_that_leaves_groups_small_and_are_told_where_not() -> None:
    apart = [
        {**item, "pose": f"{item['pose']}{at % 10}", "adapter": f"a{at % 10}"} for at, item in enumerate(keys(100, 50))
    ]
    grouped = splits.groups(apart)
    assert all(len({apart[at]["adapter"] for at in range(100) if grouped[at] == name}) == 1 for name in set(grouped))
    assert len(set(grouped)) == 10
    crossed = keys(100, 10, adapters=2)
    chosen = splits.assign(splits.groups(crossed), ["x"] * 100, splits.parse("80/20"))
    assert splits.shared(crossed, chosen)["adapter"] == 2 and "pose" not in splits.shared(crossed, chosen)


@pytest.mark.parametrize("text", ["", "a/b", "80", "-1/2", "0/0/0", "nan/1", "1/2/3/4", "inf/1/1"])
def test_parts_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(RequestError, match="wanted parts"):
        splits.parse(text)


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(RequestError, match="too few"):
        splits.assign(["g", "g"], ["a", "a"], splits.parse("1/1"))


def test_keys_held_small_group_and_tell_as_those_they_were_made_of() -> None:
    items = [{**item, "photo": ""} for item in keys(200, 10, adapters=3)]
    held = splits.Keys(items)
    assert splits.groups(held) == splits.groups(items)
    chosen = ["train" if at % 3 else "test" for at in range(200)]
    assert splits.shared(held, chosen) == splits.shared(items, chosen) != {}
    assert held[7]["seed"] == "7" and held[7]["prompt"] == held[0]["prompt"] != held[1]["prompt"]
