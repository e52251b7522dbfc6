"""Free-form values: whatever JSON can say, and NaN and infinities beside it, as {"$": "nan"}."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from karn_wandb.errors import RecordError
from karn_wandb.records._kinds import Kind
from karn_wandb.records._values import check_float, check_int, check_str, is_bool, wrong

TAG = "$"
"""Key that marks a record, or a float JSON cannot say, among plain values."""

_TAGGED = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

DEEPEST = 100
"""Levels of nesting; a value that contains itself has more than any."""


def check_json(value: Any, path: str, depth: int = 0) -> Any:
    """Free-form values: sequences become lists, mappings dicts, NumPy scalars Python numbers, paths text."""
    if depth > DEEPEST:
        field = path.split("[", 1)[0]
        raise RecordError(
            f"{field} is nested more than {DEEPEST} levels deep", do="Flatten it, or take out what contains itself."
        )
    if value is None:
        return None
    if is_bool(value):
        return bool(value)
    for of, check in _SCALARS:
        if isinstance(value, of):
            return check(value, path)
    if isinstance(value, Mapping):
        return {_check_key(k, path): check_json(v, f"{path}[{k!r}]", depth + 1) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [check_json(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value)]
    raise wrong(path, "JSON values", value, "Use None, numbers, text, lists and mappings with text keys.")


_SCALARS: tuple[tuple[Any, Any], ...] = (
    (str, check_str),
    (numbers.Integral, check_int),
    (numbers.Real, check_float),
    (Path, lambda value, path: check_str(str(value), path)),
)


def _check_key(key: Any, path: str) -> str:
    if key == TAG:
        raise RecordError(f"{path} may not hold the key {TAG!r}", do="It is reserved for the codec: rename it.")
    return check_str(key, f"a key of {path}")


def encode_json(value: Any) -> Any:
    """Free-form values with what JSON cannot say tagged."""
    if isinstance(value, float) and not math.isfinite(value):
        return {TAG: str(value)}
    if isinstance(value, dict):
        return {k: encode_json(v) for k, v in value.items()}
    if isinstance(value, list):
        return [encode_json(v) for v in value]
    return value


def decode_json(value: Any) -> Any:
    """Undo `encode_json`."""
    if isinstance(value, dict):
        return _TAGGED[value[TAG]] if TAG in value else {k: decode_json(v) for k, v in value.items()}
    if isinstance(value, list):
        return [decode_json(v) for v in value]
    return value


Json = Annotated[Any, Kind("JSON values", check_json, encode_json, decode_json)]
"""None, bool, int, float, str, and lists and string-keyed mappings of these."""
