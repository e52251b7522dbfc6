"""A report's content laid out in sections, in the order a reviewer reads."""

from __future__ import annotations

import math

from karn_wandb.experiment.report import figures, policy_section, scaling_section
from karn_wandb.experiment.report.blocks import Block, Document, Figures, Items, Section, Table, Text, Verdict
from karn_wandb.experiment.report.content import ClaimContent, Content, ContributionsContent, RunContent, SlotVerdict
from karn_wandb.experiment.report.contributions import left_out
from karn_wandb.experiment.report.curve_figures import curve_figures
from karn_wandb.experiment.report.declared import listed
from karn_wandb.experiment.report.few import MOST_LISTED, evenly, said
from karn_wandb.experiment.report.flow import flow_figures
from karn_wandb.experiment.report.robustness import table as robustness_table
from karn_wandb.experiment.report.words import NO_COMPARISON, count, interval, number, p_cell, percent
from karn_wandb.records import Comparison


def document(content: Content) -> Document:
    """The sections of a report; one that would be empty says why it is."""
    sections = (
        Section("Verdict", _verdicts(content)),
        Section("What was declared, and what was done", _plan(content)),
        *((Section("Flow of runs", (Figures(flow_figures(content.claims, content.arms)),)),) if content.claims else ()),
        Section("Runs", _runs(content)),
        *(Section(f"Comparison: {claim.name}", _comparison(claim, content.arms)) for claim in content.claims),
        Section("Learning curves", _curves(content)),
        *scaling_section.sections(content),
        Section("Attribution to slots", _attribution(content)),
        *(Section(_heading(group, content), _contributions(group, content)) for group in content.contributions),
        *policy_section.sections(content.policy),
        Section("Parameters and accuracy", _parameters(content)),
        *((Section("Robustness of the verdicts", _robustness(content)),) if content.claims else ()),
        Section("Threats to these conclusions", _threats(content)),
        Section("Methods", tuple(Text(text) for text in content.methods)),
        *((Section("References", (Items(tuple(("", c) for c in content.citations)),)),) if content.citations else ()),
        Section("Versions and input", _versions(content)),
    )
    return Document(content.title, sections)


def _verdicts(content: Content) -> tuple[Block, ...]:
    """Of the claims; without any, those of the slots, which otherwise stand in their own section."""
    if content.claims:
        return tuple(_verdict(claim) for claim in content.claims)
    if content.contributions:
        return tuple(_slot_verdict(verdict) for group in content.contributions for verdict in group.verdicts)
    return (Text(f"{NO_COMPARISON} What follows describes the runs."),)


def _verdict(claim: ClaimContent) -> Verdict:
    found = claim.aggregation.comparison
    return Verdict(
        badge=claim.badge,
        tone="good" if claim.supported else "bad" if found and found.verdict == "worse" else "open",
        name=claim.name,
        sentences=claim.sentences,
    )


def _slot_verdict(verdict: SlotVerdict) -> Verdict:
    return Verdict(badge=verdict.badge, tone="open", name=f"training with {verdict.slot}", sentences=verdict.sentences)


def _plan(content: Content) -> tuple[Block, ...]:
    declared = content.declared
    said: tuple[Block, ...] = (Text("No claims file was given, so nothing was declared beforehand."),)
    if declared is not None:
        by = "Holm" if declared.correction == "holm" else "Benjamini-Hochberg"
        said = (
            Text(
                f"{count(declared.claims, 'claim')} in the family “{declared.family}”, corrected together by {by}. "
                f"SHA-256 of the claims file: {declared.sha256}."
            ),
            Text(" ".join(declared.sentences)),
            *((Items(declared.changes),) if declared.changes else ()),
        )
    return (*said, _tests(content), _flow(content)) if content.claims else said


def _tests(content: Content) -> Table:
    columns = ("claim", "test", "metric", "treatment", "control", "paired by", "margin", "level", "p", "p corrected")
    rows = tuple(
        (
            claim.name,
            claim.test.replace("_", "-"),
            claim.aggregation.metric,
            claim.treatment,
            claim.control,
            claim.aggregation.pair_by or "unpaired",
            number(claim.margin),
            f"{claim.level:.4g}",
            p_cell(claim.p),
            p_cell(claim.p_adjusted),
        )
        for claim in content.claims
    )
    return Table(columns, rows, frozenset(columns[6:]))


def _flow(content: Content) -> Table:
    columns = ("claim", "arm", "planned", "started", "left out", "no partner", "analysed")
    planned = str(content.declared.planned_runs) if content.declared and content.declared.planned_runs else "–"
    rows = tuple(
        (claim.name, arm.arm, planned, str(arm.started), str(arm.excluded), str(arm.unmatched), str(arm.analysed))
        for claim in content.claims
        for arm in reversed(claim.flow)
    )
    return Table(columns, rows, frozenset(columns[2:]))


def _runs(content: Content) -> tuple[Block, ...]:
    columns = ("run", "arm", "seed", "state", "epochs", "final accuracy", "final loss", "parameters", "analysed")
    sources = dict.fromkeys(run.source for run in content.runs)
    one = len(sources) == 1
    shown = evenly(content.runs, _place, lambda run: (run.arm, run.analysed), MOST_LISTED)
    some = said(len(shown), len(content.runs), "runs", "over the random seeds of each arm, analysed and not", "listed")
    rows = tuple(
        (
            f"{run.run_id} ({run.name})" if run.name and run.name != run.run_id else run.run_id,
            run.arm or "–",
            "–" if run.base_seed is None else str(run.base_seed),
            run.state,
            "–" if run.epochs is None else str(run.epochs),
            number(run.final_accuracy),
            number(run.final_loss),
            "–" if run.total_params is None else f"{run.total_params:,.0f}",
            _analysed(run),
            *(() if one else (run.source,)),
        )
        for run in shown
    )
    numeric = frozenset({"seed", "epochs", "final accuracy", "final loss", "parameters"})
    chosen = f", only those with {content.filters}" if content.filters else ""
    read = f"{count(len(content.runs), 'run')}, read from {', '.join(sources)}{chosen}.{some}"
    return (Text(read), Table(columns if one else (*columns, "source"), rows, numeric))


def _place(run: RunContent) -> tuple[float, str]:
    return math.inf if run.base_seed is None else run.base_seed, run.run_id


def _analysed(run: RunContent) -> str:
    """Whether it is in a comparison, and why not: of a run in no arm, why it did not finish, if that is known."""
    reasons = "; ".join(run.left_out or ((run.reason,) if run.reason else ()))
    if run.analysed:
        return f"in part: {reasons}" if run.left_out else "yes"
    return f"no: {reasons or 'in no arm'}"


def _comparison(claim: ClaimContent, arms: tuple[str, ...]) -> tuple[Block, ...]:
    found = claim.aggregation.comparison
    if found is None:
        return (Text(claim.sentences[0]),)
    return (Figures((figures.every_run(claim, arms), figures.difference(claim, found))), _numbers(claim, found))


def _numbers(claim: ClaimContent, found: Comparison) -> Table:
    rows = [
        ("mean of " + claim.treatment, number(found.mean_treatment)),
        ("mean of " + claim.control, number(found.mean_control)),
        ("mean difference", number(found.mean_delta, signed=True)),
        ("standard deviation of the differences" if found.paired else "pooled standard deviation", number(found.std_delta)),
        (f"{percent(found.confidence)} interval ({found.ci_method})", interval(found.ci_low, found.ci_high)),
        (f"{percent(found.confidence)} bootstrap interval, companion", _range(found.bootstrap_ci)),
        ("p, two-sided", p_cell(found.p_value)),
        (f"p, permutation ({(found.permutation_method or 'none').replace('_', ' ')})", p_cell(found.p_permutation)),
        ("smallest permutation p attainable", p_cell(found.p_attainable)),
        ("p of no improvement, one-sided", p_cell(found.p_improvement)),
        ("p of being worse by the margin", p_cell(found.p_non_inferiority)),
        ("p of differing by the margin", p_cell(found.p_equivalence)),
        ("Cohen's d" + (" (d_z)" if found.paired else ""), number(found.cohens_d)),
        ("Hedges' g", f"{number(found.hedges_g)} ({_range(found.hedges_g_ci)})"),
        ("probability of improvement", number(found.probability_of_improvement)),
        ("interquartile means", f"{number(found.iqm_treatment)} against {number(found.iqm_control)}"),
    ]
    known = tuple(row for row in rows if row[1].strip("– ()"))
    return Table(("number", "value"), known, frozenset({"value"}))


def _range(ends: tuple[float, float] | None) -> str:
    return interval(*ends) if ends else "–"


def _curves(content: Content) -> tuple[Block, ...]:
    if not content.curves.curves:
        return (Text("No run logged an epoch with a loss or an accuracy."),)
    drawn = Figures(curve_figures(content.curves, content.arms))
    seen = {curve.run_id for curve in content.curves.curves}
    without = tuple(run.run_id for run in content.runs if run.run_id not in seen)
    return (drawn, Text(f"No {content.curves.metric} was logged by {listed(without)}.")) if without else (drawn,)


def _attribution(content: Content) -> tuple[Block, ...]:
    if not content.attribution:
        return (Text("No finished run logged Shapley values."), Text(str(content.validity)))
    by_arm = dict.fromkeys((slot.arm, slot.unit) for slot in content.attribution)
    groups = [[slot for slot in content.attribution if (slot.arm, slot.unit) == group] for group in by_arm]
    drawn = tuple(figures.shapley(group, content.arms) for group in groups)
    return (Text(str(content.validity)), Figures(drawn), _slots(content))


def _slots(content: Content) -> Table:
    columns = ("arm", "slot", "runs", "mean over runs", "95 % t interval", "p", "p corrected", "unit")
    rows = tuple(
        (
            slot.arm or "all",
            slot.slot,
            str(len(slot.runs)),
            number(slot.mean, signed=True),
            interval(slot.ci_low, slot.ci_high),
            p_cell(slot.p),
            p_cell(slot.p_adjusted),
            slot.unit or "–",
        )
        for slot in content.attribution
    )
    return Table(columns, rows, frozenset(columns[2:7]))


def _heading(group: ContributionsContent, content: Content) -> str:
    heading = "Removal cost against causal contribution"
    return f"{heading}: {group.where}" if len(content.contributions) > 1 else heading


def _contributions(group: ContributionsContent, content: Content) -> tuple[Block, ...]:
    found = group.found
    meaning = (
        "Removal cost is the trained network with the slot minus without it. "
        f"{content.validity.does_not_measure} That is the other number, from control runs of the same {found.pair_by} in which "
        "nothing ever germinated in the slot. It is the total effect of the slot's being open under this controller, with all "
        "that the controller then does differently in other slots, so the contributions of several slots need not add up. All "
        "slots share the full runs: an unlucky one moves all contributions together. "
        "Nobody declared these comparisons here: they are exploratory."
    )
    verdicts = tuple(map(_slot_verdict, group.verdicts)) if content.claims else ()
    missing = left_out(found)
    listed = (Items(tuple(missing)),) if missing else ()
    return (Text(meaning), *verdicts, Figures((figures.removal_vs_causal(group),)), _contribution_table(group), *listed)


def _contribution_table(group: ContributionsContent) -> Table:
    ends = f"{percent(group.found.confidence)} interval"
    columns = (
        *("slot", "seeds", "removal cost", f"{ends}, removal"),
        *("pairs", "causal contribution", f"{ends}, causal", "p corrected, causal"),
        *("difference", f"{ends}, difference", "p corrected, difference"),
    )
    rows = tuple(
        (
            slot.slot,
            *_summary(slot.removal),
            *_summary(slot.causal.comparison),
            p_cell(slot.p_causal),
            *_summary(slot.difference)[1:],
            p_cell(slot.p_difference),
        )
        for slot in group.found.slots
    )
    return Table(columns, rows, frozenset(columns[1:]))


def _summary(found: Comparison | None) -> tuple[str, str, str]:
    """How many, the mean, and its interval."""
    if found is None:
        return "0", "–", "–"
    return str(found.n_treatment), number(found.mean_delta, signed=True), interval(found.ci_low, found.ci_high)


def _parameters(content: Content) -> tuple[Block, ...]:
    if not content.parameters:
        return (Text("No finished run logged both a final accuracy and its parameters."),)
    columns = (
        "arm",
        "runs",
        "mean accuracy (%)",
        "host parameters",
        "total parameters",
        "accuracy per million parameters",
        "on the front",
    )
    rows = tuple(
        (
            arm.arm or "all",
            str(arm.runs),
            number(arm.accuracy),
            "–" if arm.host_params is None else f"{arm.host_params:,.0f}",
            f"{arm.total_params:,.0f}",
            number(arm.accuracy_per_million),
            "yes" if arm.on_front else "no",
        )
        for arm in content.parameters
    )
    return (
        Text(
            "Accuracy per parameter rewards shrinking: a network half the size with a little less accuracy has more of it. "
            "Read it only beside the accuracy."
        ),
        *((Text(content.no_scaling),) if content.no_scaling else ()),
        Figures((figures.parameters(content.runs, content.parameters, content.arms),)),
        Table(columns, rows, frozenset(columns[1:-1])),
    )


def _threats(content: Content) -> tuple[Block, ...]:
    if not content.threats:
        return (Text("None of the checks found anything. That is not to say that there is nothing."),)
    return (Items(tuple((threat.topic, threat.text) for threat in content.threats)),)


def _robustness(content: Content) -> tuple[Block, ...]:
    blocks: list[Block] = [
        Text(
            "Each claim once more, by other tests, of other aggregates, and with other rules for runs that failed. The verdict "
            "stays that of the primary test. Each analysis is at the confidence of its claim, not corrected for the others; "
            "below ten values bootstrap intervals are too narrow."
        )
    ]
    for claim in content.claims:
        said = claim.robustness.sentence if claim.robustness else claim.sentences[0]
        blocks.append(Items(((claim.name, said),)))
        blocks += [robustness_table(claim.robustness)] if claim.robustness else []
    return tuple(blocks)


def _versions(content: Content) -> tuple[Block, ...]:
    rows = (*content.versions.items(), ("SHA-256 of the input", content.input_hash))
    return (Table(("what", "version"), rows),)
