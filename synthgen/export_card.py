"""README.md of an export: what is in it, how it is opened, what its labels mean, what may be done with it."""

from __future__ import annotations

import json

from synthgen import __version__
from synthgen.export_set import ExportSet


def readme(export: ExportSet, format_name: str, load: str) -> str:
    """A data-set card in Markdown with the YAML head that Hugging Face reads.

    load  Python that opens this format from inside its folder
    """
    parts = [
        _head(export, format_name),
        f"# {export.name}\n\n{len(export.pictures)} synthetic pictures, made with synthgen {__version__}. Format: "
        f"{format_name}. The class is `{export.label}`.",
        f"## Open it\n\nFrom inside this folder:\n\n```python\n{load.strip()}\n```",
        _counts(export),
        _labels(export),
        _splits(export),
        _rights(export),
        "## Limits\n\nNo picture shows a real person or a real patient. Not for diagnosis. Accuracy measured on these "
        "pictures is not accuracy on real ones until that was shown.",
        "## Check it\n\n`sha256sum -c checksums.sha256` in this folder. `manifest.json` ties every picture to its "
        "lineage, its file's sha256 and its pixels' sha256.",
    ]
    return "\n\n".join(parts) + "\n"


def _head(export: ExportSet, format_name: str) -> str:
    """The YAML head; JSON texts are YAML texts. Where files lie is said for parquet alone, the others are found."""
    lines = [
        "license: other",
        f"license_name: {json.dumps(' / '.join(export.licenses))}",
        "license_link: LICENSE",
        f"pretty_name: {json.dumps(export.name, ensure_ascii=False)}",
        "task_categories:",
        "- image-classification",
        "tags:",
        "- synthetic",
    ]
    if format_name == "parquet":
        lines += ["configs:", "- config_name: default", "  data_files:"]
        for split in export.splits:
            lines += [f"  - split: {split}", f"    path: data/{split}-*.parquet"]
    return "\n".join(["---", *lines, "---"])


def _counts(export: ExportSet) -> str:
    counts, names = export.counts, list(export.splits)
    rows = [f"| {export.label} | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for label in export.classes:
        numbers = " | ".join(str(counts[label, name]) for name in names)
        rows.append(f"| {_cell(label)} | {numbers} |")
    made = [f"`{run['name']}` ({run['made']} of {run['count']} planned, plan {run['plan']})" for run in export.runs]
    return "## What is in it\n\n" + "\n".join(rows) + f"\n\nFrom: {', '.join(made)}."


def _labels(export: ExportSet) -> str:
    asked = [f"`{name}`" for name in export.columns if name.startswith("requested_")]
    measured = [f"`{name}`" for name in export.columns if name.startswith("measured_")]
    return (
        "## Labels\n\nWhat was asked for and what was found are columns apart. "
        f"Asked for: {', '.join(asked) or 'nothing'}. Measured in the picture: {', '.join(measured) or 'nothing'}. "
        "The class is what was asked for. `group` names pictures that belong in one split."
    )


def _splits(export: ExportSet) -> str:
    if len(export.splits) == 1:
        return "## Splits\n\nOne, `train`. `group` says what must stay together if you split it yourself."
    still = ", ".join(f"{count} {key}(s)" for key, count in export.shared.items())
    return (
        "## Splits\n\nPictures of one group, which share a seed or a pose, are in one split. Still shared "
        f"between splits: {still or 'nothing that is recorded'}."
    )


def _rights(export: ExportSet) -> str:
    verdict = export.verdict
    lines = [f"- {reason}" for reason in verdict.reasons]
    lines += [f"- on condition: {text}" for text in verdict.conditions]
    return (
        f"## Rights\n\nAsked for the use `{verdict.use}`, the licence records answer: **{verdict.answer}**. See "
        "LICENSE, NOTICE and ATTRIBUTION. Not legal advice.\n\n" + "\n".join(lines)
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
