"""From runs and claims to what the report says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from karn_wandb.errors import SourceError
from karn_wandb.experiment.aggregation import in_words
from karn_wandb.experiment.claims import Claims, read_claims
from karn_wandb.experiment.decide import Decision, decide, default_claims
from karn_wandb.experiment.declarations import declaration
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.report import declared, policy, scaling, selection, tables, threats
from karn_wandb.experiment.report.arms import Arms, arms_of
from karn_wandb.experiment.report.attribution import attribution
from karn_wandb.experiment.report.content import ClaimContent, Content, Declared, Threat
from karn_wandb.experiment.report.contributions import contributions
from karn_wandb.experiment.report.curves import curves
from karn_wandb.experiment.report.methods import citations, methods
from karn_wandb.experiment.report.plain import plain
from karn_wandb.experiment.report.robustness import robustness
from karn_wandb.experiment.report.versions import versions
from karn_wandb.experiment.report.words import unit_of, verdict_sentences
from karn_wandb.records import CounterfactualValidityNote


def build_content(experiment: Experiment, claims: str | Path | None, title: str | None) -> Content:
    """What a report on these runs says.

    Raises:
        SourceError: There are no runs.
        ClaimsError: The claims file is wrong, or a claim names an arm or a column that there is not.
    """
    episodes = experiment.episodes
    if episodes.empty:
        raise SourceError("there are no runs to report on", do="Name a folder, a project or a record log that holds runs.")
    family = read_claims(claims) if claims is not None else default_claims(episodes)
    decisions = decide(experiment, family) if family else ()
    contributed, by_slot = contributions(experiment)
    arms = arms_of(episodes, family)
    states = tables.states(episodes)
    runs = tables.runs(episodes, arms, (*decisions, *by_slot))
    evaluated = experiment.last_shapley
    slots = attribution(evaluated, states, arms)
    plan = _declared(episodes, family)
    judged = tuple(_claim(episodes, decision, arms, len(decisions), plan) for decision in decisions)
    scaled, no_scaling = scaling.scaled(experiment, arms)
    agreed = policy.agreements(experiment, arms)
    paragraphs = (*methods(runs, decisions, family, slots, contributed), *scaling.methods(scaled), *policy.methods(agreed))
    content = Content(
        title=title or "Experiment report",
        filters=in_words(experiment.filters or {}),
        declared=plan,
        claims=judged,
        arms=arms.order(),
        runs=runs,
        curves=curves(experiment, states, arms, (*decisions, *by_slot)),
        scaling=scaled,
        no_scaling=no_scaling,
        attribution=slots,
        contributions=contributed,
        policy=agreed,
        validity=CounterfactualValidityNote(),
        parameters=tables.parameters(runs, arms.order()),
        threats=(
            *_threats(experiment, family, arms, judged, plan, decisions=decisions, by_slot=by_slot),
            *threats.of_attribution(evaluated, slots),
            *threats.of_reading(experiment.warnings, sorted(set(episodes["source"].dropna()))),
            *scaling.threats(scaled),
        ),
        methods=paragraphs,
        citations=citations(paragraphs),
        versions=versions(episodes),
        input_hash="",
    )
    return replace(content, input_hash=_hash(content))


def _declared(episodes: pd.DataFrame, family: Claims | None) -> Declared | None:
    if family is None or not family.declared:
        return None
    found = declaration(episodes, family)
    return Declared(
        family=family.family,
        correction=family.correction,
        planned_runs=family.planned_runs,
        looks=family.looks,
        spending=family.spending if family.looks else None,
        claims=len(family.claims),
        sha256=family.sha256,
        found=found,
        sentences=tuple(declared.sentences(found)),
        changes=declared.changes(found),
    )


def _claim(episodes: pd.DataFrame, decision: Decision, arms: Arms, family: int, plan: Declared | None) -> ClaimContent:
    claim = decision.claim
    treatment, control, unit = arms.label(claim.treatment), arms.label(claim.control), unit_of(claim.metric)
    said = verdict_sentences(decision, treatment, control, unit, family, declared=plan is not None)
    return ClaimContent(
        name=claim.name,
        declared=plan is not None,
        test=claim.test,
        treatment=treatment,
        control=control,
        unit=unit,
        margin=claim.margin,
        confidence=decision.confidence,
        level=claim.level,
        p=decision.p,
        p_adjusted=decision.p_adjusted,
        supported=decision.supported if plan else None,
        sentences=(*said, *(declared.of_claim(plan.found, claim.name) if plan else ())),
        flow=tables.flow(episodes, decision, arms),
        robustness=robustness(episodes, decision),
        aggregation=decision.aggregation,
    )


def _threats(
    experiment: Experiment,
    family: Claims | None,
    arms: Arms,
    judged: Sequence[ClaimContent],
    plan: Declared | None,
    *,
    decisions: Sequence[Decision],
    by_slot: Sequence[Decision],
) -> tuple[Threat, ...]:
    episodes = experiment.episodes
    found = [*threats.of_plan(family), *selection.of_experiment(experiment, family, plan, arms)]
    planned = family.planned_runs if family else None
    by_rule = {claim.name: claim.robustness.verdicts_by_rule for claim in judged if claim.robustness}
    by_claim = {
        decision.claim.name: (
            *threats.of_claim(episodes, decision, tables.flow(episodes, decision, arms), runs_planned),
            *selection.of_rules(by_rule.get(decision.claim.name, {})),
            *selection.of_claim(episodes, decision, arms, runs_planned),
        )
        for family_of, runs_planned in ((decisions, planned), (by_slot, None))
        for decision in family_of
    }
    found += threats.together(by_claim)
    found += threats.of_code(episodes)
    return tuple(found)


def _hash(content: Content) -> str:
    """Of everything that came from the runs and the claims; wording, versions and where the runs were read are not input."""
    hashes = [claim.aggregation.input_hash for claim in content.claims]
    contributed = [group.found.input_hash for group in content.contributions]
    runs = [replace(run, source="") for run in content.runs]
    scaled = [group.found for group in content.scaling]
    drawn = replace(content.curves, means=(), differences=())
    read = [content.filters, content.declared, hashes, runs, drawn, content.attribution, contributed, scaled, content.policy]
    return hashlib.sha256(json.dumps(plain(read), sort_keys=True, separators=(",", ":")).encode()).hexdigest()
