"""Parallel control runs: what was gained by training with each slot, which no single run can show.

A full run and its control share the random seed and all settings but one: in the control nothing ever germinates in the
slot. The difference in the final metric is the slot's causal contribution under that controller: the total effect of its
being open, everything that controller and network then do differently included. Removing the slot from a trained network
measures something else, since host and other seed modules adapted to it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from karn_wandb.errors import SourceError, StatisticsError
from karn_wandb.experiment.aggregation import Filter, aggregate, in_words, runs_of
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.filters import ARM_COLUMNS, column_of, select
from karn_wandb.experiment.matching import JOIN, ArmRun, natural
from karn_wandb.records import (
    OCCUPIED,
    CausalContributions,
    Comparison,
    CounterfactualMatrix,
    ExcludedRun,
    ExperimentAggregation,
    RemovalCost,
    SlotContribution,
)
from karn_wandb.statistics import compare, correct

CONTROL_KEY = "disabled_slot"
"""Config entry that names the slot in which nothing ever germinated."""

NOTHING = (None, "none")
"""Its values in a full run."""

_EVALUATED = MappingProxyType({"final_accuracy": "val_accuracy", "final_loss": "val_loss"})
"""What a coalition's evaluation calls a metric of the episodes; of others there is no removal cost."""

Evaluations = Mapping[str, Sequence[CounterfactualMatrix | None]]
"""By run: the last evaluated matrix of each episode."""


@dataclass(frozen=True, slots=True)
class _Trained:
    """What a run's epochs say: the slots that ever held a seed module, and the last epoch."""

    grown: frozenset[str]
    epochs: int


def causal_contributions(
    experiment: Experiment,
    metric: str = "final_accuracy",
    control_key: str = CONTROL_KEY,
    pair_by: str = "base_seed",
    *,
    where: Filter | None = None,
    higher_is_better: bool = True,
    margin: float | None = None,
    confidence: float = 0.95,
) -> CausalContributions:
    """Compare full runs with runs trained without a slot from the start, slot by slot.

    Beside each slot's causal contribution stand its removal cost in the full runs, at their last evaluated epoch, and the
    difference of the two by random seed. Which runs count, and why others do not, is as in `aggregate`.

    Args:
        experiment: The runs.
        metric: Numeric column of `experiment.episodes`. Removal costs are known of final_accuracy and final_loss.
        control_key: Config entry that names the disabled slot; missing or "none" in full runs.
        pair_by: Column whose equal values make a pair.
        where: Filter that full and control runs share. Without one it is the value of config `arm`, else `controller`, that
            both have, so that host-only runs are no full runs.
        higher_is_better: Direction of the metric.
        margin: The largest difference that does not matter, in the metric's unit.
        confidence: Confidence of the intervals.

    Raises:
        SourceError: There is no control run, or no full run, or none matches `where`.
        StatisticsError: The control runs are of several controllers; or as in `aggregate`.
    """
    shared = _shared(experiment.episodes, control_key) if where is None else where
    evaluations = _last_evaluations(experiment)
    options: dict[str, Any] = {"higher_is_better": higher_is_better, "margin": margin, "confidence": confidence}
    full = full_runs(control_key, shared)
    slots = _slots(experiment.episodes, control_key, shared, evaluations)
    trained = _trained(experiment, slots)
    measured = []
    for slot in slots:
        control = without(slot, control_key, shared)
        causal = aggregate(experiment, metric, treatment=full, control=control, pair_by=pair_by, **options)
        runs = [run for run in runs_of(experiment.episodes, full, "treatment", metric, pair_by) if not run.reason]
        removals, not_evaluated = _removals(runs, slot, evaluations, _EVALUATED.get(metric))
        measured.append(
            SlotContribution(
                slot=slot,
                causal=causal,
                removal=_compared([(r.value_with, r.value_without) for r in removals], options),
                difference=_compared(_both(removals, causal), options),
                removals=removals,
                not_evaluated=not_evaluated,
                grown=_grown(trained, slot, [pair.treatment_run for pair in causal.pairs]),
                warnings=tuple(_warnings(trained, slot, causal, removals)),
            )
        )
    return CausalContributions(
        metric=metric,
        control_key=control_key,
        pair_by=pair_by,
        confidence=confidence,
        where=in_words(shared),
        slots=_corrected(measured),
        input_hash=_hash(measured),
    )


def control_groups(episodes: pd.DataFrame, control_key: str = CONTROL_KEY) -> tuple[Filter, ...]:
    """What control runs share with full runs, a filter for each controller; none when either kind is missing."""
    try:
        column = column_of(episodes, control_key)
    except SourceError:
        return ()
    full = select(episodes, {control_key: NOTHING})
    controls = ~full & episodes[column].map(lambda value: isinstance(value, str)).astype(bool)
    if not full.any() or not controls.any():
        return ()
    for arm in (c for c in ARM_COLUMNS if c in episodes.columns):
        shared = set(map(str, episodes.loc[controls, arm].dropna())) & set(map(str, episodes.loc[full, arm].dropna()))
        values = {str(value): value for value in episodes[arm].dropna() if str(value) in shared}
        if values:
            return tuple({arm.removeprefix("config."): values[name]} for name in sorted(values))
    return ({},)


def disabled_slots(episodes: pd.DataFrame, control_key: str, shared: Filter) -> list[str]:
    """The slots that control runs were trained without, by name."""
    chosen = episodes.loc[select(episodes, shared), column_of(episodes, control_key)]
    return sorted({value for value in chosen if isinstance(value, str)} - set(NOTHING), key=natural)


def full_runs(control_key: str, shared: Filter) -> Filter:
    """Filter of the runs trained with all slots."""
    return {control_key: NOTHING, **shared}


def without(slot: str, control_key: str, shared: Filter) -> Filter:
    """Filter of the runs trained without a slot."""
    return {control_key: slot, **shared}


def _shared(episodes: pd.DataFrame, control_key: str) -> Filter:
    groups = control_groups(episodes, control_key)
    if not groups:
        raise SourceError(
            "there are no control runs with full runs beside them",
            do=f"Train runs in which nothing ever germinates in a slot, with its name as {control_key!r} in the config, and runs "
            "with all slots.",
        )
    if len(groups) > 1:
        raise StatisticsError(
            "the control runs are of several controllers", got="; ".join(map(in_words, groups)), do="Choose one with where=."
        )
    return groups[0]


def _slots(episodes: pd.DataFrame, control_key: str, shared: Filter, evaluations: Evaluations) -> list[str]:
    """Slots that have control runs; in the order of the coalitions, if there are any, then of their names."""
    named = disabled_slots(episodes, control_key, shared)
    if not named:
        raise SourceError(f"there are no control runs: no run with {in_words(shared)} names a slot in {control_key!r}")
    matrices = [matrix for found in evaluations.values() for matrix in found if matrix is not None]
    order = dict.fromkeys(slot for matrix in matrices for slot in matrix.slot_ids)
    return [*(slot for slot in order if slot in named), *(slot for slot in named if slot not in order)]


def _last_evaluations(experiment: Experiment) -> Evaluations:
    newest: dict[tuple[str, int, int], CounterfactualMatrix] = {}
    for run in experiment.runs:
        for env_id, episode_idx, matrix in run.telemetry.matrices(last=True):
            place = (run.run_id, env_id, episode_idx)
            newest[place] = max(matrix, newest.get(place, matrix), key=lambda one: one.epoch)
    found = defaultdict(list)
    for run_id, env_id, episode_idx in experiment.episodes[["run_id", "env_id", "episode_idx"]].itertuples(index=False):
        found[run_id].append(newest.get((run_id, env_id, episode_idx)))
    return found


def _removals(
    runs: Iterable[ArmRun], slot: str, evaluations: Evaluations, field: str | None
) -> tuple[tuple[RemovalCost, ...], tuple[ExcludedRun, ...]]:
    """Each random seed's removal cost, and the runs that have none."""
    by_key: dict[str, list[RemovalCost]] = defaultdict(list)
    left_out = []
    for run in runs:
        found = _removal(run, slot, evaluations[run.run_id], field)
        if isinstance(found, str):
            left_out.append(ExcludedRun(run.run_id, "treatment", run.state, found))
        else:
            by_key[found.key].append(found)
    return tuple(_mean(by_key[key]) for key in sorted(by_key, key=natural)), tuple(left_out)


def _removal(run: ArmRun, slot: str, matrices: Sequence[CounterfactualMatrix | None], field: str | None) -> RemovalCost | str:
    """A run's removal cost, the mean of its episodes; or why it has none."""
    if field is None:
        return "coalitions are evaluated for accuracy and loss only"
    if len(run.keys) != 1:
        return "it has no single value to be paired by"
    ends = [None if matrix is None else _ends(matrix, slot, field) for matrix in matrices]
    known = [pair for pair in ends if pair is not None]
    if len(known) < len(ends):
        return f"{slot} was not evaluated with and without" + (" in every episode" if len(ends) > 1 else "")
    return RemovalCost(
        key=run.keys[0],
        run=run.run_id,
        epoch=min(matrix.epoch for matrix in matrices if matrix is not None),
        value_with=math.fsum(a for a, _ in known) / len(known),
        value_without=math.fsum(b for _, b in known) / len(known),
    )


def _ends(matrix: CounterfactualMatrix, slot: str, field: str) -> tuple[float, float] | None:
    """All slots on, and all but this one; None when one was not evaluated."""
    if slot not in matrix.slot_ids:
        return None
    values: dict[tuple[bool, ...], float | None] = {result.config: getattr(result, field) for result in matrix.configs}
    on = values.get((True,) * len(matrix.slot_ids))
    off = values.get(tuple(other != slot for other in matrix.slot_ids))
    return None if on is None or off is None or not math.isfinite(on - off) else (on, off)


def _mean(costs: Sequence[RemovalCost]) -> RemovalCost:
    return RemovalCost(
        key=costs[0].key,
        run=JOIN.join(cost.run for cost in costs),
        epoch=min(cost.epoch for cost in costs),
        value_with=math.fsum(cost.value_with for cost in costs) / len(costs),
        value_without=math.fsum(cost.value_without for cost in costs) / len(costs),
    )


def _both(removals: Sequence[RemovalCost], causal: ExperimentAggregation) -> list[tuple[float, float]]:
    """Removal cost and causal contribution of every random seed that has both."""
    costs = {removal.key: removal.cost for removal in removals}
    return [(costs[pair.key], pair.treatment - pair.control) for pair in causal.pairs if pair.key in costs]


def _compared(pairs: Sequence[tuple[float, float]], options: Mapping[str, Any]) -> Comparison | None:
    treatment, control = np.transpose(pairs) if pairs else ((), ())
    return compare(treatment, control, paired=True, **options) if pairs else None


def _trained(experiment: Experiment, slots: Sequence[str]) -> dict[str, _Trained]:
    """What the epochs of every run say, gone through one run after the other."""
    stages = {f"slot.{slot}.stage": slot for slot in slots}
    occupied = [stage.name for stage in OCCUPIED]
    found = {}
    for epochs in experiment.epochs_by_run(*stages):
        if not epochs.empty:
            grown = frozenset(slot for name, slot in stages.items() if name in epochs and epochs[name].isin(occupied).any())
            found[str(epochs["run_id"].iloc[0])] = _Trained(grown, int(epochs["epoch"].max()))
    return found


def _grown(trained: Mapping[str, _Trained], slot: str, runs: Iterable[str]) -> tuple[str, ...]:
    """Those of the runs in which the slot ever held a seed module."""
    asked = {run for joined in runs for run in joined.split(JOIN)}
    return tuple(sorted(run for run in asked if run in trained and slot in trained[run].grown))


def _warnings(
    trained: Mapping[str, _Trained], slot: str, causal: ExperimentAggregation, removals: Sequence[RemovalCost]
) -> Iterator[str]:
    spoilt = _grown(trained, slot, [pair.control_run for pair in causal.pairs])
    if spoilt:
        yield f"something grew in {slot} all the same in {', '.join(spoilt)}, named as trained without it"
    last = {run: found.epochs for run, found in trained.items()}
    early = [r.run for r in removals if r.epoch < max(last.get(run, 0) for run in r.run.split(JOIN))]
    if early:
        yield f"the removal cost of {', '.join(early)} was measured before the last epoch, in a network that was trained further"


def _corrected(slots: Sequence[SlotContribution]) -> tuple[SlotContribution, ...]:
    families = [
        _adjusted([slot.causal.comparison for slot in slots]),
        _adjusted([slot.removal for slot in slots]),
        _adjusted([slot.difference for slot in slots]),
    ]
    return tuple(
        replace(slot, p_causal=causal, p_removal=removal, p_difference=difference)
        for slot, causal, removal, difference in zip(slots, *families, strict=True)
    )


def _adjusted(compared: Sequence[Comparison | None]) -> list[float | None]:
    ps = [None if comparison is None else comparison.p_value for comparison in compared]
    counted = correct([1.0 if p is None else p for p in ps], method="holm")
    return [None if p is None else q for p, q in zip(ps, counted, strict=True)]


def _hash(slots: Sequence[SlotContribution]) -> str:
    values = [[slot.slot, slot.causal.input_hash, [r.to_plain() for r in slot.removals]] for slot in slots]
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
