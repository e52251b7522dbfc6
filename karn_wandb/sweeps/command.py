"""The command of a sweep file, its macros filled in as W&B's agent does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from karn_wandb.errors import SweepError

_ENVIRONMENT = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")


def command_line(
    command: Sequence[str],
    parameters: Mapping[str, Any],
    *,
    program: str,
    interpreter: str,
    json_file: Path,
    environ: Mapping[str, str],
) -> list[str]:
    """The words to run.

    Args:
        command: Words and macros of the sweep file.
        parameters: Values by name, nested ones as mappings.
        program: For ${program}.
        interpreter: For ${interpreter}.
        json_file: For ${args_json_file}; written by the caller.
        environ: For ${envvar:NAME}, which is NAME itself when that is not set.

    Raises:
        SweepError: There is no such macro.
    """
    macros = {
        "env": ["/usr/bin/env"],
        "interpreter": [interpreter],
        "program": [program],
        "args": [f"--{name}={value}" for name, value in parameters.items()],
        "args_no_hyphens": [f"{name}={value}" for name, value in parameters.items()],
        "args_no_equals": [word for name, value in parameters.items() for word in (f"--{name}", str(value))],
        "args_no_boolean_flags": [
            f"--{name}" if value is True else f"--{name}={value}" for name, value in parameters.items() if value is not False
        ],
        "args_append_hydra": [f"+{name}={value}" for name, value in parameters.items()],
        "args_override_hydra": [f"++{name}={value}" for name, value in parameters.items()],
        "args_json": [json.dumps(parameters)],
        "args_json_file": [str(json_file)],
    }
    words: list[str] = []
    for given in command:
        word = _ENVIRONMENT.sub(lambda found: environ.get(found[1], found[1]), given)
        if not (word.startswith("${") and word.endswith("}")):
            words.append(word)
        elif word[2:-1] in macros:
            words += macros[word[2:-1]]
        else:
            known = ", ".join(f"${{{name}}}" for name in (*macros, "envvar:NAME"))
            raise SweepError(f"the command has an unknown macro {word!r}", do=f"There is {known}.")
    return words
