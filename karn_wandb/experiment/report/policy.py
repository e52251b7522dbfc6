"""Policy against shadow heuristic across runs: the run is the unit, since decisions inside one repeat each other."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from karn_wandb.experiment.agreement import WHOLE, Agreement, OpCount
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.report.arms import Arms
from karn_wandb.experiment.report.words import percent
from karn_wandb.statistics.intervals import paired_difference, t_interval

CONFIDENCE = 0.95
FEWEST = 3
"""Runs below which there is no interval."""


@dataclass(frozen=True, slots=True)
class HeadAgreement:
    """How often one part of the policy's decisions is the heuristic's; a run counts once, by its own rate.

    Attributes:
        head: "action" for the whole decision, "op", or another head, which is compared where the op is the same.
        runs: Runs in which it was compared.
        decisions: Decisions in which it was.
        rate: Mean over runs of the fraction that agrees, 0 to 1.
        ci_low: Lower end of its 95 % t interval over runs, at least 0; None below three runs, or without spread.
        ci_high: Upper end of it, at most 1.
    """

    head: str
    runs: int
    decisions: int
    rate: float
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True, slots=True)
class Regret:
    """What the heuristic's action in place of the policy's would have brought; a run counts once, by its own mean.

    Attributes:
        runs: Runs in which it was measured.
        decisions: Decisions at which it was.
        mean: Mean over runs, in reward units; positive where the heuristic's action would have been better.
        ci_low: Lower end of its 95 % t interval over runs; None below three runs, or without spread.
        ci_high: Upper end of it.
    """

    runs: int
    decisions: int
    mean: float
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True, slots=True)
class OpPair:
    """An op of the policy beside the heuristic's at the same decision.

    Attributes:
        policy: What the policy chose.
        heuristic: What the heuristic would have chosen.
        decisions: How often.
        runs: In how many runs.
        regret: Over those that disagree, in the op or another head; None where it was not measured.
    """

    policy: str
    heuristic: str
    decisions: int
    runs: int
    regret: Regret | None


@dataclass(frozen=True, slots=True)
class PolicyAgreement:
    """Policy against shadow heuristic in the runs of an arm.

    Attributes:
        arm: Label of the arm, "" for runs in none.
        runs: Runs with decisions that carry the heuristic's action, finished or not.
        decisions: Those decisions.
        disagreements: Those of them in which the two differ, in the op or another head.
        regret: Over these disagreements; None where it was not measured.
        heads: The whole decision, the op, and the other heads.
        ops: Every pair of ops that was met, the most frequent first.
    """

    arm: str
    runs: int
    decisions: int
    disagreements: int
    regret: Regret | None
    heads: tuple[HeadAgreement, ...]
    ops: tuple[OpPair, ...]


def agreements(experiment: Experiment, arms: Arms) -> tuple[PolicyAgreement, ...]:
    """Of every arm whose runs have decisions with the heuristic's action, in the arms' order; no event is read for it."""
    episodes = experiment.episodes[["run_id", "env_id", "episode_idx"]]
    chosen = set(episodes.itertuples(index=False, name=None))
    by_arm: defaultdict[str, dict[str, list[Agreement]]] = defaultdict(dict)
    for run in sorted(experiment.runs, key=lambda run: run.run_id):
        kept = [e.policy for e in run.telemetry.facts.episodes if (run.run_id, e.env_id, e.episode_idx) in chosen]
        if found := [policy for policy in kept if policy is not None]:
            by_arm[arms.of_run.get(run.run_id, "")][run.run_id] = found
    order = [*arms.order(), ""]
    return tuple(_of_arm(arm, list(by_arm[arm].values())) for arm in sorted(by_arm, key=order.index))


def _of_arm(arm: str, runs: Sequence[Sequence[Agreement]]) -> PolicyAgreement:
    episodes = [episode for run in runs for episode in run]
    heads = dict.fromkeys(head for episode in episodes for head in episode.compared)
    met = [[pair for episode in run for pair in episode.ops] for run in runs]
    by_pair: defaultdict[tuple[str, str], defaultdict[int, list[OpCount]]] = defaultdict(lambda: defaultdict(list))
    for place, run in enumerate(met):
        for pair in run:
            by_pair[pair.policy, pair.heuristic][place].append(pair)
    ops = [_of_pair(*names, tuple(by_run.values())) for names, by_run in by_pair.items()]
    return PolicyAgreement(
        arm=arm,
        runs=len(runs),
        decisions=sum(episode.decisions for episode in episodes),
        disagreements=sum(episode.compared[WHOLE] - episode.agreed[WHOLE] for episode in episodes),
        regret=_regret(met),
        heads=tuple(_of_head(head, runs) for head in heads),
        ops=tuple(sorted(ops, key=lambda pair: (-pair.decisions, pair.policy, pair.heuristic))),
    )


def _of_pair(policy: str, heuristic: str, runs: Sequence[Sequence[OpCount]]) -> OpPair:
    return OpPair(policy, heuristic, sum(pair.decisions for run in runs for pair in run), len(runs), _regret(runs))


def _regret(runs: Sequence[Sequence[OpCount]]) -> Regret | None:
    counted = [(sum(pair.regrets for pair in run), sum(pair.regret_sum for pair in run)) for run in runs]
    measured = [(many, total / many) for many, total in counted if many and math.isfinite(total)]  # not beyond all floats
    if not measured:
        return None
    means = [mean for _, mean in measured]
    low, high = _over_runs(means)
    return Regret(len(means), sum(many for many, _ in measured), sum(means) / len(means), low, high)


def _of_head(head: str, runs: Sequence[Sequence[Agreement]]) -> HeadAgreement:
    compared = [sum(episode.compared.get(head, 0) for episode in run) for run in runs]
    agreed = [sum(episode.agreed.get(head, 0) for episode in run) for run in runs]
    rates = [same / of for same, of in zip(agreed, compared, strict=True) if of]
    low, high = _over_runs(rates)
    cut = (None, None) if low is None or high is None else (max(low, 0.0), min(high, 1.0))
    return HeadAgreement(head, len(rates), sum(compared), sum(rates) / len(rates), *cut)


def _over_runs(values: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """The t interval of the mean of a value a run; none below `FEWEST`, or without spread."""
    if len(values) < FEWEST or min(values) == max(values):
        return None, None
    return t_interval(paired_difference(np.array(values), np.zeros(len(values))), CONFIDENCE)


def methods(found: Sequence[PolicyAgreement]) -> tuple[str, ...]:
    """What was done, in a paragraph; none where nothing was."""
    if not found:
        return ()
    text = (
        "Agreement of the policy with the shadow heuristic is the fraction of decisions in which both chose alike, of every run "
        f"by itself; the mean over runs is given with its {percent(CONFIDENCE)} t interval (Student 1908) between runs, cut off "
        "at 0 and 100 %. Decisions inside a run depend on each other and are not counted as independent."
    )
    branched = (
        "The regret of a disagreement, as the runs logged it, is by common random numbers (Glasserman 1992): the return of the "
        "training branched at that decision, with the heuristic's action in place of the policy's, the policy afterwards and the "
        "random numbers of the training itself, minus the return of that training. Of every run the mean over the disagreements "
        f"measured is taken; the mean over runs is given with its {percent(CONFIDENCE)} t interval (Student 1908) between runs. "
        "Intervals of pairs of ops are not corrected for their number. It is the effect of single actions, and not of following "
        "the heuristic throughout."
    )
    return (text, branched) if any(arm.regret for arm in found) else (text,)
