"""Numbers, names and verdicts in words."""

from __future__ import annotations

import math

from karn_wandb.experiment.decide import Decision
from karn_wandb.experiment.looks import PresentLook
from karn_wandb.records import Comparison

NO_COMPARISON = (
    "No comparison: there is no claims file, and the config of the runs names no two arms (config arm, else controller)."
)
"""What is said when there is nothing to compare."""


def number(value: float | None, *, signed: bool = False) -> str:
    """Two decimals, or two significant digits below 0.1; none, and thousands apart, from 1,000 on."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    text = f"{size:,.0f}" if size >= 1e3 else f"{size:.2f}" if size >= 0.095 or size == 0 else f"{size:#.2g}"
    return ("−" if value < 0 else "+" if signed and value > 0 else "") + text


def interval(low: float | None, high: float | None) -> str:
    """Both ends, or a dash when there is none."""
    return "–" if low is None or high is None else f"{number(low)} to {number(high)}"


def count(n: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 run", "3 runs"."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def sentence(text: str) -> str:
    """A remark as a sentence: a capital first, a full stop last."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def p_text(p: float | None) -> str:
    """A p-value as it stands behind "p": "= 0.012", "< 0.001"."""
    return "unknown" if p is None else "< 0.001" if p < 0.001 else f"= {p:.3f}"


def p_cell(p: float | None) -> str:
    """A p-value as it stands in a table."""
    return "–" if p is None else p_text(p).removeprefix("= ")


def percent(confidence: float) -> str:
    """A confidence as percent: "95 %", or "98.8 %" of a look."""
    return f"{confidence * 100:.4g} %"


def unit_of(metric: str) -> str:
    """Unit of a difference in a metric, "" when it has none."""
    if "accuracy" in metric:
        return "percentage points"
    return "parameters" if metric.endswith("params") else ""


def verdict_sentences(
    decision: Decision, treatment: str, control: str, unit: str, family: int, *, declared: bool
) -> tuple[str, ...]:
    """What may be said about a claim: the effect, what it shows, and what would be needed.

    Args:
        decision: The claim judged.
        treatment: Label of the treatment arm.
        control: Label of the control arm.
        unit: Unit of a difference.
        family: Claims corrected together.
        declared: Whether it was declared in a claims file.
    """
    comparison = decision.aggregation.comparison
    if comparison is None or comparison.mean_delta is None:
        return ("There is nothing to compare: " + _emptiness(decision) + ".",)
    said = [_effect(decision, comparison, treatment, control, unit)]
    if decision.look:
        said.append(look_sentence(decision.look))
    if comparison.ci_low is None:
        said += [sentence(warning) for warning in comparison.warnings[:1]]
    else:
        said += [
            _evidence(decision, family, "claims" if declared else "comparisons"),
            _shown(decision, comparison, unit),
            *_anytime(decision),
            *needed(comparison),
        ]
    if not declared:
        said.append("No claims file declared this comparison beforehand: it is exploratory.")
    return tuple(said)


def _emptiness(decision: Decision) -> str:
    found = decision.aggregation
    left = count(len(found.excluded), "run was", "runs were") + " not analysed"
    if found.unmatched:
        return f"no two runs of the arms share a {found.pair_by}; {left}, {len(found.unmatched)} had no partner"
    return f"an arm has no finished run with {found.metric}; {left}"


def _design(decision: Decision, comparison: Comparison) -> str:
    if comparison.paired:
        return f"{count(comparison.n_treatment, 'pair')} by {decision.aggregation.pair_by}"
    return f"{comparison.n_treatment} against {count(comparison.n_control, 'run')}"


def _effect(decision: Decision, comparison: Comparison, treatment: str, control: str, unit: str) -> str:
    delta = comparison.mean_delta or 0.0
    size = f"{number(abs(delta))}{' ' + unit if unit else ''}"
    where = "level with" if delta == 0 else f"{size} above" if delta > 0 else f"{size} below"
    good = "" if comparison.higher_is_better or delta == 0 else ", which is worse" if delta > 0 else ", which is better"
    spread = (
        ""
        if comparison.ci_low is None
        else f" ({percent(comparison.confidence)} interval {interval(comparison.ci_low, comparison.ci_high)}; "
        f"{comparison.ci_method}; {_design(decision, comparison)})"
    )
    return f"In {decision.claim.metric}, {treatment} is {where} {control}{spread}{good}."


def look_sentence(look: PresentLook) -> str:
    """Which look it is, and why the interval is wider than declared."""
    last = look.planned[-1]
    when = "" if look.runs in look.planned else ", between planned ones" if look.runs < last else ", beyond the plan"
    return (
        f"This is look {look.number} of {len(look.planned)}{when}, with {look.runs:,} of {last:,} planned runs an arm: its "
        f"interval is at {percent(look.confidence)}, so that all looks together keep {percent(look.overall)}."
    )


def _anytime(decision: Decision) -> list[str]:
    if decision.anytime is None:
        return []
    held = f"{interval(*decision.anytime)} ({percent(decision.claim.confidence)} confidence sequence)"
    return [f"Fewer runs than planned are in. Who looks again and again needs an interval that holds at every number: {held}."]


def _evidence(decision: Decision, family: int, noun: str) -> str:
    tests = {"superiority": "superiority", "non_inferiority": "non-inferiority", "equivalence": "equivalence"}
    one = f"One-sided p for {tests[decision.claim.test]} {p_text(decision.p)}"
    counted = [*(["for all looks so far"] if decision.look else []), *([f"over {family} {noun}"] if family > 1 else [])]
    corrected = f", {p_text(decision.p_adjusted).removeprefix('= ')} corrected {' and '.join(counted)}" if counted else ""
    return f"{one}{corrected}; {decision.claim.level:.4g} or less was needed."


def _shown(decision: Decision, comparison: Comparison, unit: str) -> str:
    margin = f"{number(comparison.margin)}{' ' + unit if unit else ''}"
    undecided = "contains zero" if comparison.margin is None else f"contains zero and being worse by {margin}"
    said = {
        "better": "The interval lies wholly on the better side of zero.",
        "worse": "The interval lies wholly on the worse side of zero.",
        "equivalent": f"The interval lies wholly within {margin} of zero: equivalent by that margin.",
        "non-inferior": f"The interval excludes being worse by {margin}: non-inferior by that margin, not shown to be better.",
        "inconclusive": f"Inconclusive: the interval {undecided}. That is no sign that the arms are alike.",
    }[comparison.verdict]
    if comparison.verdict == "better" and decision.claim.test == "superiority" and not decision.supported:
        return f"{said} Corrected for the other claims of the family, this is not enough."
    return said


def needed(comparison: Comparison) -> list[str]:
    """How many runs would be needed, where that is known and the comparison shows nothing."""
    if comparison.verdict != "inconclusive" or comparison.required_n is None:
        return []
    noun = "pairs" if comparison.paired else "runs in each arm"
    have = min(comparison.n_treatment, comparison.n_control)
    more = f", {comparison.required_n - have:,} more than there are" if comparison.required_n > have else ""
    if comparison.required_n_basis == "margin":
        return [f"For 80 % power at the margin, {comparison.required_n:,} {noun} are needed{more}."]
    basis = "if the true difference were the observed one, which is an uncertain guide"
    return [f"For 80 % power, {comparison.required_n:,} {noun} would be needed{more}, {basis}."]
