"""What control runs show, in words, and as comparisons whose runs and threats are looked at like any other's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from karn_wandb.experiment.aggregation import Filter, in_words
from karn_wandb.experiment.claims import Claim
from karn_wandb.experiment.controls import causal_contributions, control_groups, full_runs, without
from karn_wandb.experiment.decide import Decision
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.matching import JOIN
from karn_wandb.experiment.report.content import ContributionsContent, SlotVerdict
from karn_wandb.experiment.report.words import count, interval, needed, number, p_text, percent, sentence, unit_of
from karn_wandb.records import CausalContributions, Comparison, SlotContribution

METRIC = "final_accuracy"
"""What is compared where nobody says what."""


def contributions(experiment: Experiment) -> tuple[tuple[ContributionsContent, ...], tuple[Decision, ...]]:
    """What control runs show, for each controller that has some; and the same comparisons as undeclared claims."""
    contents, decisions = [], []
    for shared in control_groups(experiment.episodes):
        found = causal_contributions(experiment, METRIC, where=shared)
        contents.append(_content(found))
        decisions += [_decision(found, slot, shared) for slot in found.slots]
    return tuple(contents), tuple(decisions)


def _content(found: CausalContributions) -> ContributionsContent:
    unit = unit_of(found.metric)
    verdicts = tuple(SlotVerdict(slot.slot, _badge(slot), tuple(_sentences(slot, found, unit))) for slot in found.slots)
    return ContributionsContent(where=found.where, unit=unit, verdicts=verdicts, found=found)


def _decision(found: CausalContributions, slot: SlotContribution, shared: Filter) -> Decision:
    claim = Claim(
        name=f"causal contribution of {slot.slot}" + (f", {in_words(shared)}" if shared else ""),
        treatment=full_runs(found.control_key, shared),
        control=without(slot.slot, found.control_key, shared),
        metric=found.metric,
        pair_by=found.pair_by,
        confidence=found.confidence,
    )
    return Decision(claim, slot.causal, None, None)


def _badge(slot: SlotContribution) -> str:
    shown = slot.causal.comparison.verdict if slot.causal.comparison else "inconclusive"
    return "Exploratory: " + {"better": "it contributed", "worse": "it did harm"}.get(shown, shown)


def _sentences(slot: SlotContribution, found: CausalContributions, unit: str) -> Iterator[str]:
    """The causal contribution, what it shows, the removal cost beside it, and how far they are apart."""
    causal = slot.causal.comparison
    if causal is None:
        left = count(len(slot.causal.excluded), "run was", "runs were") + " not analysed"
        yield f"Causal contribution unknown: no full run and no run trained without {slot.slot} share a {found.pair_by}; {left}."
    else:
        pairs = f"{count(causal.n_treatment, 'pair')} by {found.pair_by}"
        yield f"Causal contribution to {found.metric}: {_estimate(causal, unit, pairs)}."
        yield from _shown(slot, causal, len(found.slots))
        yield from _growth(slot)
    if slot.removal is None:
        yield "No removal cost is known: " + "; ".join(dict.fromkeys(run.reason for run in slot.not_evaluated)) + "."
    else:
        evaluated = count(slot.removal.n_treatment, "full run")
        yield f"Removal cost in the trained network: {_estimate(slot.removal, unit, evaluated)}."
    if slot.difference is not None:
        size = _estimate(slot.difference, unit, count(slot.difference.n_treatment, "pair"))
        yield f"Removal cost minus causal contribution: {size}: {_apart(slot.difference, slot.p_difference)}."


def _estimate(found: Comparison, unit: str, size: str) -> str:
    of_unit = f" {unit}" if unit else ""
    if found.ci_low is None:
        return f"{number(found.mean_delta, signed=True)}{of_unit} ({size})"
    ends = f"{percent(found.confidence)} interval {interval(found.ci_low, found.ci_high)}"
    return f"{number(found.mean_delta, signed=True)}{of_unit} ({ends}; {found.ci_method}; {size})"


def _shown(slot: SlotContribution, causal: Comparison, slots: int) -> Iterator[str]:
    if causal.ci_low is None:
        yield from map(sentence, causal.warnings[:1])
        return
    corrected = f", {p_text(slot.p_causal).removeprefix('= ')} corrected over {slots} slots" if slots > 1 else ""
    p = f"p {p_text(causal.p_value)}{corrected}"
    if causal.verdict == "inconclusive":
        yield f"Inconclusive: the interval contains zero ({p}). That is no sign that the slot contributes nothing."
        yield from needed(causal)
    else:
        enough = "" if _holds(causal, slot.p_causal) else " Corrected for the other slots, this is not enough."
        yield f"The interval excludes zero ({p}).{enough}"


def _growth(slot: SlotContribution) -> Iterator[str]:
    full = {run for pair in slot.causal.pairs for run in pair.treatment_run.split(JOIN)}
    if len(slot.grown) < len(full):
        yield f"Something grew in the slot in {len(slot.grown)} of the {count(len(full), 'full run')}."


def _apart(difference: Comparison, p: float | None) -> str:
    if difference.ci_low is None:
        return "too few to say whether they differ"
    if difference.verdict not in ("better", "worse"):
        return "not shown to differ, nor to agree"
    said = "it overstates" if difference.verdict == "better" else "it understates"
    return f"{said} what the slot brought" + ("" if _holds(difference, p) else ", but not once corrected for the other slots")


def _holds(found: Comparison, p: float | None) -> bool:
    """Whether what the interval shows is also shown by the corrected p."""
    return p is not None and p <= 1 - found.confidence


def left_out(found: CausalContributions) -> Sequence[tuple[str, str]]:
    """Every run that is missing from a comparison, with the comparison and the reason."""
    items: list[tuple[str, str]] = []
    for slot in found.slots:
        causal = (*slot.causal.excluded, *slot.causal.unmatched)
        items += [(run.run_id, f"not in the causal contribution of {slot.slot}: {run.reason}") for run in causal]
        items += [(run.run_id, f"not in the removal cost of {slot.slot}: {run.reason}") for run in slot.not_evaluated]
        items += [(slot.slot, text) for text in slot.warnings]
    return items
