"""Writes docs/keys.md from the one table of keys: python -m docs.make_keys."""

from pathlib import Path

from karn_wandb.schema.describe import keys_page

PAGE = Path(__file__).parent / "keys.md"

if __name__ == "__main__":
    PAGE.write_text(keys_page())
