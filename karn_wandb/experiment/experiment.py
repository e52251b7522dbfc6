"""Many runs as one experiment: their frames, their records, what was wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from karn_wandb.errors import SourceError
from karn_wandb.experiment import frames
from karn_wandb.experiment.cache import RunCache, default_folder
from karn_wandb.experiment.filters import select
from karn_wandb.experiment.local import LocalRuns
from karn_wandb.experiment.remote import RemoteRuns
from karn_wandb.experiment.runs import Progress, RunData, Via
from karn_wandb.experiment.sources import find_runs
from karn_wandb.records import Record, TelemetryEvent

MOST_LISTED = 10
"""Run ids that an error lists."""

_KEYS = ["run_id", "env_id", "episode_idx"]


@dataclass(frozen=True)
class Experiment:
    """Runs read back, and their frames, each made when first asked for.

    Attributes:
        runs: The runs, in the order they were found.
        warnings: What a careful reader must know: damaged files, runs found twice, records dropped.
        filters: What episodes were chosen by; empty for all.
    """

    runs: tuple[RunData, ...]
    warnings: tuple[str, ...] = ()
    filters: Mapping[str, Any] | None = None

    @cached_property
    def episodes(self) -> pd.DataFrame:
        """A row per episode: run_id, env_id, episode_idx, state, base_seed, final_accuracy ..., `config.*`, `episode.*`."""
        episodes = frames.episodes_frame(self.runs)
        return episodes[select(episodes, self.filters)].reset_index(drop=True) if self.filters else episodes

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """A row per epoch: the host's measurements, `slot.<slot>.<field>` and `seed_grad_norms.<slot>`."""
        return self._chosen(frames.epochs_frame)

    def epochs_by_run(self, *columns: str) -> Iterator[pd.DataFrame]:
        """The rows of `epochs` run by run, in the order of their ids: what of many runs does not fit into memory together.

        Args:
            *columns: Those that are wanted, beside run, episode and epoch; a run that has none of a name is without that column.
        """
        return map(self._filtered, frames.epochs_frames(self.runs, columns))

    @cached_property
    def counterfactuals(self) -> pd.DataFrame:
        """A row per evaluated coalition."""
        return self._chosen(frames.counterfactuals_frame)

    @cached_property
    def shapley(self) -> pd.DataFrame:
        """A row per slot of each evaluated matrix: its Shapley value with its uncertainty."""
        return self._chosen(frames.shapley_frame)

    @property
    def last_shapley(self) -> pd.DataFrame:
        """The rows of `shapley` of each episode's last evaluations, and of the last that had a value."""
        return self._chosen(partial(frames.shapley_frame, last=True))

    @cached_property
    def interactions(self) -> pd.DataFrame:
        """A row per pair of slots of each evaluated matrix: its interaction with its uncertainty and regime."""
        return self._chosen(frames.interactions_frame)

    def events(self, run_id: str, via: Via | None = None) -> tuple[TelemetryEvent, ...]:
        """A run's events, in the order they were logged.

        Args:
            run_id: The run.
            via: "log" reads its record log, "wandb" W&B's rows alone; None the log when it has one, else the rows.

        Raises:
            SourceError: There is no such run, or it has none of the kind asked for.
        """
        return self._run(run_id).events(via)

    def records(self, run_id: str, via: Via | None = None) -> tuple[Record, ...]:
        """A run's records as they were logged; an event without a record is one itself. Arguments as of `events`."""
        return tuple(event.payload for event in self.events(run_id, via))

    def _run(self, run_id: str) -> RunData:
        for run in self.runs:
            if run.run_id == run_id:
                return run
        known = [run.run_id for run in self.runs]
        near = difflib.get_close_matches(run_id, known, n=3)
        listed = list(dict.fromkeys((*near, *known)))[:MOST_LISTED]
        more = f" and {len(known) - len(listed)} more" if len(known) > len(listed) else ""
        raise SourceError(f"the experiment has no run {run_id!r}", do=f"Its runs are {', '.join(listed)}{more}.")

    def _chosen(self, frame_of: Callable[[Iterable[RunData]], pd.DataFrame]) -> pd.DataFrame:
        """A frame of the chosen episodes."""
        return self._filtered(frame_of(self.runs))

    def _filtered(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Those rows of a frame that are of chosen episodes."""
        if not self.filters:
            return frame
        return frame[self._kept.get_indexer(pd.MultiIndex.from_frame(frame[_KEYS])) >= 0].reset_index(drop=True)

    @cached_property
    def _kept(self) -> pd.MultiIndex:
        return pd.MultiIndex.from_frame(self.episodes[_KEYS])


def load_experiment(
    *sources: str | Path,
    filters: Mapping[str, Any] | None = None,
    cache: bool | str | Path = True,
    progress: Progress | None = None,
) -> Experiment:
    """Read runs back.

    Args:
        *sources: Folders of runs (searched with all folders below), run-ID.wandb files, record logs, and "entity/project" or
            "entity/project/run_id" in W&B, where no folder has that name.
        filters: Only episodes with these values: names of config entries or of columns of `Experiment.episodes`, such
            as {"controller": "heuristic", "episode.task_type": "classification"}. Runs in W&B that they rule out are not read.
        cache: Whether what was read is kept, in `KARN_WANDB_CACHE_DIR` or the platform's folder for caches; or the folder to
            keep it in. A run whose files are as they were, or which W&B says is, is not read again.
        progress: While runs are read, is told how many of how many are, and what is being done; see `Progress`.

    Returns:
        The experiment; its `warnings` say what could not be read.

    Raises:
        SourceError: A source is not there, cannot be read or holds no run; a filter's name is unknown; none matches.
    """
    folder = (default_folder() if cache else None) if isinstance(cache, bool) else Path(cache)
    kept = RunCache(folder)
    runs, notes = find_runs(sources, filters, RemoteRuns(kept, progress), LocalRuns(kept, progress))
    everything = Experiment(tuple(runs), tuple(notes))
    if not filters:
        return everything
    chosen = set(everything.episodes.loc[select(everything.episodes, filters), "run_id"])
    if not chosen:
        raise SourceError(
            "no run matches the filters",
            got=", ".join(f"{name} = {value}" for name, value in filters.items()),
            do=f"{len(runs)} runs were read: look at the columns of load_experiment(...).episodes without filters.",
        )
    return Experiment(tuple(run for run in runs if run.run_id in chosen), everything.warnings, dict(filters))
