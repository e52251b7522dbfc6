"""Policy against shadow heuristic across runs: the run is the unit, since decisions inside one repeat each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from karn_wandb.experiment.agreement import WHOLE, Agreement
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.report.arms import Arms
from karn_wandb.experiment.report.blocks import Block, Items, Table, Text
from karn_wandb.experiment.report.words import count, percent
from karn_wandb.statistics.clusters import clustered_mean
from karn_wandb.statistics.intervals import t_interval

CONFIDENCE = 0.95
FEWEST = 3
"""Runs below which there is no interval."""
MOST_PAIRS = 5
"""Pairs of ops that are listed as the most frequent disagreements."""
MOST_OPS = 8
"""Ops of the confusion table; the others are one more."""
_OTHERS = "others"


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
class OpPair:
    """An op of the policy beside the heuristic's at the same decision.

    Attributes:
        policy: What the policy chose.
        heuristic: What the heuristic would have chosen.
        decisions: How often.
        runs: In how many runs.
    """

    policy: str
    heuristic: str
    decisions: int
    runs: int


@dataclass(frozen=True, slots=True)
class PolicyAgreement:
    """Policy against shadow heuristic in the runs of an arm.

    Attributes:
        arm: Label of the arm, "" for runs in none.
        runs: Runs with decisions that carry the heuristic's action, finished or not.
        decisions: Those decisions.
        heads: The whole decision, the op, and the other heads.
        ops: Every pair of ops that was met, the most frequent first.
    """

    arm: str
    runs: int
    decisions: int
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
    heads = dict.fromkeys(head for run in runs for episode in run for head in episode.compared)
    decisions: Counter[tuple[str, str]] = Counter()
    met: Counter[tuple[str, str]] = Counter()
    for run in runs:
        own: Counter[tuple[str, str]] = Counter()
        for episode in run:
            own.update({(ours, theirs): many for ours, theirs, many in episode.ops})
        decisions.update(own)
        met.update(own.keys())
    ordered = sorted(decisions, key=lambda pair: (-decisions[pair], pair))
    return PolicyAgreement(
        arm=arm,
        runs=len(runs),
        decisions=sum(episode.decisions for run in runs for episode in run),
        heads=tuple(_of_head(head, runs) for head in heads),
        ops=tuple(OpPair(*pair, decisions[pair], met[pair]) for pair in ordered),
    )


def _of_head(head: str, runs: Sequence[Sequence[Agreement]]) -> HeadAgreement:
    compared = [sum(episode.compared.get(head, 0) for episode in run) for run in runs]
    agreed = [sum(episode.agreed.get(head, 0) for episode in run) for run in runs]
    rates = [same / of for same, of in zip(agreed, compared, strict=True) if of]
    low = high = None
    if len(rates) >= FEWEST and min(rates) < max(rates):
        low, high = t_interval(clustered_mean(rates, range(len(rates))), CONFIDENCE)
        low, high = max(low, 0.0), min(high, 1.0)
    return HeadAgreement(head, len(rates), sum(compared), sum(rates) / len(rates), low, high)


def blocks(found: Sequence[PolicyAgreement]) -> tuple[Block, ...]:
    """The section: what it means, each arm in words, rates by head, and where the two differ."""
    meaning = (
        "At each decision the heuristic was asked as well what it would do, and did nothing. Agreement is no merit: a policy "
        "that never differs has learned the heuristic, and one that does may be better or worse; the comparisons say which. "
        "Slot and the other heads are compared where both chose the same op."
    )
    said = Items(tuple((arm.arm or "All runs", _sentence(arm)) for arm in found))
    differing = [(arm, [pair for pair in arm.ops if pair.policy != pair.heuristic][:MOST_PAIRS]) for arm in found]
    listed = Items(tuple((arm.arm or "All runs", _differences(arm, pairs)) for arm, pairs in differing if pairs))
    confusions = (block for arm in found for block in _confusion(arm, named=len(found) > 1))
    return (Text(meaning), said, _heads(found), *((listed,) if listed.items else ()), *confusions)


def methods(found: Sequence[PolicyAgreement]) -> tuple[str, ...]:
    """What was done, in a paragraph; none where nothing was."""
    if not found:
        return ()
    text = (
        "Agreement of the policy with the shadow heuristic is the fraction of decisions in which both chose alike, of every run "
        f"by itself; the mean over runs is given with its {percent(CONFIDENCE)} t interval (Student 1908) between runs, cut off "
        "at 0 and 100 %. Decisions inside a run depend on each other and are not counted as independent."
    )
    return (text,)


def _sentence(arm: PolicyAgreement) -> str:
    whole = next(head for head in arm.heads if head.head == WHOLE)
    many = f"{count(arm.decisions, 'decision')} of {count(arm.runs, 'run')}"
    known = f"{percent(CONFIDENCE)} t interval over runs {_ends(whole)}"
    why = "with fewer than three runs there is no interval" if whole.runs < FEWEST else "all runs alike, so no interval"
    return (
        f"The policy did what the heuristic would have done in {_percent(whole.rate)} of a run's decisions "
        f"({known if whole.ci_low is not None else why}; {many})."
    )


def _differences(arm: PolicyAgreement, pairs: Sequence[OpPair]) -> str:
    runs = count(arm.runs, "run")
    told = "; ".join(
        f"{pair.policy} instead of {pair.heuristic} in {_percent(pair.decisions / arm.decisions)} of all decisions "
        f"({pair.runs} of {runs})"
        for pair in pairs
    )
    return f"Most frequent differences of the op: {told}."


def _heads(found: Sequence[PolicyAgreement]) -> Table:
    columns = ("arm", "compared", "agreement", f"{percent(CONFIDENCE)} interval", "decisions", "runs")
    rows = tuple(
        (
            arm.arm or "all",
            "whole decision" if head.head == WHOLE else head.head.replace("_", " "),
            _percent(head.rate),
            _ends(head),
            f"{head.decisions:,}",
            str(head.runs),
        )
        for arm in found
        for head in arm.heads
    )
    return Table(columns, rows, frozenset(columns[2:]))


def _confusion(arm: PolicyAgreement, *, named: bool) -> Iterator[Block]:
    """How often each op of the policy met each of the heuristic's."""
    often: Counter[str] = Counter()
    for pair in arm.ops:
        often.update({pair.policy: pair.decisions})
        often.update({pair.heuristic: pair.decisions})
    ops = sorted(often, key=lambda op: (-often[op], op))
    shown = ops if len(ops) <= MOST_OPS else [*ops[:MOST_OPS], _OTHERS]
    cells: Counter[tuple[str, str]] = Counter()
    for pair in arm.ops:
        ours, theirs = (op if op in shown else _OTHERS for op in (pair.policy, pair.heuristic))
        cells[ours, theirs] += pair.decisions
    columns = ("policy", *shown)
    where = f" in {arm.arm or 'runs in no arm'}" if named else ""
    yield Text(f"Decisions by the op that the policy chose{where} (rows) and the heuristic would have chosen (columns):")
    rows = tuple((ours, *(f"{cells[ours, theirs]:,}" for theirs in shown)) for ours in shown)
    yield Table(columns, rows, frozenset(shown))


def _ends(head: HeadAgreement) -> str:
    return "–" if head.ci_low is None or head.ci_high is None else f"{100 * head.ci_low:.1f} to {_percent(head.ci_high)}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
