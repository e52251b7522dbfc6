"""`init`: start a W&B run, or go on with one, and put the instrument around it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from karn_wandb.active import activate
from karn_wandb.errors import KarnError, KarnWarning, UsageError
from karn_wandb.pipeline import LOG_NAME, KarnCollector, RecordLog, Sink, write_log
from karn_wandb.processes import is_primary, located, options_of
from karn_wandb.provenance import as_mapping, context_of, info_of, text_of
from karn_wandb.records import EpisodeContext, KarnConfig
from karn_wandb.run import Run, open_runs
from karn_wandb.schema.config import OWN_KEYS, config_of, episode_config, overlay, user_config
from karn_wandb.schema.secrets import record_without_secrets, removal_notice, without_secrets
from karn_wandb.settings import bounded, with_environment
from karn_wandb.swept import READS, placed, sweep_values, watch, with_sweep

if TYPE_CHECKING:
    import wandb

run_kinds: list[type[Run]] = [Run]
"""The last is the class of the runs that `init` makes; `karn_wandb.testing` puts its own there for a while."""


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

    Of several processes, ranks of torch.distributed or tasks of a launcher, rank 0 writes and the others get a run that does
    nothing; `KarnConfig.processes` says otherwise.

    Several runs in one process are kept apart: unless you pass `reinit` (or set WANDB_REINIT), each call makes a run of its
    own and the global `wandb.run` is left alone. When the W&B server cannot be reached the run goes on offline, with a
    warning. What looks like a key in `config` or in the episode's hyperparameters is removed, with a warning that names it.

    With `id=` and `resume="must"` or "allow" a run goes on where it ended: epochs, the other clocks, analytics and triggers
    are brought back from its record log, or from its rows in W&B where the log is not at hand. Restoring the model from
    its checkpoint is yours; `Run.rewind` says when that is older than the last epoch logged.

    Args:
        project: W&B project.
        episode: What is trained; when None it is captured from the process and completed by what is logged.
        karn: Settings of the instrument; environment variables win over them (`settings.with_environment`).
        baseline: Folder, record log or W&B file with the paired host-only run (same base_seed) to compare with.
        claims: File of declared hypotheses; its text and hash go into the run, so that a report can show that it was declared
            before the run began, and what was changed since.
        sinks: Further places where events go, such as `sinks.ConsoleOutput()`.
        **wandb_options: Every other keyword of `wandb.init`: entity, name, group, tags, mode, dir, config, settings ...

    Returns:
        The run, also a context manager that finishes it.

    Raises:
        KarnError: An argument cannot be used.
        wandb.errors.Error: W&B refuses the run for another reason than being unreachable.
    """
    karn = located(with_environment(karn or KarnConfig(), os.environ), os.environ)
    declared = text_of(claims)
    own = config_of(karn, declared)
    secrets: list[str] = []
    user = without_secrets(as_mapping(wandb_options.pop("config", None)), secrets)
    episode = episode and record_without_secrets(episode, secrets)
    if secrets:
        warnings.warn(removal_notice(secrets), KarnWarning, stacklevel=2)
    taken = sorted(set(user) & set(OWN_KEYS))
    if taken:
        raise UsageError(f"config may not use the key {taken[0]!r}", do="This package keeps its own settings there: rename it.")
    given = episode_config(episode) if episode else {}
    kind = run_kinds[-1]
    wandb_options["settings"] = bounded(wandb_options.get("settings"), karn.upload_timeout, os.environ)
    options = {**options_of(karn, placed(wandb_options, os.environ), os.environ), **kind.wandb_options}
    config = {**user, **own, **given} if is_primary(options["settings"]) else {}
    wandb_run = _start(project, config, options, strict=karn.strict)
    swept = without_secrets(sweep_values(wandb_run.settings), [])
    try:
        run = _assemble(
            kind, wandb_run, karn, user=user, episode=episode, swept=swept, claims=declared, baseline=baseline, sinks=tuple(sinks)
        )
    except KarnError:
        wandb_run.finish(exit_code=1)
        raise
    if is_primary(wandb_run.settings):
        mine = {"project": project, "claims": claims, "baseline": baseline, **wandb_options, **user}
        watch(wandb_run, swept, mine, episode, os.environ.get(READS))
    return run


def _start(project: str | None, config: dict[str, Any], options: dict[str, Any], *, strict: bool) -> wandb.Run:
    import wandb  # noqa: PLC0415 -- takes seconds

    options.setdefault("reinit", os.environ.get("WANDB_REINIT", "create_new"))
    if options["reinit"] in (True, "finish_previous"):
        for run in tuple(open_runs):  # or W&B would, without what is still to be written to them
            run.finish()
    try:
        return _instrumented(wandb.init(project=project, config=config, **options), config)
    except wandb.errors.CommError as error:
        if strict:
            raise
        offline = _offline(options)
        if offline["mode"] == "disabled":
            warnings.warn(f"W&B cannot be reached: {error}. This worker of a shared run does nothing.", KarnWarning, stacklevel=3)
            return wandb.init(project=project, config=config, **offline)
        renamed = "" if offline.get("id") == options.get("id") else " under an id of its own, for other runs are open"
        warnings.warn(
            f"W&B cannot be reached: {error}. The run goes on offline{renamed}; `wandb sync` sends it later.",
            KarnWarning,
            stacklevel=3,
        )
        return wandb.init(project=project, config=config, **offline)


def _offline(options: dict[str, Any]) -> dict[str, Any]:
    """The options of the same run offline.

    W&B's own process holds on to the id of a run that it could not start, and refuses it from then on. It lets go when it
    is shut down, which would end other runs that are open.
    """
    import wandb  # noqa: PLC0415 -- takes seconds

    if not is_primary(options.get("settings")):  # the folder of the primary is the run's
        return {**options, "mode": "disabled"}
    w_and_b = wandb.setup()
    if options.get("id") is None and w_and_b.settings.run_id is None:
        return {**options, "mode": "offline"}
    if getattr(w_and_b, "most_recent_active_run", "unknown") is not None:  # it is not documented, so it may go
        return {**options, "mode": "offline", "id": token_hex(4), "resume": None}
    wandb.teardown()
    return {**options, "mode": "offline"}


def _instrumented(wandb_run: wandb.Run, config: dict[str, Any]) -> wandb.Run:
    """The run, which W&B may have had already: then it lacks our part of the config."""
    if any(run.wandb is wandb_run for run in open_runs):
        raise UsageError(
            "this W&B run has the instrument around it already",
            got=f"reinit gave back {wandb_run.id}",
            do='Use the Run of the first init, or pass reinit="create_new".',
        )
    if config and OWN_KEYS[1] not in wandb_run.config:
        wandb_run.log({}, commit=True)  # or the row that is still open would take in ours
        wandb_run.config.update({key: value for key, value in config.items() if key not in wandb_run.config})  # type: ignore[no-untyped-call]
    return wandb_run


def _assemble(
    kind: type[Run],
    wandb_run: wandb.Run,
    karn: KarnConfig,
    *,
    user: dict[str, Any],
    episode: EpisodeContext | None,
    swept: dict[str, Any],
    claims: str,
    baseline: str | Path | None,
    sinks: tuple[Sink, ...],
) -> Run:
    final = without_secrets(dict(wandb_run.config), [])
    merged = KarnConfig.from_plain(overlay(karn.to_plain(), final.get("karn", {})))
    karn = replace(merged, processes=karn.processes, rank=karn.rank, world_size=karn.world_size)  # not a resumed run's
    config = overlay(user, user_config(final))
    context = with_sweep(context_of(episode, final, config), swept)
    primary = is_primary(wandb_run.settings)
    writes = primary and not wandb_run.disabled
    log_path = Path(wandb_run.dir).parent / LOG_NAME if writes else None
    present = _bring_back(wandb_run, log_path) if log_path else frozenset()
    log = RecordLog(log_path, remember_all=kind.remembers_all)
    resumed_at = log.next_sequence
    collector = KarnCollector(karn, log, sinks if writes else ())
    earlier = collector.episode().store if resumed_at else None
    if earlier is not None and earlier.context is not None:
        from karn_wandb.resume import continued  # noqa: PLC0415 -- needed by a resumed run only

        context = continued(earlier.context, context, given=episode is not None)
    if primary:
        wandb_run.config.update(episode_config(context), allow_val_change=True)  # type: ignore[no-untyped-call]
    gate = None
    if writes:
        from karn_wandb.sinks import LogGate, WandbSink  # noqa: PLC0415 -- loads wandb

        gate = LogGate(wandb_run)
        presets = karn.chart_presets
        sink = WandbSink(wandb_run, gate, log.events, log.path, present=present, told=resumed_at, chart_presets=presets)
        collector.follow(sink)
    run = kind(wandb_run, activate(collector), gate)
    if not primary:
        run.hold_config(_local_config(wandb_run, {**config, **config_of(karn), **episode_config(context)}))
    run.log_info(info_of(wandb_run, config, claims))
    if earlier is None or context != earlier.context:
        run.log_context(context)
    if baseline is not None:
        from karn_wandb.experiment.baseline import paired_baseline  # noqa: PLC0415 -- loads pandas

        paired = paired_baseline(baseline, context.base_seed, context.host_params)
        if earlier is None or paired != earlier.baseline:
            run.log_baseline(paired)
    return run


def _local_config(wandb_run: wandb.Run, values: dict[str, Any]) -> Any:
    """A config as W&B's run has one, which nobody is told of."""
    config: Any = type(wandb_run.config)()
    config.update(values)
    return config


def _bring_back(wandb_run: wandb.Run, log_path: Path) -> frozenset[int]:
    """Lay out the record log of a run that is resumed as far as it is known; gives the events that W&B has."""
    if wandb_run.settings.resume is None:
        return frozenset()
    from karn_wandb.resume import RESUMING, past_of  # noqa: PLC0415 -- needed by a resumed run only

    if wandb_run.settings.resume not in RESUMING:
        return frozenset()
    past = past_of(wandb_run)
    if past.events:
        write_log(log_path, past.events)
    said = [*past.damage]
    if wandb_run.settings.resume == "must" and not past.events:
        said.append("nothing that an earlier process logged is at hand, so it begins anew")
    for line in said:
        warnings.warn(f"run {wandb_run.id} is resumed: {line}", KarnWarning, stacklevel=4)
    return past.present
