"""Threats to the conclusions, looked for in the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce

import pandas as pd

from karn_wandb.experiment.claims import Claims
from karn_wandb.experiment.decide import Decision
from karn_wandb.experiment.filters import select
from karn_wandb.experiment.report.attribution import last_evaluated
from karn_wandb.experiment.report.content import ArmFlow, SlotAttribution, Threat
from karn_wandb.experiment.report.settings import differing_settings
from karn_wandb.experiment.report.tables import given
from karn_wandb.experiment.report.words import count, p_text, sentence
from karn_wandb.records import Comparison

MOST_LISTED = 12
"""Differing settings that are listed; the others are counted."""


def of_claim(episodes: pd.DataFrame, decision: Decision, flow: Sequence[ArmFlow], planned: int | None) -> Iterator[Threat]:
    """What threatens one comparison."""
    for arm in flow:
        yield from _unfinished(arm)
        yield from _not_as_planned(arm, planned, looks=decision.look is not None)
    if "best" in decision.claim.metric:
        yield Threat(
            "Selection",
            f"{decision.claim.metric} is the best of many epochs, chosen on the data it is measured on: it is biased upward, "
            "more so in the noisier arm.",
        )
    found = decision.aggregation
    rows = episodes[episodes["run_id"].isin(found.run_ids)]
    yield from _settings(rows, decision)
    yield from _lengths(rows, decision, flow)
    comparison = found.comparison
    if comparison:
        yield from _disagreement(comparison)
    for warning in (*found.warnings, *(comparison.warnings if comparison else ())):
        yield Threat("Statistics", sentence(warning))


def together(by_claim: Mapping[str, Sequence[Threat]]) -> Iterator[Threat]:
    """The threats of all claims, each once; one that does not concern them all says which it concerns."""
    concerned: dict[Threat, list[str]] = {}
    for name, found in by_claim.items():
        for threat in dict.fromkeys(found):
            concerned.setdefault(threat, []).append(name)
    for threat, names in concerned.items():
        yield threat if len(names) == len(by_claim) else Threat(threat.topic, f"{threat.text} (Claim: {'; '.join(names)}.)")


def of_code(episodes: pd.DataFrame) -> Iterator[Threat]:
    """Runs of different code, or of code nobody can find again."""
    commits = sorted({c for c in episodes.get("git_commit", ()) if isinstance(c, str) and c})
    if len(commits) > 1:
        yield Threat("Code", f"The runs are of {len(commits)} commits: {', '.join(c[:12] for c in commits[:5])}.")
    dirty = sum(c.endswith("-dirty") for c in commits)
    if dirty:
        yield Threat(
            "Code", f"{count(dirty, 'commit')} had uncommitted changes, so the code of these runs cannot be restored from it."
        )


def of_attribution(shapley: pd.DataFrame, slots: Sequence[SlotAttribution]) -> Iterator[Threat]:
    """Shapley values of different epochs, or of matrices that were cut short."""
    epochs = sorted({value.epoch for slot in slots for value in slot.runs})
    if len(epochs) > 1:
        yield Threat("Attribution", f"The last evaluated epoch differs between runs, from {epochs[0]} to {epochs[-1]}.")
    if shapley.empty:
        return
    last = last_evaluated(shapley)
    cut = last.loc[last["complete"].eq(other=False), "run_id"].nunique()
    if cut:
        yield Threat(
            "Attribution", f"In {count(cut, 'run')} the last evaluation of coalitions was cut short; nothing was filled in."
        )


def of_reading(warnings: Sequence[str], sources: Sequence[str]) -> Iterator[Threat]:
    """What was damaged or missing when the runs were read; sources are called what the report calls them."""
    for warning in warnings:
        named = reduce(lambda text, source: text.replace(source, given(source)), sources, warning)
        yield Threat("Reading", sentence(named))


def of_plan(claims: Claims | None) -> Iterator[Threat]:
    """Comparisons nobody committed to beforehand."""
    if claims is None or claims.declared:
        return
    yield Threat(
        "Plan",
        f"No claims file was given: {count(len(claims.claims), 'comparison')} made that nobody committed to beforehand. "
        "Choices made after seeing the data inflate false findings.",
    )


def _unfinished(arm: ArmFlow) -> Iterator[Threat]:
    if arm.excluded:
        yield Threat(
            "Left out",
            f"{arm.excluded} of {count(arm.started, 'run')} of {arm.arm} left out. If the worse runs are those that fail, "
            "the arm looks better than it is.",
        )
    if arm.unmatched:
        yield Threat("Left out", f"{arm.unmatched} of {count(arm.started, 'run')} of {arm.arm} had no partner in the other arm.")


def _not_as_planned(arm: ArmFlow, planned: int | None, *, looks: bool) -> Iterator[Threat]:
    if planned is None or (arm.started == planned == arm.analysed) or (looks and arm.started <= planned):
        return
    if arm.analysed > planned:
        why = "adding runs after a look inflates false findings"
    elif arm.analysed < planned:
        why = "this may be an early look, or runs were lost"
    else:
        why = "the runs that were left out were replaced, which needs a reason"
    yield Threat("Plan", f"{planned} runs of {arm.arm} were planned, {arm.started} started and {arm.analysed} analysed: {why}.")


def _lengths(rows: pd.DataFrame, decision: Decision, flow: Sequence[ArmFlow]) -> Iterator[Threat]:
    """Runs that were not trained equally long, so that their final values are of different epochs."""
    epochs = sorted({int(epoch) for epoch in rows["epochs"].dropna()})
    if len(epochs) < 2:
        return
    sides = zip(flow, (decision.claim.treatment, decision.claim.control), strict=True)
    ranges = {arm.arm: _range(rows.loc[select(rows, chosen), "epochs"]) for arm, chosen in sides}
    apart = ""
    if len(set(ranges.values())) > 1:
        said = ", ".join(f"{label} {ends[0]} to {ends[1]}" for label, ends in reversed(ranges.items()))
        apart = f" The arms differ in it ({said}): the one trained longer may owe its result to that."
    yield Threat("Length", f"Analysed runs are of different length, from {epochs[0]} to {epochs[-1]} epochs.{apart}")


def _range(epochs: pd.Series[int]) -> tuple[int, int]:
    return int(epochs.min()), int(epochs.max())


def _disagreement(comparison: Comparison) -> Iterator[Threat]:
    """A difference that the permutation test does not show, although with this many runs it could."""
    p, floor, alpha = comparison.p_permutation, comparison.p_attainable, 1 - comparison.confidence
    if comparison.verdict in ("better", "worse") and p is not None and floor is not None and floor <= alpha < p:
        yield Threat(
            "Robustness", f"The permutation test, which assumes no distribution, does not show the difference: p {p_text(p)}."
        )


def _settings(rows: pd.DataFrame, decision: Decision) -> Iterator[Threat]:
    found = differing_settings(rows, decision.claim)
    if found:
        listed = ", ".join(found[:MOST_LISTED]) + (f", and {len(found) - MOST_LISTED} more" if len(found) > MOST_LISTED else "")
        yield Threat(
            "Settings",
            f"Besides the factor itself the arms differ in {listed}. Each of these could explain the difference.",
        )
