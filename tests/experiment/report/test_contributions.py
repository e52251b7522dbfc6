"""Removal cost against causal contribution in the report: said only what control runs show, drawn run by run."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from report_runs import Made, controls, experiment

from karn_wandb.experiment.report import build_report
from karn_wandb.experiment.report.blocks import Figures
from karn_wandb.experiment.report.document import document

FULL = (90.0, 91.0, 89.0, 92.0)
EARLY, LATE = (89.0, 91.5, 87.0, 90.0), (86.0, 87.5, 84.5, 88.25)
COSTS = {"early": (3.0, 2.0, 4.0, 2.5), "late": (1.0, 0.0, 0.5, -0.5)}
HEADING = "Removal cost against causal contribution"
CLAIMS = {
    "claims": [{"name": "early helps", "treatment": {"disabled_slot": "none"}, "control": {"disabled_slot": "early"}}],
}


def made():
    return controls(FULL, {"early": EARLY, "late": LATE}, **COSTS)


def report(runs, claims=None):
    return build_report(experiment(runs), claims)


def section(found):
    return {s.heading: s for s in document(found.content).sections}.get(HEADING)


def verdicts(found):
    (group,) = found.content.contributions
    return {verdict.slot: verdict for verdict in group.verdicts}


@pytest.fixture
def claims(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(json.dumps(CLAIMS))
    return path


def test_the_section_is_there_when_there_are_control_runs_and_only_then():
    assert section(report(made())) is not None
    assert section(report([Made("a"), Made("b", "none")])) is None
    assert report([Made("a")]).content.contributions == ()


def test_it_says_first_what_the_two_numbers_are():
    text = section(report(made())).blocks[0].text
    assert text.startswith(
        "Removal cost is the trained network with the slot minus without it. "
        "Causal contribution: how much better it became because it was trained with them. That is the other number"
    )


def test_an_inconclusive_contribution_is_said_to_be_no_sign_of_nothing():
    early = verdicts(report(made()))["early"]
    assert early.badge == "Exploratory: inconclusive"
    assert " ".join(early.sentences) == (
        "Causal contribution to final_accuracy: +1.12 percentage points "
        "(95 % interval −0.75 to 3.00; paired t; 4 pairs by base_seed). "
        "Inconclusive: the interval contains zero (p = 0.153, 0.153 corrected over 2 slots). "
        "That is no sign that the slot contributes nothing. "
        "For 80 % power, 11 pairs would be needed, 7 more than there are, "
        "if the true difference were the observed one, which is an uncertain guide. "
        "Removal cost in the trained network: +2.88 percentage points (95 % interval 1.52 to 4.23; paired t; 4 full runs). "
        "Removal cost minus causal contribution: +1.75 percentage points "
        "(95 % interval 0.37 to 3.13; paired t; 4 pairs): it overstates what the slot brought."
    )


def test_a_shown_contribution_is_said_with_its_corrected_p():
    late = verdicts(report(made()))["late"]
    assert late.badge == "Exploratory: it contributed"
    assert late.sentences[1] == "The interval excludes zero (p < 0.001, < 0.001 corrected over 2 slots)."
    assert late.sentences[-1].endswith("it understates what the slot brought.")


def test_what_the_correction_takes_away_is_said():
    nearly = tuple(value - d for value, d in zip(FULL, (1.0, 2.0, 3.0, 0.9), strict=True))
    early = verdicts(report(controls(FULL, {"early": nearly, "late": FULL})))["early"]
    assert early.sentences[1] == (
        "The interval excludes zero (p = 0.039, 0.079 corrected over 2 slots). Corrected for the other slots, this is not enough."
    )


def test_a_gap_that_the_correction_takes_away_is_said():
    costs = {"early": (3.0, 2.0, 4.0, 2.5), "late": (3.0, 0.0, 1.0, 2.0)}
    early = verdicts(report(controls(FULL, {"early": EARLY, "late": FULL}, **costs)))["early"]
    assert early.sentences[-1].endswith("it overstates what the slot brought, but not once corrected for the other slots.")


def test_harm_is_called_harm():
    early = verdicts(report(controls(EARLY, {"early": LATE})))["early"]
    worse = verdicts(report(controls(LATE, {"early": EARLY})))["early"]
    assert (early.badge, worse.badge) == ("Exploratory: it contributed", "Exploratory: it did harm")


def test_below_three_pairs_the_runs_needed_are_said_instead_of_a_verdict():
    early = verdicts(report(controls(FULL[:2], {"early": EARLY[:2]}, early=(3.0, 2.0))))["early"]
    assert early.sentences == (
        "Causal contribution to final_accuracy: +0.25 percentage points (2 pairs by base_seed).",
        "2 pairs: nothing is inferred from fewer than 3; 6 pairs are needed before the permutation test can reach 0.05.",
        "Removal cost in the trained network: +2.50 percentage points (2 full runs).",
        "Removal cost minus causal contribution: +2.25 percentage points (2 pairs): too few to say whether they differ.",
    )


def test_without_a_single_pair_the_contribution_is_unknown():
    runs = [replace(run, state="crashed") if run.run_id.startswith("no-") else run for run in made()]
    early = verdicts(report(runs))["early"]
    assert early.sentences[0] == (
        "Causal contribution unknown: no full run and no run trained without early share a base_seed; 4 runs were not analysed."
    )
    assert early.sentences[1].startswith("Removal cost in the trained network: +2.88")


def test_slots_in_which_nothing_grew_are_counted_and_missing_removal_costs_explained():
    runs = [replace(run, removal={}) if run.run_id == "full-0" else run for run in made()]
    assert "Something grew in the slot in 3 of the 4 full runs." in verdicts(report(runs))["early"].sentences
    never = verdicts(report([replace(run, removal={}) for run in made()]))["early"].sentences
    assert never[-1] == "No removal cost is known: early was not evaluated with and without."


def test_runs_left_out_of_either_number_are_listed_with_the_reason():
    runs = [replace(run, state="crashed", reason="killed") if run.run_id == "no-early-1" else run for run in made()]
    runs = [replace(run, removal={}) if run.run_id == "full-3" else run for run in runs]
    items = section(report(runs)).blocks[-1].items
    assert ("no-early-1", "not in the causal contribution of early: crashed: killed") in items
    assert ("full-1", "not in the causal contribution of early: no analysed run of the other arm has base_seed 1") in items
    assert ("full-3", "not in the removal cost of late: late was not evaluated with and without") in items
    by_id = {run.run_id: run for run in report(runs).content.runs}
    assert (by_id["no-early-1"].analysed, by_id["no-early-1"].left_out) == (False, ("crashed: killed",))
    assert by_id["full-0"].analysed


def test_each_seed_and_each_mean_is_drawn_and_means_of_few_have_no_interval():
    figure = next(b for b in section(report(made())).blocks if isinstance(b, Figures)).figures[0]
    assert figure.chart == "removal_vs_causal"
    rows = [row for row in figure.rows if row["slot"] == "early"]
    assert [(row["measure"], row["kind"]) for row in rows] == [
        *[("removal cost", kind) for kind in ("mean", "run", "run", "run", "run")],
        *[("causal contribution", kind) for kind in ("mean", "run", "run", "run", "run")],
    ]
    assert [row["value"] for row in rows if row["kind"] == "run"] == [*COSTS["early"], 1.0, -0.5, 2.0, 2.0]
    few = next(b for b in section(report(controls(FULL[:2], {"early": EARLY[:2]}))).blocks if isinstance(b, Figures))
    assert [row["low"] for row in few.figures[0].rows if row["kind"] == "mean"] == [None]


def test_verdicts_stand_at_the_top_without_claims_and_in_their_section_with_them(claims):
    def badges(found, heading):
        blocks = {s.heading: s.blocks for s in document(found.content).sections}[heading]
        return [block.badge for block in blocks if hasattr(block, "badge")]

    alone, declared = report(made()), report(made(), claims)
    assert badges(alone, "Verdict") == badges(declared, HEADING) == ["Exploratory: inconclusive", "Exploratory: it contributed"]
    assert badges(declared, "Verdict") == ["Not supported: inconclusive"]
    assert badges(alone, HEADING) == []
    assert [text.split(" (")[0] for text in declared.content.verdicts] == [
        "early helps",
        "training with early",
        "training with late",
    ]


def test_control_runs_are_arms_of_their_own_so_that_no_average_mixes_them(claims):
    """Of curves, Shapley values and parameters; full runs are called so whether or not claims name them."""
    assert report(made()).content.arms == ("all slots", "without early", "without late")
    found = report(made(), claims).content
    assert found.arms == ("without early", "all slots", "without late")
    assert found.claims[0].sentences[0].startswith("In final_accuracy, all slots is 1.12 percentage points above without early")


def test_the_default_comparison_of_controllers_leaves_control_runs_out():
    hosts = [Made(f"host-{seed}", "none", seed, (80.0 + seed,)) for seed in range(4)]
    found = report([*made(), *hosts]).content
    (claim,) = found.claims
    assert (claim.treatment, claim.control) == ("heuristic", "none")
    assert claim.aggregation.treatment == "controller = heuristic, disabled_slot = null or none"
    assert claim.aggregation.run_ids[:4] == ("full-0", "full-1", "full-2", "full-3")
    assert found.arms == ("none", "heuristic", "without early", "without late")


def test_each_controller_has_its_own_section():
    policy = [replace(run, run_id=f"policy-{run.run_id}", controller="policy") for run in made()]
    headings = [s.heading for s in document(report([*made(), *policy]).content).sections]
    assert [h for h in headings if h.startswith(HEADING)] == [
        f"{HEADING}: controller = heuristic",
        f"{HEADING}: controller = policy",
    ]


def test_settings_that_differ_besides_the_slot_threaten_the_contribution():
    runs = [replace(run, config={**run.config, "lr": 0.1 if "early" in run.run_id else 0.2}) for run in made()]
    found = {threat.text for threat in report(runs).content.threats if threat.topic == "Settings"}
    expected = (
        "Besides the factor itself the arms differ in config.lr (0.2 against 0.1). Each of these could explain the difference. "
        "(Claim: causal contribution of early, controller = heuristic.)"
    )
    assert found == {expected}
    assert not [threat for threat in report(made()).content.threats if threat.topic == "Settings"]


def test_the_methods_say_how_it_was_computed_and_only_then():
    assert any("control runs of the same base_seed" in text for text in report(made()).content.methods)
    assert not any("control runs" in text for text in report([Made("a"), Made("b", "none")]).content.methods)


def test_the_hash_follows_the_removal_costs():
    other = [replace(run, removal={**run.removal, "early": 9.0}) if run.run_id == "full-0" else run for run in made()]
    assert report(made()).content.input_hash != report(other).content.input_hash
