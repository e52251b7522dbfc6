"""The table of keys as a page for people; docs/keys.md is this text."""

from __future__ import annotations

from karn_wandb.schema.keys import CLOCKS, EPISODE, KEYS, PART, PARTS, REST, Key
from karn_wandb.schema.tables import EVENT_COLUMNS, TABLES


def keys_page() -> str:
    """Every W&B key, clock and table, as Markdown."""
    families: dict[str, list[Key]] = {}
    for key in KEYS:
        families.setdefault(key.family, []).append(key)
    parts = [_INTRODUCTION, "## Clocks\n", *(f"- `{clock}`: {meaning}" for clock, meaning in CLOCKS.items()), ""]
    for family, keys in families.items():
        parts += [f"## `{family}/` by `{keys[0].clock}`\n", "| key | unit | meaning | from |", "| --- | --- | --- | --- |"]
        parts += [f"| `{key.pattern}` | {key.unit} | {_cell(key.meaning)} | {_source(key)} |" for key in keys] + [""]
    parts += ["## Tables\n", f"Every table starts with {', '.join(f'`{c}`' for c in EVENT_COLUMNS)}.\n"]
    parts += [f"- `{table.name}`: {', '.join(table.columns)}" for table in TABLES]
    return "\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _source(key: Key) -> str:
    return f"`{key.record.__name__}`" + (" (derived)" if key.path is None else f" `.{'.'.join(key.path)}`")


_INTRODUCTION = f"""# W&B keys

This page is generated from `karn_wandb/schema/keys.py` by `python -m docs.make_keys`; a test keeps it true.

Every record is one row. What is a number has a column of its own, below; what is none (text, NaN, infinities, nested
parts) travels in the column `{REST}` as JSON, so that a row alone gives the record back. Where that is too long for one row,
it begins in rows before it (`{PART}`), and `{PARTS}` says in how many. Each row carries the clock of its family; W&B's
step is never set. `<slot>` and the like stand for names, escaped to `[A-Za-z0-9_]`. Keys of an episode logged through
`run.episode` start with `env/<env_id>/` and carry `env/<env_id>/{EPISODE}` beside the clock, which goes on
across episodes.
"""
