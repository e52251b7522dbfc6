"""`Run`: an ordinary W&B run with the instrument around it."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from karn_wandb.episode import EpisodeLog
from karn_wandb.errors import KarnError, UsageError
from karn_wandb.pipeline import KarnCollector
from karn_wandb.preemption import WATCH
from karn_wandb.records import EpisodeContext, EpisodeOutcome, RunInfo

if TYPE_CHECKING:
    import wandb

    from karn_wandb.analysis import MorphogeneticAnalytics
    from karn_wandb.sinks import LogGate


TERMINATED = "terminated by SIGTERM"
SAVE_SECONDS = 5.0
"""How long each sink may take to catch up when the process was asked to end."""


class Run(EpisodeLog):
    """A W&B run and the instrument around it; made by `init`.

    Logs the episode (0, 0) itself; `episode` gives the same methods for others. Use it as a context manager, or call
    `finish`.

    Attributes:
        wandb_options: Keywords of `wandb.init` that runs of this class insist on.
        remembers_all: Whether all events are kept in memory, not only the newest.
    """

    wandb_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    remembers_all: ClassVar[bool] = False

    def __init__(self, wandb_run: wandb.Run, collector: KarnCollector, gate: LogGate | None = None) -> None:
        super().__init__(collector)
        self._wandb = wandb_run
        self._gate = gate
        self._episodes: dict[tuple[int, int], EpisodeLog] = {}
        self._ended = {(env_id, episode_idx) for env_id, episode_idx, _ in collector.concluded}
        self._last_outcome = next(reversed(collector.concluded.values()), None)
        self._finished: EpisodeOutcome | None = None
        self._config: Any = None
        self._is_copy = False
        open_runs.append(self)
        atexit.register(self._abandon)
        WATCH.add(self)

    @property
    def wandb(self) -> wandb.Run:
        """The W&B run itself, yours to use beside the `log_*` methods."""
        return self._wandb

    @property
    def id(self) -> str:
        """W&B's run id."""
        return str(self.wandb.id)

    @property
    def url(self) -> str | None:
        """Where the run is in the W&B UI; None offline."""
        return self.wandb.url

    @property
    def config(self) -> Any:
        """W&B's config of the run; in a worker that shares one, a config of its own with what was given to `init`."""
        return self.wandb.config if self._config is None else self._config

    @property
    def summary(self) -> Any:
        """W&B's summary of the run."""
        return self.wandb.summary

    @property
    def analytics(self) -> MorphogeneticAnalytics:
        """Live readings of the episode (0, 0)."""
        return self._state.analytics

    @property
    def records_path(self) -> Path | None:
        """The record log; None with mode="disabled"."""
        return self.collector.log.path

    def log_artifact(self, *arguments: Any, **keywords: Any) -> Any:
        """W&B's `log_artifact`, as it is."""
        return self.wandb.log_artifact(*arguments, **keywords)

    def log_info(self, info: RunInfo) -> RunInfo:
        """Say what the run is called and how it was configured; `init` does it."""
        return self._keep(info)

    def episode(self, env_id: int = 0, episode_idx: int = 0, context: EpisodeContext | None = None) -> EpisodeLog:
        """The same `log_*` methods for one of several episodes; its W&B keys start with env/<env_id>/.

        Args:
            env_id: Environment.
            episode_idx: Index of the episode in it, from 0.
            context: What is trained in it.

        Raises:
            UsageError: The episode was concluded, and another one begun since.
        """
        key = (env_id, episode_idx)
        if key in self._ended:
            raise UsageError(f"episode {key} has ended", do="Its successor has another episode_idx.")
        if key not in self._episodes:
            self._release_ended()
            self._episodes[key] = EpisodeLog(self.collector, env_id, episode_idx, scoped=True)
        if context is not None:
            self._episodes[key].log_context(context)
        return self._episodes[key]

    def _release_ended(self) -> None:
        """Forget the episodes that were concluded, so that memory does not grow with their number."""
        for key, episode in list(self._episodes.items()):
            if episode.concluded:
                self._last_outcome = episode.conclude()
                self._ended.add(key)
                del self._episodes[key]
                self.collector.release(*key, scoped=True)

    def finish(self, exit_code: int | None = None, *, reason: str = "") -> EpisodeOutcome:
        """End all episodes, let every sink catch up, and finish the W&B run. Later calls return the same outcome.

        The outcome is the run's own episode's; of the last one logged through `episode` when the run has none.

        Args:
            exit_code: Not 0 marks the run as failed.
            reason: Why it failed.

        Raises:
            RecordError: The last batches had a bad value; everything is closed all the same.
        """
        if self._finished is None:
            errors: list[KarnError] = []
            try:
                self._finished = self._conclude_all("failed" if exit_code else "finished", reason, errors)
            finally:
                self._end(exit_code=1 if errors or self._finished is None else exit_code)
            if errors:
                raise errors[0]
        return self._finished

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.finish(exit_code=1 if error is not None else 0, reason=f"{kind.__name__}: {error}" if kind else "")

    def _conclude_all(self, state: Literal["finished", "failed"], reason: str, errors: list[KarnError]) -> EpisodeOutcome:
        """Conclude the episodes; a run that logged epochs only through `episode` has none of its own.

        An episode that cannot be concluded at once, because of a bad value in its last batches, has failed; why goes into
        `errors`.
        """

        def conclude(episode: EpisodeLog) -> EpisodeOutcome:
            try:
                return episode.conclude(state=state, reason=reason)
            except KarnError as error:
                errors.append(error)
                return episode.conclude(state="failed", reason=reason or str(error))

        for episode in self._episodes.values():
            self._last_outcome = conclude(episode)
        if self._last_outcome is not None and self.analytics.latest is None:
            try:
                self.detach()
            except KarnError as error:
                errors.append(error)
            return self._last_outcome
        return conclude(self)

    def _end(self, exit_code: int | None) -> None:
        """Let go of everything, W&B's run last; then say in one warning what could not be sent."""
        unsent = ""
        try:
            self._let_go()
            self.collector.shut()
        finally:
            try:
                unsent = self._finish_wandb(exit_code)
            finally:
                self.collector.report(unsent)
        if self.collector.dropped_records:
            print(f"karn_wandb: {self.collector.dropped_records} records were dropped", file=sys.stderr)  # noqa: T201 -- loud by design

    def hold_config(self, config: Any) -> None:
        """Give this as `config`, for W&B's own is another process's to write."""
        self._config = config

    def become_copy(self) -> None:
        """This process is a fork of the one that began the run: here it does nothing, and ends nothing of W&B's."""
        super().become_copy()
        for episode in self._episodes.values():
            episode.become_copy()
        self._is_copy = True
        atexit.unregister(self._abandon)
        self.collector.become_copy()
        if self._gate is not None:
            self._gate.begin()

    def _finish_wandb(self, exit_code: int | None) -> str:
        """Finish W&B's run; gives what is to be said of what it has not taken.

        That the bound of its upload was reached, where the bound is ours, is said and not raised; so is that its process is
        gone.
        """
        if self._is_copy:
            return ""
        from karn_wandb.sinks.wandb import PROCESS_GONE  # noqa: PLC0415 -- loads wandb

        settings, seconds, strict = self.wandb.settings, self.collector.config.upload_timeout, self.collector.config.strict
        restore = f"`karn-wandb import {self.records_path} --into {self.wandb.path}` sends the records"
        try:
            self.wandb.finish(exit_code=exit_code)
        except TimeoutError:
            if strict or settings.finish_timeout != seconds:
                raise
            # A folder of a resumed run holds a part of it only, and syncing one may replace what W&B has.
            sync = "" if self.wandb.resumed else f"`wandb sync {settings.sync_dir}` sends everything, "
            late = f"W&B had not taken everything after {seconds:g} seconds. All of it is kept in {settings.sync_dir}"
            return f"{late}: {sync}{restore}."
        except PROCESS_GONE:
            if strict:
                raise
            return f"W&B's own process is gone: {restore}."
        return ""

    @contextmanager
    def still(self) -> Iterator[None]:
        """While it lasts, no other thread is inside a call of this run's, or logs to W&B's."""
        with self.collector.still(), nullcontext() if self._gate is None else self._gate.still():
            yield

    def save(self, *, ending: bool) -> None:
        """Save what the run holds, because the process was asked to end (SIGTERM); it is marked as preempting.

        Args:
            ending: Whether the process ends right after: the episodes then end as failed, and a resumed run goes on
                with them.
        """
        from karn_wandb.sinks.wandb import PROCESS_GONE  # noqa: PLC0415 -- loads wandb

        if ending:
            for episode in self._episodes.values():
                episode.interrupt(TERMINATED)
            if self.analytics.latest is not None or not self._episodes:
                self.interrupt(TERMINATED)
        self.collector.log.flush()
        with suppress(*PROCESS_GONE):
            if self._config is None:  # a run that is shared is another process's to mark
                self.wandb.mark_preempting()
        for follower in self.collector.followers:
            follower.drain(SAVE_SECONDS)
        if ending:  # or what W&B's process holds would be lost with this one
            with suppress(TimeoutError, *PROCESS_GONE):
                self.wandb.finish(exit_code=128 + signal.SIGTERM)

    def _let_go(self) -> None:
        atexit.unregister(self._abandon)
        WATCH.remove(self)
        if self in open_runs:
            open_runs.remove(self)
        if self._gate is not None:
            self._gate.close()

    def _abandon(self) -> None:
        """The process ends without `finish`: keep what there is, claim no outcome, and say whether it ends by an exception."""
        raised = getattr(sys, "last_exc", getattr(sys, "last_value", None))
        try:
            self._flush()
        finally:
            self._end(exit_code=None if raised is None else 1)


open_runs: list[Run] = []
"""Runs of the process that are not finished."""


def _after_fork() -> None:
    """In the new process: what it has copies of is the old one's to write and to end."""
    for run in open_runs:
        run.become_copy()
    open_runs.clear()
    WATCH.forget()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
