"""Two arms of an experiment compared: which runs count, which runs belong together, and why the others do not."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from karn_wandb.errors import SourceError, StatisticsError
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.filters import column_of, select
from karn_wandb.records import Comparison, ExcludedRun, ExperimentAggregation, Pair
from karn_wandb.statistics import compare

MOST_VALUES = 8
"""Values that an error lists."""

JOIN = " + "
"""Between the ids of runs that count once, by their mean."""

Arm = Literal["treatment", "control"]
Filter = Mapping[str, Any]


def aggregate(
    experiment: Experiment,
    metric: str = "final_accuracy",
    *,
    treatment: Filter,
    control: Filter,
    pair_by: str | None = "base_seed",
    higher_is_better: bool = True,
    margin: float | None = None,
    confidence: float = 0.95,
) -> ExperimentAggregation:
    """Compare two arms, one number per run.

    The run is the unit: the episodes of one run are averaged, since they share a process and often a policy. Only
    finished runs that have the metric are analysed; every other is listed with the reason. When paired, several runs
    of one arm with the same key are averaged, so that nobody chooses among them.

    Args:
        experiment: The runs.
        metric: Numeric column of `experiment.episodes`.
        treatment: Filter of the treatment arm, such as {"controller": "heuristic"}.
        control: Filter of the control arm.
        pair_by: Column whose equal values make a pair; None compares the arms unpaired.
        higher_is_better: Direction of the metric.
        margin: Non-inferiority margin, positive, in the metric's unit.
        confidence: Confidence of the intervals.

    Returns:
        The aggregation; its `comparison` is None when an arm, or the set of pairs, is empty.

    Raises:
        SourceError: A filter selects no run.
        StatisticsError: A column is unknown or not numeric, or a run is in both arms.
    """
    episodes = experiment.episodes
    check_numbers(episodes, metric, "metric")
    if pair_by is not None:
        _check_column(episodes, pair_by, "pair_by column")
    key = pair_by or "base_seed"
    filters: dict[Arm, Filter] = {"treatment": treatment, "control": control}
    arms = {arm: runs_of(episodes, filters[arm], arm, metric, key) for arm in filters}
    _check_disjoint(arms)

    runs = [*arms["treatment"], *arms["control"]]
    usable = [run for run in runs if not run.reason]
    pairs, unmatched = _pair(usable, pair_by) if pair_by else ((), ())
    analysed = _analysed(usable, pairs if pair_by else None)
    comparison = _compare(
        analysed, paired=pair_by is not None, higher_is_better=higher_is_better, margin=margin, confidence=confidence
    )
    alone = {run.run_id for run in unmatched}
    kept = [run for run in usable if run.run_id not in alone]
    return ExperimentAggregation(
        run_ids=tuple(run.run_id for run in kept),
        mean_delta=comparison.mean_delta if comparison else None,
        std_delta=comparison.std_delta if comparison else None,
        p_value=comparison.p_value if comparison else None,
        cohens_d=comparison.cohens_d if comparison else None,
        metric=metric,
        treatment=in_words(treatment),
        control=in_words(control),
        pair_by=pair_by,
        comparison=comparison,
        pairs=pairs,
        unmatched=unmatched,
        excluded=tuple(ExcludedRun(run.run_id, run.arm, run.state, run.reason) for run in runs if run.reason),
        values=tuple(run.value for run in kept),
        input_hash=_hash(runs, metric, dict(treatment), dict(control), pair_by, higher_is_better, margin, confidence),
        warnings=_warnings(usable, pair_by),
    )


def in_words(arm: Filter) -> str:
    """A filter as text: "controller = heuristic, lr = 0.1"."""
    return ", ".join(f"{name} = {value_in_words(value)}" for name, value in arm.items())


def value_in_words(value: object) -> str:
    """A filter's value as text, as YAML would have it where there is none."""
    if isinstance(value, tuple):
        return " or ".join(map(value_in_words, value))
    return "null" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class ArmRun:
    """One run of an arm: its value and its keys, or the reason why it is not analysed."""

    run_id: str
    arm: Arm
    state: str
    episodes: int
    keys: tuple[str, ...]
    value: float = math.nan
    reason: str = ""


def runs_of(episodes: pd.DataFrame, arm: Filter, role: Arm, metric: str, key: str) -> list[ArmRun]:
    """Every run of an arm, by id.

    Args:
        episodes: Frame of episodes.
        arm: The arm's filter.
        role: Which of two arms it is.
        metric: Column of each run's value, averaged over its episodes.
        key: Column it may be paired by.

    Raises:
        SourceError: The filter selects no run.
    """
    columns = list(dict.fromkeys(("run_id", "state", "reason", metric, key)))
    return [_run(rows, role, metric, key) for _, rows in _arm(episodes, arm)[columns].groupby("run_id", sort=True)]


def check_numbers(episodes: pd.DataFrame, name: str, role: str) -> None:
    """Raise `StatisticsError` unless the episodes have a column of that name, of numbers."""
    _check_column(episodes, name, role)
    if not pd.api.types.is_numeric_dtype(episodes[name]) or pd.api.types.is_bool_dtype(episodes[name]):
        raise StatisticsError(f"the {role} {name!r} is not numeric", do="Name a column of numbers.")


def _check_column(episodes: pd.DataFrame, name: str, role: str) -> None:
    if name in episodes.columns:
        return
    near = difflib.get_close_matches(name, [str(c) for c in episodes.columns], n=3)
    raise StatisticsError(
        f"there is no {role} {name!r}",
        do=f"Did you mean {' or '.join(map(repr, near))}?" if near else "Name a column of the experiment's episodes.",
    )


def _arm(episodes: pd.DataFrame, arm: Filter) -> pd.DataFrame:
    chosen = episodes[select(episodes, arm)]
    if chosen.empty:
        raise SourceError(f"no run has {in_words(arm)}", do=" ".join(_values_of(episodes, name) for name in arm))
    return chosen


def _values_of(episodes: pd.DataFrame, name: str) -> str:
    """What values of a name there are, for a filter that found none."""
    values = sorted({str(value) for value in episodes[column_of(episodes, name)].dropna()}, key=natural)
    more = " ..." if len(values) > MOST_VALUES else ""
    return f"The values of {name} are {', '.join(values[:MOST_VALUES])}{more}."


def _check_disjoint(arms: Mapping[Arm, Sequence[ArmRun]]) -> None:
    both = sorted({run.run_id for run in arms["treatment"]} & {run.run_id for run in arms["control"]})
    if both:
        raise StatisticsError(
            f"{len(both)} {'run is' if len(both) == 1 else 'runs are'} in both arms",
            got=", ".join(both[:3]),
            do="Make the filters of the arms exclude each other.",
        )


def _run(rows: pd.DataFrame, arm: Arm, metric: str, key: str) -> ArmRun:
    states = [str(state) for state in rows["state"]]
    state = next((s for s in states if s != "finished"), "finished")
    keys = tuple(sorted({_text(k) for k in rows[key].dropna()}, key=natural))
    values = [float(v) for v in rows[metric].to_numpy(dtype=float, na_value=math.nan)]
    finite = all(math.isfinite(v) for v in values)
    return ArmRun(
        run_id=str(rows["run_id"].iloc[0]),
        arm=arm,
        state=state,
        episodes=len(rows),
        keys=keys,
        value=math.fsum(values) / len(values) if finite else math.nan,
        reason=_unfinished(rows, states, state) or ("" if finite else _not_finite(metric, values)),
    )


def _unfinished(rows: pd.DataFrame, states: Sequence[str], state: str) -> str:
    if state == "finished":
        return ""
    count = sum(s != "finished" for s in states)
    which = f"{count} of {len(states)} episodes {state}" if len(states) > 1 else state
    why = next((str(r) for s, r in zip(states, rows["reason"], strict=True) if s == state and isinstance(r, str) and r), "")
    return f"{which}: {why}" if why else which


def _not_finite(metric: str, values: Sequence[float]) -> str:
    bad = [v for v in values if not math.isfinite(v)]
    what = f"{metric} is {bad[0]}" if math.isinf(bad[0]) else f"{metric} is missing or NaN"
    return f"{what} in {len(bad)} of {len(values)} episodes" if len(values) > 1 else what


def _text(key: Any) -> str:
    return str(int(key)) if isinstance(key, float) and key.is_integer() else str(key)


def natural(key: str) -> tuple[float, str]:
    """Numbers in their order, then texts in theirs."""
    try:
        return float(key), key
    except ValueError:
        return math.inf, key


def _pair(runs: Sequence[ArmRun], pair_by: str) -> tuple[tuple[Pair, ...], tuple[ExcludedRun, ...]]:
    by_key: dict[str, dict[Arm, list[ArmRun]]] = defaultdict(lambda: {"treatment": [], "control": []})
    unmatched = []
    for run in runs:
        if len(run.keys) == 1:
            by_key[run.keys[0]][run.arm].append(run)
        else:
            why = f"its episodes have several values of {pair_by}" if run.keys else f"it has no {pair_by}"
            unmatched.append(ExcludedRun(run.run_id, run.arm, run.state, why))
    pairs = []
    for key in sorted(by_key, key=natural):
        sides = by_key[key]
        if sides["treatment"] and sides["control"]:
            pairs.append(_joined(key, sides["treatment"], sides["control"]))
        else:
            unmatched += [
                ExcludedRun(r.run_id, r.arm, r.state, f"no analysed run of the other arm has {pair_by} {key}")
                for side in sides.values()
                for r in side
            ]
    return tuple(pairs), tuple(unmatched)


def _joined(key: str, treatment: Sequence[ArmRun], control: Sequence[ArmRun]) -> Pair:
    return Pair(
        key=key,
        treatment_run=JOIN.join(run.run_id for run in treatment),
        control_run=JOIN.join(run.run_id for run in control),
        treatment=_mean(treatment),
        control=_mean(control),
    )


def _mean(runs: Sequence[ArmRun]) -> float:
    return math.fsum(run.value for run in runs) / len(runs)


def _analysed(runs: Sequence[ArmRun], pairs: Sequence[Pair] | None) -> dict[Arm, list[float]]:
    if pairs is not None:
        return {"treatment": [pair.treatment for pair in pairs], "control": [pair.control for pair in pairs]}
    return {
        "treatment": [run.value for run in runs if run.arm == "treatment"],
        "control": [run.value for run in runs if run.arm == "control"],
    }


def _compare(values: Mapping[Arm, list[float]], **options: Any) -> Comparison | None:
    if not values["treatment"] or not values["control"]:
        return None
    return compare(values["treatment"], values["control"], **options)


def _warnings(runs: Sequence[ArmRun], pair_by: str | None) -> tuple[str, ...]:
    found = []
    several = [run for run in runs if run.episodes > 1]
    if several:
        runs_hold, it = ("run holds", "it") if len(several) == 1 else ("runs hold", "each")
        found.append(f"{len(several)} {runs_hold} several episodes: {it} counts once, by the mean of its episodes.")
    arms: tuple[Arm, ...] = ("treatment", "control")
    for arm in arms:
        keys = [run.keys[0] for run in runs if run.arm == arm and len(run.keys) == 1]
        repeated = sorted({key for key in keys if keys.count(key) > 1}, key=natural)
        if repeated:
            found.append(_repeated(arm, pair_by, repeated))
    return tuple(found)


def _repeated(arm: Arm, pair_by: str | None, keys: Sequence[str]) -> str:
    several = f"the {arm} arm has several runs of {pair_by or 'base_seed'} {', '.join(keys)}"
    if pair_by:
        return f"{several}: each pair uses their mean, so that none is chosen."
    return f"{several}: runs of one seed are not independent, so the interval may be too narrow."


def _hash(runs: Sequence[ArmRun], *options: Any) -> str:
    values = [[run.arm, run.run_id, list(run.keys), run.reason or run.value] for run in runs]
    text = json.dumps([values, options], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
