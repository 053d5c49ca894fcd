"""What each family of bases can do, as a page: docs/families.md.

    python docs/families.py --write

Every cell follows from what the family's file declares, and names the test that shows it; tests/test_families_page.py
holds that this test is there for this family and runs in `make test`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthgen import bases, rooms
from synthgen.bases._family import Family

PAGE = Path(__file__).with_name("families.md")
BASES, LAYOUTS, BITS, SHOWN = (
    f"tests/contracts/test_{name}.py" for name in ("bases", "lora_layouts", "few_bits", "references")
)
SINGLE = "tests/bases/test_single_file.py"

TOLD = """\
Weights that each can be named by, with licence and memory: `synthgen list bases`, `synthgen show base NAME`. Turbo,
schnell, distilled klein and the like draw, and are refused for training. The test of each column, which runs in
`make test` for every family that does not say no:
"""


@dataclass(frozen=True)
class Column:
    """One capability: what a family's file says of it, and the test that shows it."""

    name: str
    told: Callable[[Any], str]
    file: str
    test: str
    way: str = ""  # what stands beside the family's name among the test's parameters


def _always(family: Any) -> str:
    return "yes"


def _pose(family: Any) -> str:
    return "yes" if family.CONTROLLED else "no ControlNet"


def _several(family: Any) -> str:
    if not family.CONTROLLED:
        return "no ControlNet"
    return "several at once" if family.SEVERAL and family.TIMED else "one at a time"


def _references(family: Any) -> str:
    return "yes" if family.REFERENCE else "no"


def _photos(family: Any) -> str:
    if family.into(False, 0):
        return "yes"
    return "by mask" if family.into(True, 0) else "no"


def _single(family: Any) -> str:
    return "yes" if type(family).claims_file is not Family.claims_file else "no: name a diffusers folder"


COLUMNS = (
    Column("train", _always, BASES,
           "test_the_adapter_loads_whole_in_the_unmodified_pipeline_and_does_there_what_it_does_here"),
    Column("generate", _always, BASES, "test_pictures_are_those_of_the_unmodified_pipeline_to_the_last_bit"),
    Column("pose", _pose, BASES, "test_steered_pictures_are_those_of_the_unmodified_pipeline_to_the_last_bit"),
    Column("conditions", _several, BASES,
           "test_several_conditions_are_those_of_the_unmodified_pipeline_each_with_its_own_scale_and_steps"),
    Column("references", _references, SHOWN,
           "test_pictures_by_references_are_those_of_the_unmodified_pipeline_to_the_last_bit"),
    Column("into photos", _photos, BASES,
           "test_drawing_into_a_photo_is_the_unmodified_pipeline_and_keeps_what_the_mask_leaves_out", "kinds0-True"),
    Column("blend", _always, BASES, "test_a_run_with_two_adapters_resumes_to_the_same_pictures_and_verifies"),
    Column("4 bits", _always, BITS, "test_it_trains_and_the_adapter_is_a_plain_one", "4bit"),
    Column("one file", _single, SINGLE, "test_a_file_can_be_trained_on_and_its_adapter_draws"),
    Column("kohya in", _always, LAYOUTS,
           "test_a_file_of_each_tool_comes_in_with_no_key_lost_and_at_its_strength", "kohya"),
    Column("kohya out", _always, LAYOUTS, "test_ours_goes_out_in_the_kohya_layout_at_the_same_strength"),
)  # fmt: skip


def rows() -> dict[str, list[str]]:
    """Family -> its cells."""
    return {name: [column.told(bases.family(name)) for column in COLUMNS] for name in rooms.members("bases")}


def backing(family: str) -> list[str]:
    """The tests, as pytest names them, of every cell of a family that says more than no."""
    found = []
    for column, cell in zip(COLUMNS, rows()[family], strict=True):
        if not cell.startswith("no"):
            found.append(f"{column.file}::{column.test}[{'-'.join(filter(None, (family, column.way)))}]")
    return found


def page() -> str:
    """The page."""
    lines = ["# Families of bases", "", "Made by `python docs/families.py --write`.", ""]
    lines += [f"| family | {' | '.join(column.name for column in COLUMNS)} |", "| --- " * (len(COLUMNS) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in rows().items()]
    lines += ["", *TOLD.splitlines(), ""]
    lines += [f"- {column.name}: `{column.file}`, `{column.test}`" for column in COLUMNS]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="Write docs/families.md; else print it.")
    if parser.parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
