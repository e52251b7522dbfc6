"""Names from runs, safe to show."""

from __future__ import annotations

import unicodedata

_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}


def printable(text: object) -> str:
    """A text without characters that control a terminal or reorder what stands around them: these are spelled out."""
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in _INVISIBLE else c for c in str(text))
