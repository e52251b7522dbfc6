"""Runs as tidy data frames: a row per episode, epoch, evaluated coalition, slot's Shapley value, and pair's interaction.

Every frame has its columns even without rows, and is sorted by run_id, env_id, episode_idx and epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

import pandas as pd
import pyarrow as pa

from karn_wandb.errors import RecordError
from karn_wandb.experiment.columns import FLAG, NUMBER, TEXT, TIME, WHOLE, flatten, frame_of, frame_of_tables
from karn_wandb.experiment.runs import RunData
from karn_wandb.experiment.telemetry import Episode
from karn_wandb.records import CounterfactualMatrix, EpisodeContext, EpisodeOutcome
from karn_wandb.schema.config import CLAIMS_KEY, claims_config, user_config

Row = dict[str, Any]

TOGETHER = 64
"""Runs whose epochs are read at a time where they are gone through run by run."""

_KEYS = {"run_id": TEXT, "env_id": WHOLE, "episode_idx": WHOLE}

EPISODES = {
    "run_id": TEXT, "name": TEXT, "group": TEXT, "rank": WHOLE, "source": TEXT, "state": TEXT, "reason": TEXT,
    "env_id": WHOLE, "episode_idx": WHOLE, "base_seed": WHOLE, "epochs": WHOLE,
    "final_accuracy": NUMBER, "final_loss": NUMBER, "best_accuracy": NUMBER, "total_params": WHOLE, "host_params": WHOLE,
    "reward_total": NUMBER, "wall_clock_s": NUMBER, "git_commit": TEXT, "started": TIME, "ended_at": TIME,
    "claims_sha256": TEXT, "claims": TEXT,
}  # fmt: skip
"""Columns of every frame of episodes; after them come `config.*` and `episode.*`.

`rank` is that of its process, `reward_total` its outcome's sum of the decisions' rewards, `ended_at` when that outcome was
logged; both are missing of an episode that has not ended. `claims` is the text of the claims file the run was started with,
missing where only the hash is known.
"""

EPOCHS = {
    **_KEYS,
    "epoch": WHOLE, "train_loss": NUMBER, "train_accuracy": NUMBER, "val_loss": NUMBER, "val_accuracy": NUMBER,
    "host_params": WHOLE, "total_seed_params": WHOLE, "total_params": WHOLE, "fossilized_params": WHOLE,
    "host_grad_norm": NUMBER, "grad_isolation_leakage": NUMBER,
}  # fmt: skip
"""Columns of every frame of epochs; after them come `seed_grad_norms.<slot>` and `slot.<slot>.<field>`."""

COUNTERFACTUALS = {
    **_KEYS,
    "epoch": WHOLE, "strategy": TEXT, "metric": TEXT, "complete": FLAG, "slots": TEXT, "config": TEXT,
    "val_loss": NUMBER, "val_accuracy": NUMBER, "n_examples": WHOLE, "examples_available": WHOLE, "early_stop": TEXT,
}  # fmt: skip

SHAPLEY = {
    **_KEYS,
    "epoch": WHOLE, "slot": TEXT, "mean": NUMBER, "std": NUMBER, "ci_low": NUMBER, "ci_high": NUMBER, "n_samples": WHOLE,
    "algorithm": TEXT, "exact": FLAG, "sampling_std": NUMBER, "evaluation_std": NUMBER, "evaluation_method": TEXT,
    "marginal": NUMBER, "marginal_basis": TEXT, "metric": TEXT, "complete": FLAG,
}  # fmt: skip
"""A slot without an estimate, as under ablation, has its marginal contribution only; `complete` is of the whole matrix."""

INTERACTIONS = {
    **_KEYS,
    "epoch": WHOLE, "slots": TEXT, "effect": NUMBER, "std": NUMBER, "ci_low": NUMBER, "ci_high": NUMBER, "regime": TEXT,
    "evaluation_method": TEXT, "basis": TEXT, "metric": TEXT,
}  # fmt: skip
"""`slots` is the pair, such as "early,mid"; `regime` is "undecided" where no interval is known."""


def episodes_frame(runs: Iterable[RunData]) -> pd.DataFrame:
    """A row per episode, and one for a run that has none, so that no run is lost.

    `final_*` are of the last epoch logged; `epochs` counts those from 1 on. Losses may be infinite or NaN, as logged.
    `wall_clock_s` is the time from the episode's first record to its last epoch, seconds: validation, logging and, in a run
    that was resumed, the time it did not run are in it.
    """
    rows = [row for run in runs for row in _episode_rows(run)]
    return frame_of(sorted(rows, key=_order), EPISODES)


def epochs_frame(runs: Iterable[RunData]) -> pd.DataFrame:
    """A row per epoch of each episode; stages by name."""
    return frame_of_tables([_of_run(run, run.telemetry.epochs()) for run in sorted(runs, key=attrgetter("run_id"))], EPOCHS)


def epochs_frames(runs: Iterable[RunData], columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """The rows of `epochs_frame` run by run, of which a few are in memory at a time.

    Args:
        runs: The runs.
        columns: Those that are wanted, beside the keys and the epoch; a run that has none of a name is without that column.
    """
    fixed = {name: EPOCHS[name] for name in EPOCHS if name in (*_KEYS, "epoch", *columns)}
    ordered = sorted(runs, key=attrgetter("run_id"))
    for start in range(0, len(ordered), TOGETHER):
        tables = [_of_run(run, run.telemetry.epochs(columns)) for run in ordered[start : start + TOGETHER]]
        together = frame_of_tables(tables, fixed)  # and cut up: making a frame takes far longer than filling it
        end = 0
        for table in tables:
            begin, end = end, end + len(table)
            own = [name for name in together if name in fixed or name in table.column_names]
            part = together[begin:end]
            yield (part if len(own) == len(together.columns) else part[own]).reset_index(drop=True)


def _of_run(run: RunData, epochs: pa.Table) -> pa.Table:
    return epochs.append_column("run_id", pa.repeat(pa.scalar(run.run_id, pa.string()), len(epochs)))


def counterfactuals_frame(runs: Iterable[RunData]) -> pd.DataFrame:
    """A row per evaluated coalition: which of `slots` were on is `config`, such as "101" of "early,mid,late"."""
    return _frame(runs, _coalition_rows, COUNTERFACTUALS)


def shapley_frame(runs: Iterable[RunData], *, last: bool = False) -> pd.DataFrame:
    """A row per slot of each evaluated matrix: its Shapley value and its marginal contribution.

    Args:
        runs: The runs.
        last: Only what was evaluated last (`Telemetry.matrices`).
    """
    return _frame(runs, _slot_rows, SHAPLEY, last=last)


def interactions_frame(runs: Iterable[RunData]) -> pd.DataFrame:
    """A row per pair of slots of each evaluated matrix: its interaction, with its uncertainty and regime."""
    return _frame(runs, _pair_rows, INTERACTIONS)


def _frame(
    runs: Iterable[RunData],
    rows_of: Callable[[CounterfactualMatrix], Iterable[Row]],
    columns: Mapping[str, str],
    *,
    last: bool = False,
) -> pd.DataFrame:
    rows = [
        {"run_id": run.run_id, "env_id": env_id, "episode_idx": episode_idx, **row}
        for run in runs
        for env_id, episode_idx, matrix in run.telemetry.matrices(last=last)
        for row in rows_of(matrix)
    ]
    return frame_of(sorted(rows, key=_order), columns)


def _order(row: Row) -> tuple[str, int, int, int]:
    return row["run_id"], row["env_id"], row["episode_idx"], row.get("epoch", 0)


def _coalition_rows(matrix: CounterfactualMatrix) -> Iterator[Row]:
    for result in matrix.configs:
        yield {
            "epoch": matrix.epoch,
            "strategy": matrix.strategy,
            "metric": matrix.metric,
            "complete": matrix.complete,
            "slots": ",".join(matrix.slot_ids),
            "config": "".join("1" if on else "0" for on in result.config),
            "val_loss": result.val_loss,
            "val_accuracy": result.val_accuracy,
            "n_examples": matrix.n_examples,
            "examples_available": matrix.examples_available,
            "early_stop": matrix.early_stop,
        }


def _slot_rows(matrix: CounterfactualMatrix) -> Iterator[Row]:
    estimates = matrix.shapley_values or {}
    for slot in dict.fromkeys((*matrix.slot_ids, *estimates, *matrix.marginal_contributions)):
        estimate = estimates.get(slot)
        yield {
            "epoch": matrix.epoch,
            "slot": slot,
            **(estimate.to_plain() if estimate else {}),
            "marginal": matrix.marginal_contributions.get(slot),
            "marginal_basis": matrix.marginal_basis,
            "metric": matrix.metric,
            "complete": matrix.complete,
        }


def _pair_rows(matrix: CounterfactualMatrix) -> Iterator[Row]:
    for pair, estimate in matrix.pairs().items():
        yield {
            "epoch": matrix.epoch,
            "slots": ",".join(pair),
            **estimate.to_plain(),
            "basis": matrix.interaction_basis,
            "metric": matrix.metric,
        }


def _episode_rows(run: RunData) -> Iterator[Row]:
    found = {(episode.env_id, episode.episode_idx): episode for episode in run.telemetry.facts.episodes}
    process = found.setdefault((0, 0), Episode())
    if len(found) > 1 and not process.scoped and not process.results:
        del found[0, 0]  # a run of many episodes has its own context and outcome there, which are no episode
    run_wide = {**flatten({"config": user_config(run.config)}), **_declared(run)}
    for episode in found.values():
        context = episode.context or process.context or _configured(run.config)
        yield {
            "run_id": run.run_id,
            "name": run.name,
            "group": run.group,
            "rank": run.telemetry.facts.rank,  # later events may be what it gathered from others
            "source": run.source,
            "env_id": episode.env_id,
            "episode_idx": episode.episode_idx,
            **_ending(run, episode.outcome),
            **(_origin(context) if context else {"started": run.started}),
            **_results(episode),
            "ended_at": episode.ended,
            **run_wide,
        }


def _declared(run: RunData) -> Row:
    """The claims file the run was started with: what its first process logged; of an older run, what its config says.

    A process that resumed the run may have brought another file, but not declared it before the run. It leaves its text in
    the config, which runs whose log never holds one do not.
    """
    first = run.telemetry.facts.info
    said = run.config.get(CLAIMS_KEY)
    said = said if isinstance(said, dict) else {}
    text = _text(said, "text")
    if first is not None and (first.claims or text):
        text, said = first.claims, {}
    said = claims_config(text).get(CLAIMS_KEY, said)
    return {"claims_sha256": _text(said, "sha256") or None, "claims": text or None}


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    return value if isinstance(value, str) else ""


def _configured(config: Mapping[str, Any]) -> EpisodeContext | None:
    """The context that W&B's config holds: all there is of a run whose rows are lost."""
    plain = config.get("episode")
    try:
        return EpisodeContext.from_plain(plain) if isinstance(plain, dict) else None
    except RecordError:  # the user's own "episode", in a run that is not ours
        return None


def _ending(run: RunData, outcome: EpisodeOutcome | None) -> Row:
    if outcome is None:
        return {"state": run.state, "reason": run.reason}
    return {"state": outcome.state, "reason": outcome.reason, "reward_total": outcome.reward_total}


def _results(episode: Episode) -> Mapping[str, Any]:
    """Numbers of the episode's last epoch; of its outcome when no epoch can be read."""
    if episode.results:
        taken = episode.trained - episode.began if episode.began and episode.trained else None
        return {**episode.results, "wall_clock_s": None if taken is None else taken.total_seconds()}
    outcome = episode.outcome or EpisodeOutcome(epochs=0)
    return {name: getattr(outcome, name) for name in ("epochs", "final_accuracy", "final_loss", "best_accuracy", "total_params")}


def _origin(context: EpisodeContext) -> Row:
    return {
        "base_seed": context.base_seed,
        "host_params": context.host_params or None,  # 0 when nothing was captured
        "git_commit": context.git_commit,
        "started": context.timestamp,
        **flatten({"episode": {f.name: getattr(context, f.name) for f in fields(context) if f.name != "timestamp"}}),
    }
