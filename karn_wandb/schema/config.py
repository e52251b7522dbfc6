"""What of a run goes into W&B's config, where runs are filtered and grouped by it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from karn_wandb.records import SCHEMA_VERSION, EpisodeContext, KarnConfig

CLAIMS_KEY = "karn_claims"
OWN_KEYS = ("episode", "karn", "karn_schema", CLAIMS_KEY)
"""Top-level config keys that are ours; the rest is the user's."""


def config_of(karn: KarnConfig, claims: str = "") -> dict[str, Any]:
    """Config that says how the instrument was set up, nested, without dots in keys; with the text of a claims file."""
    own: dict[str, Any] = {"karn": karn.to_plain(), "karn_schema": SCHEMA_VERSION}
    return own | claims_config(claims)


def claims_config(text: str) -> dict[str, Any]:
    """Config that says what was declared before the run: the hash of the claims file's bytes, for filters, and its text."""
    return {CLAIMS_KEY: {"sha256": hashlib.sha256(text.encode()).hexdigest(), "text": text}} if text else {}


def episode_config(context: EpisodeContext) -> dict[str, Any]:
    """Config that says what is trained."""
    return {"episode": context.to_plain()}


def user_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The user's part of a run's config."""
    return {key: value for key, value in config.items() if key not in OWN_KEYS and not key.startswith("_wandb")}


def with_config(context: EpisodeContext, config: Mapping[str, Any]) -> EpisodeContext:
    """The context with the run's final values of its hyperparameters: a sweep's values win."""
    final = {name: config.get(name, value) for name, value in context.hyperparameters.items()}
    base_seed = config.get("base_seed", context.base_seed)
    return replace(context, hyperparameters=final, base_seed=base_seed if isinstance(base_seed, int) else context.base_seed)


def overlay(plain: dict[str, Any], final: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values with those that W&B's config holds otherwise after init, such as a sweep's."""
    merged = dict(plain)
    for name, value in final.items():
        mine = plain.get(name)
        if isinstance(mine, dict) and isinstance(value, Mapping):
            merged[name] = overlay(mine, value)
        elif not _same(mine, value):
            merged[name] = value
    return merged


def _same(mine: Any, value: Any) -> bool:
    """Whether W&B's value is ours on its way through a 64-bit float: 1.0 comes back as 1, 2**64 - 1 as 2**64."""
    if isinstance(mine, int | float) and isinstance(value, int | float):
        return float(mine) == float(value)
    return bool(mine == value)
