"""Threats are found in the data, each said once, with the claim it concerns."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from report_runs import Made, experiment, pairs

from karn_wandb.experiment.report import build_report

TREATMENT, CONTROL = (64.9, 64.1, 66.0, 64.6, 65.2), (61.2, 62.5, 60.8, 63.1, 61.7)
CLAIM = {"name": "a", "treatment": {"controller": "heuristic"}, "control": {"controller": "none"}}


@pytest.fixture
def threats(tmp_path):
    """Threats of a report on runs and claims that they were started with, as (topic, text), without those of small numbers."""

    def of(made, *claims, warnings=(), **top):
        path = tmp_path / "claims.yaml"
        path.write_text(json.dumps({**top, "claims": claims or [CLAIM]}))
        started = [replace(run, claims=path.read_text()) for run in made]
        found = build_report(experiment(started, warnings), path).content.threats
        return [(threat.topic, threat.text) for threat in found if threat.topic != "Statistics"]

    return of


def test_a_clean_experiment_has_none(threats):
    assert threats(pairs(TREATMENT, CONTROL)) == []


def test_small_numbers_are_pointed_out_in_the_words_of_the_statistics():
    found = build_report(experiment(pairs(TREATMENT, CONTROL))).content.threats
    assert ("Statistics", "5 pairs: few; the interval rests on near-normal values, which so few cannot show.") in [
        (threat.topic, threat.text) for threat in found
    ]


def test_runs_left_out_are_counted_by_arm(threats):
    made = [*pairs(TREATMENT, CONTROL), Made("lost", "heuristic", 5, (59.0,), state="crashed"), Made("alone", "none", 6)]
    assert threats(made) == [
        (
            "Left out",
            "1 of 6 runs of heuristic left out. If the worse runs are those that fail, the arm looks better than it is.",
        ),
        ("Left out", "1 of 6 runs of none had no partner in the other arm."),
    ]


@pytest.mark.parametrize(
    ("planned", "extra", "why"),
    [
        (4, [], "5 started and 5 analysed: adding runs after a look inflates false findings."),
        (6, [], "5 started and 5 analysed: this may be an early look, or runs were lost."),
        (
            5,
            [Made("lost", "heuristic", 5, (59.0,), state="failed"), Made("lost too", "none", 5, state="failed")],
            "6 started and 5 analysed: the runs that were left out were replaced, which needs a reason.",
        ),
    ],
)
def test_the_plan_is_held_against_what_was_done(threats, planned, extra, why):
    found = [text for topic, text in threats([*pairs(TREATMENT, CONTROL), *extra], planned_runs=planned) if topic == "Plan"]
    assert found == [f"{planned} runs of {arm} were planned, {why}" for arm in ("heuristic", "none")]


def test_choosing_the_best_epoch_is_selection(threats):
    ((topic, text),) = threats(pairs(TREATMENT, CONTROL), {**CLAIM, "metric": "best_accuracy"})
    assert topic == "Selection"
    assert text.startswith("best_accuracy is the best of many epochs, chosen on the data it is measured on")


def test_settings_that_differ_between_the_arms_are_listed(threats):
    made = [
        Made(
            f"{arm}-{s}", arm, s, (60.0 + s + (arm == "none"),), config={"lr": lr, "width": width, "same": 1, "name": f"{arm}{s}"}
        )
        for arm, lr in (("heuristic", 0.1), ("none", 0.2))
        for s, width in enumerate((8, 16, 32, 64))
    ]
    made[0] = Made("heuristic-0", "heuristic", 0, config={"lr": 0.1, "width": 4, "same": 1, "name": "x"}, epochs=4)
    assert [text for topic, text in threats(made) if topic == "Settings"] == [
        "Besides the factor itself the arms differ in config.lr (0.1 against 0.2). Each of these could explain the difference."
    ]


def test_a_setting_that_one_arm_lacks_differs(threats):
    made = [
        Made(f"{arm}-{s}", arm, s, config={} if arm == "none" else {"extra": "on"})
        for arm in ("heuristic", "none")
        for s in (0, 1)
    ]
    assert [text for topic, text in threats(made) if topic == "Settings"] == [
        (
            "Besides the factor itself the arms differ in config.extra (on against missing). "
            "Each of these could explain the difference."
        )
    ]


def test_of_very_many_differing_settings_some_are_listed_and_all_counted(threats):
    many = [f"setting {i:05}" for i in range(200)]
    made = [Made(f"{arm}-{s}", arm, s, config=dict.fromkeys(many, arm)) for arm in ("heuristic", "none") for s in (0, 1)]
    ((_, text),) = (found for found in threats(made) if found[0] == "Settings")
    assert text.count("setting ") == 12
    assert ", and 188 more. " in text


def test_runs_of_different_or_unsaved_code_are_pointed_out(threats):
    made = pairs(TREATMENT, CONTROL)
    made[0] = Made("grown-0", "heuristic", 0, (64.9,), git_commit="feed-dirty")
    found = threats(made)
    assert ("Code", "The runs are of 2 commits: c0ffee, feed-dirty.") in found
    assert ("Code", "1 commit had uncommitted changes, so the code of these runs cannot be restored from it.") in found


def test_an_arm_of_other_code_is_a_setting_that_differs_and_is_said_once(threats):
    made = [Made(f"{arm}-{s}", arm, s, (60.0 + s,), git_commit=arm) for arm in ("heuristic", "none") for s in (0, 1)]
    assert [text for topic, text in threats(made) if topic == "Settings"] == [
        (
            "Besides the factor itself the arms differ in git_commit (heuristic against none). "
            "Each of these could explain the difference."
        )
    ]


def test_runs_of_different_length_are_pointed_out(threats):
    made = [*pairs(TREATMENT, CONTROL), Made("grown-5", "heuristic", 5, (64.0,), epochs=2), Made("host-5", "none", 5, epochs=3)]
    assert [text for topic, text in threats(made) if topic == "Length"] == [
        (
            "Analysed runs are of different length, from 2 to 4 epochs. The arms differ in it (none 3 to 4, heuristic 2 to 4): "
            "the one trained longer may owe its result to that."
        )
    ]


def test_lengths_that_are_the_same_in_both_arms_do_not_tell_them_apart(threats):
    short = [Made("grown-5", "heuristic", 5, (64.0,), epochs=3), Made("host-5", "none", 5, epochs=3)]
    assert [text for topic, text in threats([*pairs(TREATMENT, CONTROL), *short]) if topic == "Length"] == [
        "Analysed runs are of different length, from 3 to 4 epochs."
    ]


def test_attribution_at_different_epochs_is_pointed_out(threats):
    made = pairs(TREATMENT, CONTROL, early=1.0)
    made[0] = Made("grown-0", "heuristic", 0, (64.9,), epochs=3, shapley={"early": 1.0})
    assert ("Attribution", "The last evaluated epoch differs between runs, from 3 to 4.") in threats(made)


def test_a_permutation_test_that_disagrees_is_said_to(threats):
    """Six pairs could reach 0.031; p of all 64 sign flips is 4/64."""
    ((topic, text),) = threats(pairs((64.9, 64.1, 66.0, 62.6, 65.2, 63.9), (61.2, 62.5, 60.8, 63.1, 61.7, 62.2)))
    assert topic == "Robustness"
    assert text == "The permutation test, which assumes no distribution, does not show the difference: p = 0.062."


def test_a_permutation_test_that_could_not_show_anything_does_not_disagree(threats):
    assert threats(pairs((64.9, 64.1, 66.0, 64.6), (61.2, 61.5, 61.8, 61.1))) == []


def test_what_was_wrong_with_the_files_is_passed_on(threats):
    assert threats(pairs(TREATMENT, CONTROL), warnings=("run a: torn",)) == [("Reading", "Run a: torn.")]


def test_a_threat_to_some_claims_names_them_and_one_to_all_is_said_once(threats):
    made = [*pairs(TREATMENT, CONTROL), Made("lost", "heuristic", 5, (59.0,), state="crashed"), Made("alone", "none", 6)]
    found = threats(made, CLAIM, {**CLAIM, "name": "b", "metric": "final_loss", "pair_by": None})
    assert found == [
        (
            "Left out",
            "1 of 6 runs of heuristic left out. If the worse runs are those that fail, the arm looks better than it is.",
        ),
        ("Left out", "1 of 6 runs of none had no partner in the other arm. (Claim: a.)"),
        (
            "Robustness",
            ("The verdict hangs on which runs count. Finished: worse; unfinished at the last value: inconclusive. (Claim: b.)"),
        ),
    ]
