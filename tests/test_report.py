"""The report: the same numbers in page and JSON, validity told apart, and a page that people can use."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from marked_run import marker, run
from report_browser import browser
from test_evaluate import write_predictions, write_set

Synthgen = Callable[..., Any]
__all__ = ["browser", "marker", "run"]  # fixtures, taken from where they are shared


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation of two sets of coloured squares, with everything but what takes training."""
    from synthgen import evaluate

    place = tmp_path_factory.mktemp("evaluated")
    for name, each, seed in (("a", 40, 1), ("b", 40, 2), ("real", 80, 3)):
        write_set(place / name, each, seed)
    write_predictions(place / "said.csv", *(place / name for name in ("a", "b", "real")))
    evaluate.run(
        evaluate.EvaluateRequest(
            (place / "a", place / "b"), place / "real", (str(place / "said.csv"),), candidates=3, steps=2,
            extractors=("judge",), seeds=1,
        )
    )  # fmt: skip
    return place / "a-evaluation"


def numbers(value: Any) -> set[str]:
    """Every number of a document as a page may say it, to three places."""
    if isinstance(value, dict):
        return set().union(*map(numbers, value.values()))
    if isinstance(value, list):
        return set().union(*map(numbers, value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {f"{value:.3f}"}
    return set()


def test_page_and_json_have_the_same_numbers(evaluated: Path) -> None:
    html = (evaluated / "report.html").read_text()
    document = json.loads((evaluated / "results.json").read_text())
    said = set(re.findall(r"(?<![\d.])-?\d+\.\d{3}(?!\d)", re.sub(r"<svg.*?</svg>|data:\S+", "", html, flags=re.S)))
    curves = [
        sum(curve[place] for curve in judged["curves"].values()) / len(judged["curves"])
        for found in document["evaluation"]["classifiers"].values()
        for judged in (found["synthetic"], found["real"])
        for place in range(21)
    ]
    assert len(said) > 80
    assert said <= numbers(document) | numbers(curves)


def test_the_json_is_typed(synthgen: Synthgen, run: Path, evaluated: Path) -> None:
    import jsonschema

    assert synthgen("report", run).code == 0
    for folder, name in ((evaluated, "results.json"), (run, "report.json")):
        types = json.loads((folder / "report.schema.json").read_text())
        jsonschema.Draft202012Validator.check_schema(types)
        document = json.loads((folder / name).read_text())
        jsonschema.validate(document, types)
        document["runs"] = [{"name": 3}]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(document, types)


def test_the_page_stands_alone(evaluated: Path) -> None:
    html = (evaluated / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:image/jpeg|#)[^"']*""", html)
    assert "@import" not in html and "url(" not in html
    assert all(word in html for word in ("a is no run of synthgen", "Not measured", "said", "no membership test"))


def test_a_run_has_a_report_and_what_is_wrong_with_it_is_told(synthgen: Synthgen, run: Path) -> None:
    code, out, err = synthgen("report", run)
    assert (code, out) == (0, f"{run / 'report.html'}\n"), err
    document = json.loads((run / "report.json").read_text())
    facts = document["runs"][0]
    assert [check["passed"] for check in facts["checks"][:5]] == [True] * 5
    assert facts["labels"]["pose"] == {"sitting": 4, "walking": 4}
    assert document["evaluation"] is None and "no evaluation was made" in " ".join(document["not_measured"])
    assert facts["rights"]["verdict"] == "allow" and facts["origin"]["base"]["id"] == "mini"
    picture = next((run / "images").iterdir())
    picture.write_bytes(picture.read_bytes() + b"x")
    told = json.loads(synthgen("report", run, "--json").out)["runs"][0]["checks"]
    failed = [check for check in told if check["passed"] is False]
    assert [check["name"] for check in failed] == ["every picture is as it was written"]
    assert picture.name in failed[0]["detail"] and "FAILED" in (run / "report.html").read_text()


def test_an_evaluation_goes_into_the_report_of_its_own_runs_only(
    synthgen: Synthgen, run: Path, evaluated: Path
) -> None:
    code, out, err = synthgen("report", run, "--evaluation", evaluated)
    assert (code, out) == (2, "") and "an evaluation of a, b" in err
    code, out, err = synthgen("report", run, "--evaluation", run)
    assert (code, out) == (2, "") and "is no result of this synthgen's `evaluate`" in err
    code, out, err = synthgen("report", evaluated)
    assert (code, out) == (2, "") and "is no run of synthgen" in err


@pytest.fixture
def page(browser: Any, evaluated: Path) -> Any:
    """The report in a browser without a network; what goes wrong in it fails the test."""
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto((evaluated / "report.html").as_uri())
    yield opened
    context.close()
    assert wrong == []


def test_a_click_on_a_filter_leaves_only_its_pictures(page: Any) -> None:
    gallery = page.locator("#pictures")
    whole = gallery.locator("figure:visible").count()
    group = gallery.get_by_role("group", name="category")
    group.get_by_label(re.compile("red")).click()
    shown = gallery.locator("figure:visible")
    assert 0 < shown.count() < whole
    assert {shown.nth(place).locator("img").get_attribute("alt") for place in range(shown.count())} == {"red"}
    assert gallery.get_by_role("status").inner_text() == f"{shown.count()} of {whole} pictures"
    gallery.get_by_role("group", name="tone").get_by_label(re.compile("dark")).click()
    assert 0 < gallery.locator("figure:visible").count() < shown.count() + 1
    group.get_by_label("all").click()
    gallery.get_by_role("group", name="tone").get_by_label("all").click()
    assert gallery.locator("figure:visible").count() == whole


def test_the_keyboard_reaches_and_moves_a_filter(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip the contents"
    first = page.locator("#pictures input").first
    first.focus()
    before = page.locator("#pictures figure:visible").count()
    page.keyboard.press("ArrowRight")
    assert page.locator("#pictures figure:visible").count() < before


def test_a_screen_reader_is_told_what_everything_is(page: Any) -> None:
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    assert page.locator("svg:not([role=img]), svg[aria-label='']").count() == 0
    assert page.locator("table:not(:has(caption))").count() == 0
    assert page.locator("th:not([scope])").count() == 0
    assert page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id).length == "
                         "new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size")  # fmt: skip
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])")
    assert levels[0] == 1 and all(after - before <= 1 for before, after in itertools.pairwise(levels))
    targets = page.evaluate("[...document.querySelectorAll('nav a')].map(a => !!document.querySelector(a.hash))")
    assert len(targets) >= 6 and all(targets)


def test_it_fits_a_phone_and_paper(page: Any, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.emulate_media(media="print")
    assert page.locator("#pictures .filters").is_hidden() and page.locator("nav").is_hidden()
    assert page.locator("#pictures figure").first.is_visible()
    paper = page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert paper.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", paper)) >= 3


def test_what_is_folded_opens_by_keyboard_and_is_whole_on_paper(page: Any) -> None:
    folded = page.locator("details:not([open])")
    assert folded.count() > 0
    first = folded.first.locator("summary")
    inside = folded.first.locator("table, figure, fieldset").first
    assert inside.is_hidden()
    first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details:not([open])").count() < page.locator("details").count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0


def test_keypoints_are_no_label_to_map_or_to_filter_by(two_runs: tuple[Path, Path]) -> None:
    from synthgen.report import facts, pictures

    run = two_runs[0]
    told = facts.of_run(run)
    assert "keypoints" not in {*told.labels, *told.many_valued}
    assert all("keypoints" not in (item.rows, item.columns) for item in told.coverage)
    shown = pictures([run], "")
    assert len(shown) == told.made and all("keypoints" not in item.labels for item in shown)
    assert all("pose" in item.labels for item in shown)


def test_pictures_got_wrong_are_filtered_by_every_label(page: Any) -> None:
    wrong = page.locator("#wrong-0")
    assert [wrong.get_by_role("group", name=name).count() for name in ("truth", "taken for", "tone")] == [1, 1, 1]
    whole = wrong.locator("figure:visible").count()
    wrong.get_by_role("group", name="tone").get_by_label(re.compile("dark")).click()
    assert 0 < wrong.locator("figure:visible").count() < whole
