"""Settings an operator may turn without touching code: environment variables over the configuration given in code."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from karn_wandb.errors import UsageError
from karn_wandb.records import KarnConfig

PREFIXES = ("KARN_", "TOLARIA_")
"""What names start with; the first that is set counts, the second is the requirement's own."""

SWITCH = MappingProxyType(
    {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
)
"""What a switch may say, in any case."""


def with_environment(config: KarnConfig, environ: Mapping[str, str]) -> KarnConfig:
    """The configuration with what the environment says; variables that are not set change nothing.

    The environment wins over the configuration given in code, so that an operator can switch the summaries off at once
    when there is too much telemetry, without touching the code. `KARN_` wins over `TOLARIA_`.

    Args:
        config: As given in code.
        environ: The process's environment: (KARN_ or TOLARIA_) SEED_LAYER_SUMMARIES_ENABLED, SEED_LAYER_TOPK,
            SEED_LAYER_COMPACT_EVENTS and SEED_HEALTH_COMPACT.

    Raises:
        UsageError: A variable is set to what it cannot be.
    """
    found: dict[str, Any] = {}
    for name, (field, read) in _VARIABLES.items():
        variable = next((prefix + name for prefix in PREFIXES if prefix + name in environ), None)
        if variable is not None:
            found[field] = read(variable, environ[variable])
    return replace(config, **found)


def bounded(settings: Any, seconds: float, environ: Mapping[str, str]) -> Any:
    """W&B's settings with a bound for its upload at the end, unless the user set one.

    Args:
        settings: What the user gave `wandb.init` as settings: None, a mapping, or a `wandb.Settings`.
        seconds: The bound; 0 leaves everything as it is.
        environ: The process's environment.
    """
    ours = {"finish_timeout": seconds, "finish_timeout_raises": True}
    if not seconds or any(name in named_by(settings) or f"WANDB_{name.upper()}" in environ for name in ours):
        return settings
    return underlaid(settings, ours)


def named_by(settings: Any) -> Collection[str]:
    """Names of what a user set in settings for `wandb.init`: None, a mapping, or a `wandb.Settings`."""
    return settings if isinstance(settings, Mapping) else getattr(settings, "model_fields_set", ())


def underlaid(settings: Any, ours: Mapping[str, Any]) -> Any:
    """W&B's settings with ours where the user set none."""
    added = {name: value for name, value in ours.items() if name not in named_by(settings)}
    if settings is None or isinstance(settings, Mapping):
        return {**(settings or {}), **added}
    return settings.model_copy(update=added)


def _switch(variable: str, text: str) -> bool:
    word = text.strip().lower()
    if word not in SWITCH:
        raise UsageError(f"{variable} must be on or off", got=repr(text), do="Set it to one of " + ", ".join(SWITCH) + ".")
    return SWITCH[word]


def _top_k(variable: str, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise UsageError(f"{variable} must be a whole number of at least 1", got=repr(text), do="Set it to 3, say, or unset it.")
    return number


_VARIABLES: Mapping[str, tuple[str, Callable[[str, str], bool | int]]] = MappingProxyType(
    {
        "SEED_LAYER_SUMMARIES_ENABLED": ("seed_layer_summaries", _switch),
        "SEED_LAYER_TOPK": ("seed_layer_top_k", _top_k),
        "SEED_LAYER_COMPACT_EVENTS": ("seed_layer_compact_events", _switch),
        "SEED_HEALTH_COMPACT": ("seed_health_compact", _switch),
    }
)
"""Name without prefix to the field of `KarnConfig` and how its text is read."""
