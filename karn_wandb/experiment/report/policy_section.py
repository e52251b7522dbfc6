"""The section on policy against heuristic: how often they agree, where they differ, and what that cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from karn_wandb.experiment.agreement import WHOLE
from karn_wandb.experiment.report.blocks import Block, Items, Section, Table, Text
from karn_wandb.experiment.report.policy import CONFIDENCE, FEWEST, HeadAgreement, OpPair, PolicyAgreement, Regret
from karn_wandb.experiment.report.words import count, interval, number, percent

MOST_PAIRS = 5
"""Pairs of ops that are listed as the most frequent disagreements."""
MOST_OPS = 8
"""Ops of the confusion table; the others are one more."""
_OTHERS = "others"


def sections(found: Sequence[PolicyAgreement]) -> tuple[Section, ...]:
    """The section: what it means, each arm in words, rates by head, where the two differ; none where nothing was compared."""
    if not found:
        return ()
    meaning = (
        "At each decision the heuristic was asked as well what it would do, and did nothing. Agreement is no merit: a policy "
        "that never differs has learned the heuristic, and one that does may be better or worse; the comparisons say which. "
        "Slot and the other heads are compared where both chose the same op."
    )
    said = Items(tuple((arm.arm or "All runs", _sentence(arm)) for arm in found))
    differing = [(arm, [pair for pair in arm.ops if pair.policy != pair.heuristic][:MOST_PAIRS]) for arm in found]
    listed = Items(tuple((arm.arm or "All runs", _differences(arm, pairs)) for arm, pairs in differing if pairs))
    confusions = (block for arm in found for block in _confusion(arm, named=len(found) > 1))
    parts = (Text(meaning), said, _heads(found), *_regrets(found), *((listed,) if listed.items else ()), *confusions)
    return (Section("Policy against heuristic", parts),)


def _sentence(arm: PolicyAgreement) -> str:
    whole = next(head for head in arm.heads if head.head == WHOLE)
    many = f"{count(arm.decisions, 'decision')} of {count(arm.runs, 'run')}"
    known = f"{percent(CONFIDENCE)} t interval over runs {_ends(whole)}"
    return (
        f"The policy did what the heuristic would have done in {_percent(whole.rate)} of a run's decisions "
        f"({known if whole.ci_low is not None else _why(whole.runs)}; {many})."
    )


def _why(runs: int) -> str:
    return "with fewer than three runs there is no interval" if runs < FEWEST else "all runs alike, so no interval"


def _regrets(found: Sequence[PolicyAgreement]) -> Iterator[Block]:
    """What the heuristic's actions would have brought, where that was measured."""
    said = tuple((arm.arm or "All runs", _regretted(arm, arm.regret)) for arm in found if arm.regret)
    if said:
        yield Text(
            "Regret: at decisions in which the two differ the training was branched, with the heuristic's action in place of "
            "the policy's, the policy before and after, and the same random numbers. Positive means that the heuristic's action "
            "would have been better. It is about single actions: it does not say what the heuristic would bring throughout."
        )
        yield Items(said)


def _regretted(arm: PolicyAgreement, regret: Regret) -> str:
    low, high = regret.ci_low, regret.ci_high
    known, undecided = _why(regret.runs), ""
    if low is not None and high is not None:
        known = f"{percent(CONFIDENCE)} t interval over runs {interval(low, high)}"
        undecided = " The interval contains zero: which action was better is not shown." if low <= 0 <= high else ""
    where = f"{regret.decisions:,} of {count(arm.disagreements, 'disagreement')}, in {regret.runs} of {count(arm.runs, 'run')}"
    return (
        "The heuristic's action in place of the policy's, the policy before and after, would have brought "
        f"{number(regret.mean, signed=True)} reward on average ({known}; measured at {where}).{undecided}"
    )


def _beside(regret: Regret) -> str:
    """The regret of a pair of ops, in brackets after how often it was met."""
    known = "" if regret.ci_low is None else f", {percent(CONFIDENCE)} interval {interval(regret.ci_low, regret.ci_high)}"
    where = f"{count(regret.decisions, 'decision')} of {count(regret.runs, 'run')}"
    return f"; regret {number(regret.mean, signed=True)}{known}, at {where}"


def _differences(arm: PolicyAgreement, pairs: Sequence[OpPair]) -> str:
    runs = count(arm.runs, "run")
    told = "; ".join(
        f"{pair.policy} instead of {pair.heuristic} in {_percent(pair.decisions / arm.decisions)} of all decisions "
        f"({pair.runs} of {runs}{_beside(pair.regret) if pair.regret else ''})"
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
