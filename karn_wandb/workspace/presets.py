"""Our charts as presets of an entity's custom charts in W&B."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

from karn_wandb import charts
from karn_wandb.errors import KarnError, KarnWarning
from karn_wandb.experiment.service import api_error
from karn_wandb.sinks.presets import default_folder, note

TIMEOUT = 30
"""Seconds an answer of W&B may take."""

_THERE = re.compile(r"already exists|duplicate|already in use|already taken", re.IGNORECASE)
"""What services say of a name that there is; which words W&B itself takes was not seen."""


def register_charts(entity: str, folder: Path | None = None) -> list[str]:
    """Register every chart as a preset of an entity's custom charts, and note it for the runs that log from this machine.

    Presets are private to the entity. A preset that is there already is left as it is: its name says what is in it, so a newer
    chart file makes a preset beside it.

    Args:
        entity: User or team.
        folder: Where it is noted; None for `sinks.presets.default_folder`.

    Returns:
        Names of the presets.

    Raises:
        KarnError: W&B refuses one, or cannot be reached.
    """
    import wandb  # noqa: PLC0415 -- takes seconds

    made = [charts.preset(name) for name in charts.names()]
    try:
        api = wandb.Api(timeout=TIMEOUT)
        for preset in made:
            _register(api, entity, preset)
    except (wandb.errors.Error, api_error(), ValueError, OSError) as error:
        raise KarnError(
            f"W&B does not take the charts as presets of {entity}",
            got=" ".join(str(error).split()),
            do="Check the entity's name, the login and the network. Without them W&B's own presets draw what they can.",
        ) from error
    names = [preset.name for preset in made]
    try:
        note(str(api.settings["base_url"]), entity, names, folder or default_folder())
    except OSError as error:
        text = f"that {entity} has the presets cannot be noted ({error}): say KarnConfig(chart_presets={entity!r})."
        warnings.warn(text, KarnWarning, stacklevel=2)
    return names


def _register(api: Any, entity: str, preset: charts.Preset) -> None:
    try:
        api.create_custom_chart(
            entity=entity,
            name=preset.name,
            display_name=preset.title,
            spec_type="vega2",
            access="private",
            spec=dict(preset.spec),
        )
    except api_error() as error:
        if not _THERE.search(str(error)):
            raise
