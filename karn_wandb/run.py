"""`init` and `Run`: an ordinary W&B run with the instrument around it."""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from karn_wandb.active import activate
from karn_wandb.episode import EpisodeLog
from karn_wandb.errors import KarnError, KarnWarning, UsageError
from karn_wandb.pipeline import LOG_NAME, KarnCollector, RecordLog, Sink
from karn_wandb.provenance import as_mapping, context_of, hash_of, info_of
from karn_wandb.records import EpisodeContext, EpisodeOutcome, KarnConfig, RunInfo
from karn_wandb.schema.config import OWN_KEYS, config_of, episode_config, overlay, user_config
from karn_wandb.settings import with_environment

if TYPE_CHECKING:
    import wandb

    from karn_wandb.analysis import MorphogeneticAnalytics
    from karn_wandb.sinks import LogGate


def init(
    project: str | None = None,
    *,
    episode: EpisodeContext | None = None,
    karn: KarnConfig | None = None,
    baseline: str | Path | None = None,
    claims: str | Path | None = None,
    sinks: Iterable[Sink] = (),
    **wandb_options: Any,
) -> Run:
    """Start a W&B run with the instrument around it.

    Several runs in one process are kept apart: unless you pass `reinit`, each call makes a run of its own and the
    global `wandb.run` is left alone. When the W&B server cannot be reached the run goes on offline, with a warning.

    Args:
        project: W&B project.
        episode: What is trained; when None it is captured from the process and completed by what is logged.
        karn: Settings of the instrument; environment variables win over them (`settings.with_environment`).
        baseline: Folder, record log or W&B file with the paired host-only run (same base_seed) to compare with.
        claims: File of declared hypotheses; its hash goes into the run's config.
        sinks: Further places where events go, such as `sinks.ConsoleOutput()`.
        **wandb_options: Every other keyword of `wandb.init`: entity, name, group, tags, mode, dir, config, settings ...

    Returns:
        The run, also a context manager that finishes it.

    Raises:
        KarnError: An argument cannot be used.
        wandb.errors.Error: W&B refuses the run for another reason than being unreachable.
    """
    karn = with_environment(karn or KarnConfig(), os.environ)
    own = config_of(karn, hash_of(claims))
    user = as_mapping(wandb_options.pop("config", None))
    taken = sorted(set(user) & set(OWN_KEYS))
    if taken:
        raise UsageError(f"config may not use the key {taken[0]!r}", do="This package keeps its own settings there: rename it.")
    given = episode_config(episode) if episode else {}
    wandb_run = _start(project, {**user, **own, **given}, wandb_options, strict=karn.strict)
    try:
        return _assemble(wandb_run, karn, user=user, episode=episode, baseline=baseline, sinks=tuple(sinks))
    except KarnError:
        wandb_run.finish(exit_code=1)
        raise


def _start(project: str | None, config: dict[str, Any], options: dict[str, Any], *, strict: bool) -> wandb.Run:
    import wandb  # noqa: PLC0415 -- takes seconds

    options.setdefault("reinit", "create_new")
    try:
        return wandb.init(project=project, config=config, **options)
    except wandb.errors.CommError as error:
        if strict:
            raise
        warnings.warn(
            f"W&B cannot be reached: {error}. The run goes on offline; `wandb sync` sends it later.", KarnWarning, stacklevel=3
        )
        return wandb.init(project=project, config=config, **{**options, "mode": "offline"})


def _assemble(
    wandb_run: wandb.Run,
    karn: KarnConfig,
    *,
    user: dict[str, Any],
    episode: EpisodeContext | None,
    baseline: str | Path | None,
    sinks: tuple[Sink, ...],
) -> Run:
    final = dict(wandb_run.config)
    karn = KarnConfig.from_plain(overlay(karn.to_plain(), final.get("karn", {})))
    config = overlay(user, user_config(final))
    context = context_of(episode, final, config)
    writes = not wandb_run.disabled
    log = RecordLog(Path(wandb_run.dir).parent / LOG_NAME if writes else None)
    collector = KarnCollector(karn, log, sinks if writes else ())
    gate = None
    if writes:
        from karn_wandb.sinks import LogGate, WandbSink  # noqa: PLC0415 -- loads wandb

        gate = LogGate(wandb_run)
        wandb_run.config.update(episode_config(context), allow_val_change=True)  # type: ignore[no-untyped-call]
        collector.follow(WandbSink(wandb_run, gate, log.events, log.path))
    run = Run(wandb_run, activate(collector), gate)
    run.log_info(info_of(wandb_run, config))
    run.log_context(context)
    if baseline is not None:
        from karn_wandb.experiment.baseline import paired_baseline  # noqa: PLC0415 -- loads pandas

        run.log_baseline(paired_baseline(baseline, context.base_seed, context.host_params))
    return run


class Run(EpisodeLog):
    """A W&B run and the instrument around it; made by `init`.

    Logs the episode (0, 0) itself; `episode` gives the same methods for others. Use it as a context manager, or call
    `finish`.
    """

    def __init__(self, wandb_run: wandb.Run, collector: KarnCollector, gate: LogGate | None = None) -> None:
        super().__init__(collector)
        self._wandb = wandb_run
        self._gate = gate
        self._episodes: dict[tuple[int, int], EpisodeLog] = {}
        self._ended: set[tuple[int, int]] = set()
        self._last_outcome: EpisodeOutcome | None = None
        self._finished: EpisodeOutcome | None = None
        atexit.register(self._abandon)

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
        """W&B's config of the run."""
        return self.wandb.config

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
        try:
            self._close()
        finally:
            self.wandb.finish(exit_code=exit_code)

    def _close(self) -> None:
        atexit.unregister(self._abandon)
        if self._gate is not None:
            self._gate.close()
        if not self.collector.close():
            kept = f"everything is kept in {self.records_path}" if self.records_path else "there is no record log"
            warnings.warn(f"not all sinks took all records; {kept}.", KarnWarning, stacklevel=3)
        if self.collector.dropped_records:
            print(f"karn_wandb: {self.collector.dropped_records} records were dropped", file=sys.stderr)  # noqa: T201 -- loud by design

    def _abandon(self) -> None:
        """The process ends without `finish`: keep what there is, claim no outcome, and say whether it ends by an exception."""
        raised = getattr(sys, "last_exc", getattr(sys, "last_value", None))
        try:
            self._flush()
        finally:
            self._end(exit_code=None if raised is None else 1)
