"""Names in keys: any text to [A-Za-z0-9_] and back, so that a slot called "conv-1/a" is one segment of a W&B key.

A character outside that set becomes `_x<hex>_`. An underscore stays as it is only between two other characters that
stay, and not before an "x"; so `_x..._` always is an escape and `__` always separates two names.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(r"_x(10[0-9a-f]{4}|[0-9a-f]{0,5})_|(__)|(.)", re.DOTALL)
_SAFE = re.compile(r"[A-Za-z0-9]")


def escape(name: str) -> str:
    """One name as a segment of a key; "" becomes "_x_"."""
    if not name:
        return "_x_"
    padded = f" {name} "
    return "".join(
        here if _stays(before, here, after) else f"_x{ord(here):x}_"
        for before, here, after in zip(padded, padded[1:], padded[2:], strict=False)
    )


def _stays(before: str, here: str, after: str) -> bool:
    if here != "_":
        return bool(_SAFE.fullmatch(here))
    return bool(_SAFE.fullmatch(before) and _SAFE.fullmatch(after)) and after != "x"


def unescape(segment: str) -> str:
    """The name that `escape` made the segment of."""
    return _split(segment)[0]


def join(names: tuple[str, ...]) -> str:
    """Several names as one segment, such as a pair of slots."""
    return "__".join(map(escape, names))


def split(segment: str) -> tuple[str, ...]:
    """The names that `join` made the segment of."""
    return tuple(_split(segment)) if segment else ()


def _split(segment: str) -> list[str]:
    names = [""]
    for code, separator, character in _TOKEN.findall(segment):
        if separator:
            names.append("")
        else:
            names[-1] += chr(int(code, 16)) if code else character
    return names
