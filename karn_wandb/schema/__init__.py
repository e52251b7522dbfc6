"""The one mapping between records and W&B, in both directions: keys, clocks, units, config, tables, artifact names."""

from karn_wandb.schema.keys import CLOCK_OF, CLOCKS, EPISODE, FAMILIES, KEYS, PART, PARTS, REST, USER_STEP, Key, scope
from karn_wandb.schema.rows import Row, RowJoiner, clock_of, decode_row, decode_rows, encode_row, encode_rows, scope_of

__all__ = [
    "CLOCKS",
    "CLOCK_OF",
    "EPISODE",
    "FAMILIES",
    "KEYS",
    "PART",
    "PARTS",
    "REST",
    "USER_STEP",
    "Key",
    "Row",
    "RowJoiner",
    "clock_of",
    "decode_row",
    "decode_rows",
    "encode_row",
    "encode_rows",
    "scope",
    "scope_of",
]
