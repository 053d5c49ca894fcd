"""A second opinion on compositions of licences, from the record files alone and by another way.

Where `synthgen.licenses` collects findings and takes the worst, this asks from the top: does anything forbid it, is
anything unknown, is anything in doubt, does anything set a condition. It shares no code with it and parses no
expression: compositions come as trees. A term is a tuple of ids that apply together; an asset has one, or a choice.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

SCALE = ("deny", "unknown", "review", "conditional", "allow")
ASKED = {
    "internal": ("run",),
    "research": ("run", "output_publish"),
    "commercial": ("run_commercial", "output_commercial"),
    "dataset-release": ("output_publish", "output_train_ml"),
    "service": ("run_commercial", "hosted_service"),
    "medical-evaluation": ("run", "output_train_ml"),
}
GOES_OUT = {"output_publish", "output_commercial", "redistribute_adapter"}
MODELS = {"base", "adapter", "control"}


@dataclass(frozen=True)
class Item:
    """One asset, flat: what it was trained on stands beside it."""

    kind: str
    name: str
    choices: tuple[tuple[str, ...], ...]  # terms, one of which may be chosen
    ends: str = ""
    consent: bool = False
    owner: bool = False


@dataclass(frozen=True)
class Question:
    use: str
    lenient: bool
    day: date
    revenue: int | None
    registered: frozenset[str]
    waived: frozenset[str]
    trains: str


class Oracle:
    def __init__(self, folder: Path) -> None:
        tables = [tomllib.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.toml")]
        self.table: dict[str, dict[str, Any]] = {table["id"]: table for table in tables}

    def says(self, items: list[Item], question: Question) -> tuple[str, frozenset[str]]:
        """The answer, and the conditions that stand under every licence that was chosen."""
        facts = [(item, license) for item in items for license in self.pick(item, question)]
        rights = ASKED[question.use]
        told = [self.row(item, license, right, question) for item, license in facts for right in rights]
        answers = {answer for answer, _ in told}
        answers |= {self.term(item, right, question) for item in items for right in rights}
        answers |= {"review" for item, license in facts if self.nobodys(item, license) and set(rights) - {"run"}}
        answers |= self.people(items, question) | self.contested(facts, question) | self.alike(facts, question)
        conditions = frozenset(text for _, texts in told for text in texts)
        return next(level for level in SCALE if level in answers), conditions

    def pick(self, item: Item, question: Question) -> tuple[str, ...]:
        """The term with the best answer, then the fewest conditions, then the least share-alike, then by name."""

        def badness(term: tuple[str, ...]) -> tuple[int, int, int, tuple[str, ...]]:
            rows = [self.row(item, license, right, question) for license in term for right in ASKED[question.use]]
            texts = {text.partition(": ")[2] for _, held in rows for text in held}
            alike = sum(1 for license in term if self.table.get(license, {}).get("share_alike"))
            return -min(SCALE.index(answer) for answer, _ in rows), len(texts), alike, term

        return min(item.choices, key=badness)

    def row(self, item: Item, license: str, right: str, question: Question) -> tuple[str, frozenset[str]]:
        if license not in self.table:
            return "unknown", frozenset()
        table = self.table[license]
        if question.revenue is not None and question.revenue > table.get("revenue_threshold_usd", float("inf")):
            answer, tags = "deny", set()
        else:
            rows = table["rights"]
            special = rows.get(f"output_train_{question.trains}") if right == "output_train_ml" else None
            answer, tags = self.plain(special or rows.get(right, {}))
        void = {"register"} if license in question.registered else set()
        void |= {"revenue_limit"} if question.revenue is not None else set()
        void |= {"share_alike"} if item.kind in MODELS and right.startswith("output_") else set()
        tags -= void
        if answer == "conditional" and not tags:
            answer = "allow"
        texts = frozenset(f"{license}: {table['conditions'][tag]}" for tag in tags)
        if question.lenient and table.get("binds") == "copyright":
            if item.kind == "photos" and answer in ("deny", "conditional"):
                return {"deny": "review", "conditional": "allow"}[answer], frozenset()
            if item.kind == "poses" and answer not in ("allow", "unknown"):
                return "conditional", frozenset({f"{license}: credit the source of the pose"})
        return answer, texts

    def plain(self, row: dict[str, Any]) -> tuple[str, set[str]]:
        return row.get("answer", "unknown"), set(row.get("conditions", ()))

    def term(self, item: Item, right: str, question: Question) -> str:
        if not item.ends:
            return "allow"
        try:
            over = date.fromisoformat(item.ends) < question.day
        except ValueError:
            return "unknown"
        return ("review" if right == "run" else "deny") if over else "allow"

    def people(self, items: list[Item], question: Question) -> set[str]:
        silent = {item.kind for item in items if not item.consent}
        shares = GOES_OUT & set(ASKED[question.use])
        doubt = ("reference" in silent and shares) or ("photos" in silent and question.use == "medical-evaluation")
        return {"review"} if doubt else set()

    def nobodys(self, item: Item, license: str) -> bool:
        return license == "LicenseRef-own" and item.kind != "adapter" and not item.owner

    def contested(self, facts: list[tuple[Item, str]], question: Question) -> set[str]:
        if question.use != "medical-evaluation":
            return set()
        forbidding = {name for name, table in self.table.items() if "medical_advice" in table["prohibited_uses"]}
        at_issue = {name for _, name in facts} & forbidding
        return {"conditional" if name in question.waived else "review" for name in at_issue}

    def alike(self, facts: list[tuple[Item, str]], question: Question) -> set[str]:
        found: set[str] = set()
        bound = [
            (item, self.table[name])
            for item, name in facts
            if name in self.table
            and not (
                question.lenient and item.kind in ("photos", "poses") and self.table[name].get("binds") == "copyright"
            )
        ]
        for right in GOES_OUT & set(ASKED[question.use]):
            demands = [
                set(table["share_alike"])
                for item, table in bound
                if table.get("share_alike") and (item.kind not in MODELS or right == "redistribute_adapter")
            ]
            if demands and not set.intersection(*demands):
                found.add("deny")
            restricting = {table["id"] for _, table in bound if table["prohibited_uses"]}
            if any(restricting - demand for demand in demands):
                found.add("review")
        return found
