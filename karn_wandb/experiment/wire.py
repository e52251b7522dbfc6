"""Records of a run file, as W&B's protocol buffers have them, into plain Python values."""

from __future__ import annotations

import json
from collections.abc import Iterable, MutableMapping
from typing import Any

HISTORY, SUMMARY, CONFIG, ARTIFACT, METRIC, RUN, EXIT = 2, 3, 5, 8, 12, 17, 18
"""Field numbers of the kinds of record, in wandb_internal.proto, that say something about the run."""

_KINDS = {HISTORY, SUMMARY, CONFIG, ARTIFACT, METRIC, RUN, EXIT}


def kind_of(payload: bytes) -> int:
    """Field number of a record's kind, found without parsing what is in it; 0 when it has none that is ours."""
    at = 0
    while at < len(payload):
        tag, at = _varint(payload, at)
        number, wire = tag >> 3, tag & 7
        if number in _KINDS:
            return number
        if wire == 0:
            _, at = _varint(payload, at)
        elif wire == 2:
            length, at = _varint(payload, at)
            at += length
        else:
            raise ValueError(f"wire type {wire}")
    return 0


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = payload[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def name_of(item: Any) -> str:
    """A key in one piece. A key with "/" or "." in it is a single part and stays as it is."""
    parts = item.nested_key
    if len(parts) == 1:  # nearly always, and joining a repeated field is slow
        only: str = parts[0]
        return only
    return ".".join(parts) or str(item.key)


def row_of(items: Iterable[Any]) -> dict[str, Any]:
    """One history row, or an update of the summary. Its JSON values are decoded together: a call each takes far longer."""
    row: dict[str, Any] = {}
    names, texts = [], []
    for item in items:
        text = item.value_json
        if text:
            names.append(name_of(item))
            texts.append(text)
        else:
            row[name_of(item)] = _typed(item)
    values = json.loads(f"[{','.join(texts)}]")  # takes NaN and Infinity, as W&B writes them
    row.update(zip(names, values, strict=True))
    return row


def _typed(item: Any) -> Any:
    """The value of an item that wandb wrote in its typed form, which began with 0.31; None when there is none."""
    if "value" not in item.DESCRIPTOR.oneofs_by_name:
        return None
    form = item.WhichOneof("value")
    if form is None or form == "none":
        return None
    value = getattr(item, form)
    return json.loads(value) if form == "json" else value


def configure(config: dict[str, Any], record: Any) -> None:
    """Bring a run's configuration up to date."""
    for item in record.update:
        *path, last = item.nested_key or [item.key]
        _inner(config, path)[last] = json.loads(item.value_json)
    for item in record.remove:
        *path, last = item.nested_key or [item.key]
        _inner(config, path).pop(last, None)


def _inner(tree: dict[str, Any], path: Iterable[str]) -> MutableMapping[str, Any]:
    """The mapping at a path, made where there is none."""
    for name in path:
        if not isinstance(tree.get(name), dict):
            tree[name] = {}
        tree = tree[name]
    return tree
