"""The verdict against a second opinion that was written apart from it, on random compositions."""

from __future__ import annotations

import random
from datetime import date

from license_oracle import ASKED, Item, Oracle, Question

from synthgen import licenses, resources
from synthgen.types import Asset

COMPOSITIONS = 10_000
STABILITY = "LicenseRef-scancode-stability-ai-community-2024"
RAILS = ("LicenseRef-synthgen-OpenRAIL++-M", "LicenseRef-scancode-stable-diffusion-2022-08-22")
UNHEARD = ("Homemade-1.0", "GPL-2.0-only WITH Classpath-exception-2.0")


def composition(draw: random.Random, names: list[str]) -> tuple[list[Asset], list[Item]]:
    """The same random assets twice: nested, with their expressions in words, and flat, as trees."""
    flat: list[Item] = []

    def asset(kind: str) -> Asset:
        choices = tuple(
            tuple(draw.sample(names, draw.choice((1, 1, 1, 2)))) for _ in range(draw.choice((1, 1, 1, 2, 3)))
        )
        sides = [" AND ".join(term) for term in choices]
        words = sides[0] if len(sides) == 1 else " OR ".join(f"({side})" for side in sides)
        ends = draw.choice(("", "", "", "2026-01-01", "2027-03-31", "soon"))
        name, consent, owner = f"{kind}-{len(flat)}", draw.random() < 0.6, "Acme" if draw.random() < 0.6 else ""
        flat.append(Item(kind, name, choices, ends, consent, bool(owner)))
        learned = tuple(asset("photos") for _ in range(draw.randint(0, 2))) if kind == "adapter" else ()
        return Asset(
            kind, name, words, trained_on=learned, expires=ends, owner=owner, consent="ethics-1" if consent else ""
        )

    kinds = draw.choices(("base", "adapter", "photos", "poses", "reference", "control"), k=draw.randint(1, 4))
    return [asset(kind) for kind in kinds], flat


def question(draw: random.Random) -> Question:
    return Question(
        use=draw.choice(list(ASKED)),
        lenient=draw.random() < 0.4,
        day=draw.choice((date(2025, 6, 1), date(2026, 11, 24), date(2027, 4, 1))),
        revenue=draw.choice((None, None, 400_000, 1_000_000, 3_000_000)),
        registered=frozenset({STABILITY} if draw.random() < 0.3 else ()),
        waived=frozenset(name for name in RAILS if draw.random() < 0.3),
        trains=draw.choice(("", "", *licenses.TRAINED)),
    )


def asked(assets: list[Asset], about: Question) -> licenses.Verdict:
    circumstances = licenses.Circumstances(
        "lenient" if about.lenient else "strict",
        about.revenue,
        tuple((name, "R-1") for name in about.registered),
        tuple((name, "W-1") for name in about.waived),
        about.trains,
    )
    return licenses.clear(assets, about.use, about.day, circumstances)


def test_a_second_opinion_agrees_on_ten_thousand_random_compositions() -> None:
    draw = random.Random(20261124)
    oracle = Oracle(resources.shipped("licenses"))
    names = [*oracle.table, *UNHEARD]
    seen: dict[tuple[str, str], int] = {}
    for number in range(COMPOSITIONS):
        assets, items = composition(draw, names if draw.random() < 0.3 else draw.sample(names, 4))
        about = question(draw)
        verdict = asked(assets, about)
        answer, conditions = oracle.says(items, about)
        assert verdict.answer == answer, (number, about, assets, verdict.reasons)
        told = {text for text in verdict.conditions if "waiver" not in text}
        assert told == conditions, (number, about, assets)
        seen[about.use, answer] = seen.get((about.use, answer), 0) + 1
    kinds = {(use, answer) for use in licenses.USES for answer in licenses.ANSWERS}
    assert kinds == set(seen), f"never seen: {sorted(kinds - set(seen))}"
