"""What earlier processes of a run left: its events, and which of them its run in W&B has."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from karn_wandb.errors import KarnWarning, RecordError, SourceError
from karn_wandb.experiment.runs import events_of_rows, in_order
from karn_wandb.experiment.service import WandbService
from karn_wandb.experiment.wandb_file import read_wandb_file
from karn_wandb.pipeline import LOG_NAME, ReadLog, read_log
from karn_wandb.records import EpisodeContext, TelemetryEvent

if TYPE_CHECKING:
    import wandb

RESUMING = ("allow", "must", "auto")
"""Values of W&B's `resume` with which a run is continued."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of a run from before.

    Attributes:
        events: Its events, in order, each once.
        present: Sequence numbers of those that its run in W&B has.
        damage: What could not be read, in words.
    """

    events: tuple[TelemetryEvent, ...] = ()
    present: frozenset[int] = frozenset()
    damage: tuple[str, ...] = ()


def past_of(wandb_run: wandb.Run) -> Past:
    """What earlier processes of the run left beside its folder, and what W&B has of it.

    The newest record log is the run, with what W&B's rows have beside it: a killed process may have delivered its last events
    without writing them to the log, and a log may be damaged. Where there is no log the rows are all there is: those of
    the run files that are at hand, and of the W&B server when the run is resumed online.
    """
    folder = Path(wandb_run.dir).parent
    earlier = [other for other in reversed(_folders(folder.parent, str(wandb_run.id))) if other != folder]
    log = next((log for log in map(_log_in, earlier) if log is not None and log.events), None)
    sound = log is not None and not log.damage
    files = earlier[:1] if sound else earlier  # a log that is whole lacks what the last process delivered at most
    rows = [_rows_in(other, str(wandb_run.id)) for other in files]
    sent, damage = events_of_rows(rows_at_wandb(wandb_run))
    events = in_order(log.events if log else (), *rows, sent)
    return Past(events, sequences(sent), (*(log.damage if log else ()), *damage))


def rows_at_wandb(wandb_run: wandb.Run) -> list[dict[str, Any]]:
    """The history rows that the W&B server has of a resumed run; none of a run that is new or offline."""
    if wandb_run.offline or not wandb_run.resumed:
        return []
    service = WandbService(base_url=wandb_run.settings.base_url, api_key=wandb_run.settings.api_key)
    try:
        return [row for run in service.runs(str(wandb_run.path), {}) for row in service.history(run)]
    except SourceError as error:
        warnings.warn(
            f"W&B does not say what it has of run {wandb_run.id}: {error.got}. Events are sent again; who reads them tells them "
            "by their sequence numbers.",
            KarnWarning,
            stacklevel=2,
        )
        return []


def continued(earlier: EpisodeContext, now: EpisodeContext, *, given: bool) -> EpisodeContext:
    """The context of an episode that goes on: the same episode, trained by the code there is now.

    Args:
        earlier: The context as logged.
        now: The context in this process.
        given: Whether the user gave it; what is captured by itself says only which code runs.
    """
    if given:
        return replace(now, episode_id=earlier.episode_id, timestamp=earlier.timestamp)
    return replace(earlier, git_commit=now.git_commit, python_version=now.python_version, library_versions=now.library_versions)


def _folders(root: Path, run_id: str) -> list[Path]:
    """The folders of a run's processes, in the order they were begun."""
    name = re.compile(rf"(offline-)?run-(\d{{8}}_\d{{6}})-{re.escape(run_id)}(-\d+)?")
    matches = ((name.fullmatch(path.name), path) for path in sorted(root.iterdir()))
    found = [(match[2], path) for match, path in matches if match and (path / f"run-{run_id}.wandb").exists()]
    return [path for _, path in sorted(found)]


def _log_in(folder: Path) -> ReadLog | None:
    try:
        return read_log(folder / LOG_NAME)
    except (SourceError, RecordError):  # there is none, or a killed process had only begun it
        return None


def _rows_in(folder: Path, run_id: str) -> tuple[TelemetryEvent, ...]:
    try:
        return events_of_rows(read_wandb_file(folder / f"run-{run_id}.wandb").rows)[0]
    except SourceError:  # nothing had reached the file
        return ()


def sequences(events: Iterable[TelemetryEvent]) -> frozenset[int]:
    """What events are told by."""
    return frozenset(event.sequence for event in events if event.sequence is not None)
