"""Parameters of a sweep that its program does not take."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from karn_wandb.swept import GIVEN, OTHER, READ

_DO = "Read it from run.config, or give it to karn_wandb.init in config or in the episode, under the sweep's name."


def reports_in(folder: Path, run_ids: Iterable[str]) -> list[dict[str, str]]:
    """What runs said of the parameters; those that said nothing are left out."""
    paths = [folder / f"{run_id}.json" for run_id in run_ids]
    return [json.loads(path.read_bytes()) for path in paths if path.is_file()]


def untaken(parameters: Sequence[str], reports: Sequence[dict[str, str]]) -> list[str]:
    """What is wrong with each parameter that no run took.

    Args:
        parameters: Names, those of nested ones without what is in them.
        reports: Of runs that finished.
    """
    if not reports:
        return []
    wrong = []
    for name in dict.fromkeys(parameters):
        how = {report.get(name) for report in reports}
        if READ in how:
            continue
        if OTHER in how:
            wrong.append(
                f"the program gave W&B another {name!r} than the sweep's and never read the sweep's: the runs were not trained "
                f"with it. {_DO}"
            )
        elif GIVEN not in how:
            wrong.append(f"nothing reads the parameter {name!r}. {_DO}")
    return wrong
