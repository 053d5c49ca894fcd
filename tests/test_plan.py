"""Plans: balanced for any count, the same for the same request, and never two jobs alike in name."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen import plan, recipes
from synthgen.domains import apparel
from synthgen.errors import RequestError, UnknownName
from synthgen.types import AdapterUse, Recipe


def recipe(**axes: int) -> Recipe:
    values = {axis: tuple(f"{axis}{number}" for number in range(size)) for axis, size in axes.items()}
    return Recipe("toy", "apparel", "a photo", "", values, {"size": 64}, {})


def say(requested) -> str:
    return ", ".join(requested.values())


def request(count: int, seed: int = 0, **axes: int) -> plan.Request:
    return plan.Request(recipe(**(axes or {"pose": 3, "place": 4})), count, seed)


def shares(jobs, axes) -> list[Counter]:
    return [Counter(job.requested[axis] for job in jobs) for axis in axes]


sizes = st.dictionaries(st.sampled_from("abcdefg"), st.integers(1, 9), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(1, 70), st.integers(-3, 3))
def test_every_value_comes_within_one_of_its_even_share_for_any_count(axes, count, seed):
    jobs = plan.jobs(request(count, seed, **axes), say)
    assert len(jobs) == count
    for (_, size), seen in zip(axes.items(), shares(jobs, axes), strict=True):
        assert sum(seen.values()) == count
        numbers = [*seen.values(), *[0] * (size - len(seen))]
        assert max(numbers) - min(numbers) <= 1
        assert all(abs(number - count / size) < 1 for number in numbers)


@settings(max_examples=25, deadline=None)
@given(sizes, st.integers(1, 40), st.integers(0, 9))
def test_the_same_request_gives_the_same_jobs_and_another_seed_others(axes, count, seed):
    first, again = plan.jobs(request(count, seed, **axes), say), plan.jobs(request(count, seed, **axes), say)
    assert first == again
    other = plan.jobs(request(count, seed + 1, **axes), say)
    assert not {job.id for job in first} & {job.id for job in other}


def test_pairs_are_full_when_the_count_is_their_product():
    jobs = plan.jobs(request(12, pose=3, place=4), say)
    assert len({(job.requested["pose"], job.requested["place"]) for job in jobs}) == 12


def test_pairs_are_as_even_as_the_count_allows():
    axes = {"pose": 9, "body": 4, "skin": 10, "age": 3, "hair": 10, "place": 6, "view": 3}
    jobs = plan.jobs(request(500, **axes), say)
    worst = 0.0
    for one, two in itertools.combinations(axes, 2):
        seen = Counter((job.requested[one], job.requested[two]) for job in jobs)
        even = 500 / (axes[one] * axes[two])
        numbers = [*seen.values(), *[0] * (axes[one] * axes[two] - len(seen))]
        worst = max(worst, max(numbers) - even, even - min(numbers))
    assert worst <= 2.0  # with shares as even but pairs left to chance, the worst is 10 to 15 away


def test_a_plan_of_500_takes_less_than_a_second_and_a_half_of_work():
    whole = plan.Request(recipes.load("apparel"), 500, subject="a sks shirt", category="shirt")
    begin = time.process_time()
    plan.jobs(whole, lambda wanted: apparel.prompt(whole.recipe, wanted, whole.subject), apparel.labels)
    assert time.process_time() - begin < 1.5


def test_a_job_holds_its_prompt_its_labels_and_those_that_follow_from_them():
    whole = plan.Request(recipes.load("apparel"), 7, subject="a sks shirt", category="shirt")
    for job in plan.jobs(whole, lambda wanted: apparel.prompt(whole.recipe, wanted, whole.subject), apparel.labels):
        assert list(job.requested)[: len(whole.recipe.axes)] == list(whole.recipe.axes)
        assert job.requested["hair"] == f"{job.requested['hair_style']} {job.requested['hair_colour']}"
        assert job.category == "shirt"
        assert "a sks shirt" in job.prompt and job.requested["pose"].replace("-", " ") in job.prompt


def test_ids_and_seeds_are_distinct_and_seeds_survive_a_csv_reader():
    jobs = plan.jobs(request(800), say)
    assert len({job.id for job in jobs}) == len({job.seed for job in jobs}) == 800
    assert all(len(job.id) == 16 and int(job.id, 16) >= 0 for job in jobs)
    assert all(0 <= job.seed < 2**53 and int(float(job.seed)) == job.seed for job in jobs)
    assert max(job.seed for job in jobs) > 2**52
    assert [job.index for job in jobs] == list(range(800))


def test_the_digest_follows_everything_that_changes_the_pictures():
    use = AdapterUse("shirts", Path("adapters/shirts"), 1.0)
    first = dataclasses.replace(request(10), adapters=(use,))
    changed = [
        dataclasses.replace(first, count=11),
        dataclasses.replace(first, seed=1),
        dataclasses.replace(first, base="sdxl"),
        dataclasses.replace(first, subject="a sks shirt"),
        dataclasses.replace(first, adapters=()),
        dataclasses.replace(first, adapters=(dataclasses.replace(use, weight=0.8),)),
        dataclasses.replace(first, hashes={"shirts": "ab" * 32}),
        dataclasses.replace(first, only={"pose": ("pose0",)}),
        dataclasses.replace(first, recipe=dataclasses.replace(first.recipe, settings={"size": 128})),
        dataclasses.replace(first, recipe=dataclasses.replace(first.recipe, prompt="another")),
    ]
    digests = {plan.digest(item) for item in [first, *changed]}
    assert len(digests) == len(changed) + 1
    assert all(len(digest) == 8 and int(digest, 16) >= 0 for digest in digests)


def test_the_digest_does_not_follow_where_files_lie():
    near = dataclasses.replace(request(10), adapters=(AdapterUse("shirts", Path("/a/shirts")),))
    far = dataclasses.replace(request(10), adapters=(AdapterUse("shirts", Path("/b/shirts")),))
    assert plan.digest(near) == plan.digest(far)


def test_only_keeps_an_axis_to_its_values():
    whole = dataclasses.replace(request(9, pose=5, place=4), only={"pose": ("pose4", "pose1")})
    seen = Counter(job.requested["pose"] for job in plan.jobs(whole, say))
    assert sorted(seen.items()) == [("pose1", 5), ("pose4", 4)] or sorted(seen.items()) == [("pose1", 4), ("pose4", 5)]


@pytest.mark.parametrize(
    ("only", "text"),
    [
        ({"poes": ("pose1",)}, "pipeline 'toy' has no 'poes'; did you mean 'pose'"),
        ({"pose": ("pos1",)}, "axis 'pose' of pipeline 'toy' has no 'pos1'; did you mean 'pose1'"),
        ({"pose": ()}, "axis 'pose' of pipeline 'toy' has no value left"),
    ],
)
def test_only_with_an_unknown_name_offers_the_nearest(only, text):
    with pytest.raises(RequestError, match=text):
        plan.jobs(dataclasses.replace(request(9), only=only), say)


def test_only_is_read_from_the_command_line():
    assert plan.parse_only(["pose=walking, sitting", "place=beach", "pose=leaning"]) == {
        "pose": ("walking", "sitting", "leaning"),
        "place": ("beach",),
    }
    for text in ("pose", "pose=", "=walking", "pose=,"):
        with pytest.raises(RequestError, match="AXIS=VALUE"):
            plan.parse_only([text])
    assert issubclass(UnknownName, RequestError)


@pytest.mark.parametrize("count", [0, -1, True, "ten", 2.5, 10**7])
def test_a_count_that_is_no_number_of_pictures_is_refused(count):
    with pytest.raises(RequestError, match="wanted a whole number of pictures"):
        plan.digest(dataclasses.replace(request(1), count=count))


def test_a_retry_keeps_the_job_and_its_root_and_draws_a_new_seed():
    job = plan.jobs(request(1), say)[0]
    second, third = plan.retry(job), plan.retry(plan.retry(job))
    assert (second.attempt, third.attempt) == (1, 2)
    assert (second.prompt, second.requested, second.index) == (job.prompt, job.requested, job.index)
    assert {plan.root(item.id) for item in (job, second, third)} == {job.id}
    assert len({item.id for item in (job, second, third)}) == len({item.seed for item in (job, second, third)}) == 3
    assert third.seed < 2**53
    assert plan.retry(job) == second


def test_cells_count_every_value():
    jobs = plan.jobs(request(8, pose=2, place=4), say)
    assert plan.cells(jobs) == {
        "pose": {"pose0": 4, "pose1": 4},
        "place": {"place0": 2, "place1": 2, "place2": 2, "place3": 2},
    }
