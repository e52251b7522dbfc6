"""The one mapping between records and W&B, in both directions: keys, clocks, units, config, tables, artifact names."""

from karn_wandb.schema.keys import CLOCK_OF, CLOCKS, EPISODE, FAMILIES, KEYS, REST, Key, scope
from karn_wandb.schema.rows import Row, clock_of, decode_row, decode_rows, encode_row, scope_of

__all__ = [
    "CLOCKS",
    "CLOCK_OF",
    "EPISODE",
    "FAMILIES",
    "KEYS",
    "REST",
    "Key",
    "Row",
    "clock_of",
    "decode_row",
    "decode_rows",
    "encode_row",
    "scope",
    "scope_of",
]
