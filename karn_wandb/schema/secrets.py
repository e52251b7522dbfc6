"""Values that look like keys, taken out of configuration before it is kept anywhere.

What a value is called or what it looks like gives it away. A false alarm costs one hyperparameter, which is named in a
warning; a miss publishes a key. So names are read word by word (`pad_token` is none), and hashes are told by theirs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeVar

from karn_wandb.records import EpisodeContext, Record, RunInfo

REMOVED = "[removed: looks like a key]"
"""What stands in place of such a value."""

SECRET_NAMES = re.compile(
    r"(^|_)(passwords?|passwd|pwd|passphrase|secrets?|credentials?|authorization|"
    r"(api|secret|private|access|signing|encryption|account)_?keys?|"
    r"(access|auth|api|bearer|refresh|session|bot|hf|hub|github|gitlab|wandb|slack)_?tokens?)$|^token$"
)
"""Names whose text is a secret, in lower case with underscores. A `pad_token` or a `tokenizer` is none."""

STAND_INS = re.compile(r"<[^<>]*>|\$\{?\w+\}?|[*x.]*")
"""Texts that only stand for a secret, such as ${API_KEY}, <HUB_TOKEN> and ****."""

SECRET_TEXTS = re.compile(
    r"""
      \bsk-([A-Za-z0-9]+-)*[A-Za-z0-9_]{16,}             # OpenAI, Anthropic
    | \bhf_[A-Za-z0-9]{30,}                              # Hugging Face
    | \bwandb_v\d+_[A-Za-z0-9_]{30,} | ^local-[0-9a-f]{40}$  # W&B
    | \bgh[pousr]_[A-Za-z0-9]{36,} | \bgithub_pat_[A-Za-z0-9_]{22,} | \bglpat-[A-Za-z0-9_-]{20,}
    | \b(AKIA|ASIA)[A-Z0-9]{16}\b                        # AWS
    | \bAIza[A-Za-z0-9_-]{35}                            # Google
    | \bxox[abeoprs]-[A-Za-z0-9-]{10,}                   # Slack
    | \beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.   # JSON web token
    | \b[Bb]earer\s+[A-Za-z0-9._~+/=-]{16,}
    | -----BEGIN\ [A-Z\ ]*PRIVATE\ KEY-----
    | ://[^/\s:@]*:[^/\s:@]+@                            # password in an address
    """,
    re.VERBOSE,
)
"""Texts that are secrets whatever they are called."""

HEX_40 = re.compile(r"[0-9a-f]{40}")
"""W&B's older keys, and SHA-1 hashes: which of them it is, only the name says."""

HASH_NAMES = re.compile(
    r"(^|_)(commits?|shas?|sha_?1|git|hash|hashes|revisions?|rev|digests?|checksums?|fingerprints?|versions?|ref|refs|head|tree|"
    r"checkpoints?|ckpt)(_|$)"
)
"""Names whose 40 hexadecimal digits are a hash."""

_CONFIGURATION = MappingProxyType({EpisodeContext: "hyperparameters", RunInfo: "config"})
"""Records that carry a user's configuration, and the field it is in."""

R = TypeVar("R", bound=Record)


def without_secrets(config: Mapping[str, Any], found: list[str]) -> dict[str, Any]:
    """The configuration with `REMOVED` in place of what looks like a key.

    Args:
        config: Nested mappings and sequences; other values stay as they are.
        found: Takes the dotted names of what was removed.
    """
    return {name: _cleaned(value, str(name), str(name), found) for name, value in config.items()}


def record_without_secrets(record: R, found: list[str]) -> R:
    """The record with a clean configuration; itself when there was nothing to remove, or it carries none."""
    name = _CONFIGURATION.get(type(record))
    if name is None:
        return record
    before = len(found)
    clean = without_secrets(getattr(record, name), found)
    return record if len(found) == before else replace(record, **{name: clean})  # type: ignore[type-var]  # a dataclass


def removal_notice(found: list[str]) -> str:
    """What was removed, in words: names only, never values."""
    return (
        f"values that look like keys were removed from the configuration: {', '.join(sorted(set(found)))}. Keys belong in the "
        "environment; a hash is kept under a name that says so, such as commit or data_hash."
    )


def _cleaned(value: Any, name: str, path: str, found: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _cleaned(inner, str(key), f"{path}.{key}", found) for key, inner in value.items()}
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(_cleaned(inner, name, path, found) for inner in value)
    if isinstance(value, str) and value != REMOVED and _is_secret(name, value):
        found.append(path)
        return REMOVED
    return value


def _is_secret(name: str, text: str) -> bool:
    words = _words(name)
    if SECRET_NAMES.search(words) and not STAND_INS.fullmatch(text):
        return True
    if HEX_40.fullmatch(text):
        return not HASH_NAMES.search(words)
    return SECRET_TEXTS.search(text) is not None


def _words(name: str) -> str:
    """A name in lower case, its words parted by underscores: apiKey, api-key and API_KEY are api_key."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")
