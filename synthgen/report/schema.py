"""The JSON Schema of the document, read from the dataclasses that it is made of, so that the two cannot differ."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from synthgen.evaluators.accuracy import Difference, Judged
from synthgen.evaluators.fidelity import Fidelity
from synthgen.evaluators.leakage import Leakage
from synthgen.evaluators.ranking import Ranking
from synthgen.evaluators.utility import Utility
from synthgen.report.facts import RunFacts

PLAIN = {str: "string", bool: "boolean", int: "integer"}
TEXT: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}
WHOLE: dict[str, Any] = {"type": "integer"}


def schema(name: str) -> dict[str, Any]:
    """The schema (2020-12) of report.json and results.json. `name` is what the documents call it."""
    classifier = _object(
        kind=TEXT, sha256=TEXT, classes=_list(TEXT), synthetic=of(Judged), real=of(Judged),
        difference=_by_name(of(Difference)), wrong=WHOLE,
        failures=_list(_object(run=TEXT, file=TEXT, truth=TEXT, choice=TEXT, score=NUMBER)),
    )  # fmt: skip
    leaks = _object(
        reason=TEXT, found=_or_null(of(Leakage)),
        closest=_list(_object(run=TEXT, file=TEXT, real=TEXT, distance=NUMBER)),
    )  # fmt: skip
    evaluation = _object(
        label=TEXT, classes=_list(TEXT), sets=_object(synthetic=WHOLE, real=WHOLE),
        candidates=_object(count=WHOLE, steps=WHOLE, trained_on=WHOLE, tested_on=WHOLE), seed=WHOLE, seconds=NUMBER,
        remarks=_list(TEXT), classifiers=_by_name(classifier), ranking=of(Ranking), utility=_or_null(of(Utility)),
        fidelity=_list(of(Fidelity)), leakage=leaks, left_out=_list(TEXT),
    )  # fmt: skip
    whole = _object(
        schema={"const": name}, names=_list(TEXT), runs=_list(of(RunFacts)), evaluation=_or_null(evaluation),
        not_measured=_list(TEXT),
    )  # fmt: skip
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": name, **whole}


def of(kind: Any) -> dict[str, Any]:
    """The schema of a dataclass, or of a type that one of its fields has. NaN is null in JSON, so a number may be."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return _object(**{field.name: of(hints[field.name]) for field in fields(kind)})
    if kind is float:
        return _or_null(NUMBER)
    if kind in PLAIN:
        return {"type": PLAIN[kind]}
    inner = get_args(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return {"anyOf": [{"type": "null"} if one is type(None) else of(one) for one in inner]}
    if get_origin(kind) is Mapping:
        return _by_name(of(inner[1]))
    if get_origin(kind) is tuple:
        if inner[-1] is Ellipsis:
            return _list(of(inner[0]))
        return {"type": "array", "prefixItems": [of(one) for one in inner], "items": False, "minItems": len(inner)}
    return {}  # Any


def _object(**parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": parts, "required": list(parts), "additionalProperties": False}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def _by_name(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": item}


def _or_null(item: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [item, {"type": "null"}]}
