"""Which runs a filter of `Api.runs` takes, and in which order they come: the part of MongoDB's language W&B documents."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from .graphql import RefusedError, snake

Fields = Mapping[str, Any]
"""A run as filters see it: `config` and `summary_metrics` are nested, the rest is flat, names in Python's spelling."""


def matches(run: Fields, query: Mapping[str, Any]) -> bool:
    """Whether a run fits a filter; conditions beside each other must all hold.

    Raises:
        RefusedError: An operator is unknown.
    """
    return all(_holds(run, key, condition) for key, condition in query.items())


def ordered(runs: list[Any], order: str | None, fields: Callable[[Any], Fields]) -> list[Any]:
    """Runs in an order such as "-created_at" or "+config.lr.value"; those without the value come last."""
    for key in reversed((order or "+created_at").split(",")):
        name = key.strip().lstrip("+-")
        down = key.strip().startswith("-")
        known = [(value, run) for run in runs if (value := lookup(fields(run), name)) is not None]
        known.sort(key=lambda pair: (isinstance(pair[0], str), pair[0]), reverse=down)
        runs = [run for _, run in known] + [run for run in runs if lookup(fields(run), name) is None]
    return runs


def lookup(run: Fields, path: str) -> Any:
    """The value at a dotted path, or None; `.value`, where W&B keeps a config value, may be written or left out."""
    found: Any = run
    first, *rest = path.split(".")
    for name in (_SPELLINGS.get(first, snake(first)), *rest):
        if not isinstance(found, Mapping):
            return None
        inner = found.get("value")
        found = found[name] if name in found else inner.get(name) if isinstance(inner, Mapping) else None
    return found["value"] if isinstance(found, Mapping) and first == "config" and "value" in found else found


def _holds(run: Fields, key: str, condition: Any) -> bool:
    if key == "$and":
        return all(matches(run, each) for each in condition)
    if key == "$or":
        return any(matches(run, each) for each in condition)
    if key == "$nor":
        return not any(matches(run, each) for each in condition)
    if key.startswith("$"):
        raise RefusedError(f"unknown operator {key}")
    value = lookup(run, key)
    if isinstance(condition, Mapping) and any(name.startswith("$") for name in condition):
        return all(_compare(value, name, other) for name, other in condition.items())
    return _equal(value, condition)


def _compare(value: Any, operator: str, other: Any) -> bool:
    if operator == "$not":
        return not all(_compare(value, name, each) for name, each in other.items())
    if operator not in _OPERATORS:
        raise RefusedError(f"unknown operator {operator}")
    try:
        return _OPERATORS[operator](value, other)
    except TypeError:  # of two types that have no order
        return False


def _equal(value: Any, other: Any) -> bool:
    """Whether they are equal, or the value is a list, as tags are, that has the other in it."""
    return value == other or (isinstance(value, list) and not isinstance(other, list) and other in value)


def _among(value: Any, others: list[Any]) -> bool:
    return any(_equal(value, other) for other in others)


_SPELLINGS = MappingProxyType({"summaryMetrics": "summary_metrics", "summary": "summary_metrics", "sweep": "sweep_name"})

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "$eq": _equal,
        "$ne": lambda value, other: not _equal(value, other),
        "$gt": lambda value, other: value > other,
        "$gte": lambda value, other: value >= other,
        "$lt": lambda value, other: value < other,
        "$lte": lambda value, other: value <= other,
        "$in": _among,
        "$nin": lambda value, others: not _among(value, others),
        "$exists": lambda value, wanted: (value is not None) == wanted,
        "$regex": lambda value, pattern: re.search(pattern, value) is not None,
    }
)


def parsed(text: str | None) -> Mapping[str, Any]:
    """A filter as it comes over the wire."""
    return json.loads(text or "{}") or {}
