"""Two arms of an experiment compared: which runs count, which runs belong together, and why the others do not."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from karn_wandb.errors import SourceError, StatisticsError
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.filters import column_of, missing, select
from karn_wandb.experiment.matching import Arm, ArmRun, matched, natural
from karn_wandb.records import Comparison, ExcludedRun, ExperimentAggregation, Unfinished
from karn_wandb.statistics import compare

MOST_VALUES = 8
"""Values that an error lists."""

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
    unfinished: Unfinished = "left_out",
) -> ExperimentAggregation:
    """Compare two arms, one number per run.

    The run is the unit: the episodes of one run are averaged, since they share a process and often a policy. Only
    finished runs that have the metric are analysed, unless `unfinished` says otherwise; every other is listed with the
    reason. When paired, several runs of one arm with the same key are averaged, so that nobody chooses among them.

    Args:
        experiment: The runs.
        metric: Numeric column of `experiment.episodes`.
        treatment: Filter of the treatment arm, such as {"controller": "heuristic"}.
        control: Filter of the control arm.
        pair_by: Column whose equal values make a pair; None compares the arms unpaired.
        higher_is_better: Direction of the metric.
        margin: Non-inferiority margin, positive, in the metric's unit.
        confidence: Confidence of the intervals.
        unfinished: What runs count as that did not finish or lack the metric: "left_out", "worst" (the worst value of any
            run of both arms) or "last" (the metric at their last epoch, the worst value where that is none).

    Returns:
        The aggregation; its `comparison` is None when an arm, or the set of pairs, is empty.

    Raises:
        SourceError: A filter selects no run.
        StatisticsError: A column is unknown or not numeric, or a run is in both arms.
    """
    both = both_arms(experiment.episodes, metric, treatment=treatment, control=control, pair_by=pair_by)
    found = matched(both, pair_by, unfinished, higher_is_better=higher_is_better)
    usable = [run for run in found.runs if not run.reason]
    comparison = _compare(
        found.analysed, paired=pair_by is not None, higher_is_better=higher_is_better, margin=margin, confidence=confidence
    )
    alone = {run.run_id for run in found.unmatched}
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
        pairs=found.pairs,
        unmatched=found.unmatched,
        excluded=tuple(ExcludedRun(run.run_id, run.arm, run.state, run.reason) for run in found.runs if run.reason),
        unfinished=unfinished,
        counted=found.counted,
        values=tuple(run.value for run in kept),
        input_hash=_hash(both, metric, dict(treatment), dict(control), pair_by, higher_is_better, margin, confidence, unfinished),
        warnings=(*_by_rule(found.counted, unfinished), *_warnings(usable, pair_by)),
    )


def both_arms(
    episodes: pd.DataFrame, metric: str, *, treatment: Filter, control: Filter, pair_by: str | None
) -> tuple[ArmRun, ...]:
    """Every run of both arms, those of the treatment first; arguments and errors as of `aggregate`."""
    _check_column(episodes, metric, "metric")
    if not pd.api.types.is_numeric_dtype(episodes[metric]) or pd.api.types.is_bool_dtype(episodes[metric]):
        raise StatisticsError(f"the metric {metric!r} is not numeric", do="Name a column of numbers.")
    if pair_by is not None:
        _check_column(episodes, pair_by, "pair_by column")
    key = pair_by or "base_seed"
    filters: dict[Arm, Filter] = {"treatment": treatment, "control": control}
    arms = {arm: runs_of(episodes, filters[arm], arm, metric, key) for arm in filters}
    _check_disjoint(arms)
    return (*arms["treatment"], *arms["control"])


def in_words(arm: Filter) -> str:
    """A filter as text: "controller = heuristic, lr = 0.1"."""
    return ", ".join(f"{name} = {value_in_words(value)}" for name, value in arm.items())


def value_in_words(value: object) -> str:
    """A filter's value as text, as YAML would have it where there is none."""
    if isinstance(value, tuple):
        return " or ".join(map(value_in_words, value))
    return "null" if value is None else str(value)


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
    chosen = _arm(episodes, arm, list(dict.fromkeys(("run_id", "state", "reason", metric, key))))
    values = chosen[metric].to_numpy(dtype=float, na_value=math.nan).tolist()
    rows: defaultdict[str, list[_Episode]] = defaultdict(list)
    for run, *row in zip(chosen["run_id"], chosen["state"], chosen["reason"], chosen[key], values, strict=True):
        rows[str(run)].append(_Episode(*row))  # not by pandas, which takes a millisecond for each group
    return [_run(run, rows[run], role, metric) for run in sorted(rows)]


def _check_column(episodes: pd.DataFrame, name: str, role: str) -> None:
    if name in episodes.columns:
        return
    near = difflib.get_close_matches(name, [str(c) for c in episodes.columns], n=3)
    raise StatisticsError(
        f"there is no {role} {name!r}",
        do=f"Did you mean {' or '.join(map(repr, near))}?" if near else "Name a column of the experiment's episodes.",
    )


def _arm(episodes: pd.DataFrame, arm: Filter, columns: Sequence[str]) -> pd.DataFrame:
    chosen = episodes.loc[select(episodes, arm), columns]
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


class _Episode(NamedTuple):
    """What of an episode a comparison needs."""

    state: str
    reason: Any
    key: Any
    value: float


def _run(run_id: str, rows: Sequence[_Episode], arm: Arm, metric: str) -> ArmRun:
    state = next((row.state for row in rows if row.state != "finished"), "finished")
    keys = tuple(sorted({_text(row.key) for row in rows if not missing(row.key)}, key=natural))
    values = [row.value for row in rows]
    finite = all(math.isfinite(v) for v in values)
    return ArmRun(
        run_id=run_id,
        arm=arm,
        state=state,
        episodes=len(rows),
        keys=keys,
        value=math.fsum(values) / len(values) if finite else math.nan,
        reason=_unfinished(rows, state) or ("" if finite else _not_finite(metric, values)),
    )


def _unfinished(rows: Sequence[_Episode], state: str) -> str:
    if state == "finished":
        return ""
    count = sum(row.state != "finished" for row in rows)
    which = f"{count} of {len(rows)} episodes {state}" if len(rows) > 1 else state
    why = next((row.reason for row in rows if row.state == state and isinstance(row.reason, str) and row.reason), "")
    return f"{which}: {why}" if why else which


def _not_finite(metric: str, values: Sequence[float]) -> str:
    bad = [v for v in values if not math.isfinite(v)]
    what = f"{metric} is {bad[0]}" if math.isinf(bad[0]) else f"{metric} is missing or NaN"
    return f"{what} in {len(bad)} of {len(values)} episodes" if len(values) > 1 else what


def _text(key: Any) -> str:
    return str(int(key)) if isinstance(key, float) and key.is_integer() else str(key)


def _compare(values: Mapping[Arm, list[float]], **options: Any) -> Comparison | None:
    if not values["treatment"] or not values["control"]:
        return None
    return compare(values["treatment"], values["control"], **options)


def _by_rule(counted: Sequence[ExcludedRun], unfinished: Unfinished) -> tuple[str, ...]:
    if not counted:
        return ()
    one = len(counted) == 1
    as_what = "the worst value of any run" if unfinished == "worst" else "the last value logged"
    who = ", ".join(run.run_id for run in counted[:MOST_VALUES]) + (" ..." if len(counted) > MOST_VALUES else "")
    runs, count = ("run", "counts") if one else ("runs", "count")
    return (f"{len(counted)} {runs} that did not finish with a result {count} as {as_what}: {who}",)


def _warnings(runs: Sequence[ArmRun], pair_by: str | None) -> tuple[str, ...]:
    found = []
    several = [run for run in runs if run.episodes > 1]
    if several:
        runs_hold, it = ("run holds", "it") if len(several) == 1 else ("runs hold", "each")
        found.append(f"{len(several)} {runs_hold} several episodes: {it} counts once, by the mean of its episodes.")
    arms: tuple[Arm, ...] = ("treatment", "control")
    for arm in arms:
        keys = Counter(run.keys[0] for run in runs if run.arm == arm and len(run.keys) == 1)
        repeated = sorted((key for key, many in keys.items() if many > 1), key=natural)
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
