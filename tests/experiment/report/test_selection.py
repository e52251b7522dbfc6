"""Threats in how runs and comparisons were chosen, looked for in the data, and silent where there are none."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from report_runs import Made, experiment, pairs

from karn_wandb.experiment.report import build_report

GROWN, HOST = (64.9, 64.1, 66.0, 64.6, 65.2), (61.2, 62.5, 60.8, 63.1, 61.7)
CLAIM = {"name": "a", "treatment": {"controller": "heuristic"}, "control": {"controller": "none"}}


@pytest.fixture
def threats(tmp_path):
    """Texts of the threats of one topic, of runs that were started with the claims unless `started` says otherwise."""

    def of(topic, made, started=None, **top):
        path = tmp_path / "claims.yaml"
        path.write_text(json.dumps({**top, "claims": [CLAIM]}))
        text = path.read_text() if started is None else started
        found = build_report(experiment([replace(run, claims=text) for run in made]), path).content.threats
        return [threat.text for threat in found if threat.topic == topic]

    return of


class TestCopies:
    def test_a_run_that_was_copied_under_another_seed_is_found(self, threats):
        copied = [*pairs(GROWN, HOST), Made("grown-9", "heuristic", 9, (GROWN[0],))]
        assert threats("Copies", copied) == [
            (
                "The same values at every epoch: grown-0, grown-9. Their random seeds differ, so that equal values are no "
                "chance: one "
                "is a copy of the other, or the seed had no effect. They are no independent repetitions."
            )
        ]

    def test_one_seed_trained_twice_is_one_result(self, threats):
        twice = [*pairs(GROWN, HOST), Made("again", "heuristic", 0, (GROWN[0],))]
        assert threats("Copies", twice) == [
            (
                "The same values at every epoch: again, grown-0. They have one random seed, so that this is one result more than "
                "once."
            )
        ]
        assert threats("Statistics", twice)[0] == (
            "The treatment arm has several runs of base_seed 0: each pair uses their mean, so that none is chosen."
        )

    def test_runs_of_several_episodes_are_named_once_with_how_many_are_alike(self, threats):
        episodes = [(61.2, 62.0, 63.0), (62.5, 61.0), (60.8, 61.0)]
        made = [Made(f"host-{seed}", "none", seed, finals) for seed, finals in enumerate(episodes)]
        made += [Made(f"grown-{seed}", "heuristic", seed, (*finals[:2], 70.0 + seed)) for seed, finals in enumerate(episodes)]
        (told,) = [text for text in threats("Copies", made) if "different arms" in text]
        assert told.startswith("The same values at every epoch: grown-0, host-0 (in 2 episodes); ")

    def test_arms_that_are_alike_are_found(self, threats):
        made = pairs((61.2, *GROWN[1:]), HOST)
        assert threats("Copies", made) == [
            (
                "The same values at every epoch: grown-0, host-0. They are in different arms: what tells the arms apart "
                "changed "
                "nothing in them."
            )
        ]

    def test_of_many_some_are_listed_and_all_counted(self, threats):
        (text,) = threats("Copies", pairs(HOST, HOST))
        assert text.startswith(
            "The same values at every epoch: grown-0, host-0; grown-1, host-1; grown-2, host-2; and 2 groups more."
        )

    def test_runs_that_share_some_epochs_only_are_none(self, threats):
        made = [*pairs(GROWN, HOST), Made("longer", "heuristic", 9, (GROWN[0],), epochs=5)]
        assert threats("Copies", made) == []

    def test_runs_that_never_learned_are_none(self, threats):
        """A collapsed network logs the same value at every epoch, and so does the next one."""
        flat = [Made(f"flat-{s}", "heuristic", s, (10.0,), loss=2.3) for s in (7, 8)]
        assert threats("Copies", [*pairs(GROWN, HOST), *flat]) == []


class TestData:
    def test_different_data_is_found(self, threats):
        made = [replace(run, data_hash="a" * 64 if run.seed else "b" * 64) for run in pairs(GROWN, HOST)]
        assert threats("Data", made) == [f"The runs were trained on 2 different data sets (hashes {'a' * 12}, {'b' * 12})."]

    @pytest.mark.parametrize("hashes", [("a", "a"), ("", ""), ("a", "")])
    def test_one_hash_or_none_is_no_difference(self, threats, hashes):
        assert threats("Data", [replace(run, data_hash=hashes[run.seed % 2]) for run in pairs(GROWN, HOST)]) == []


class TestTuning:
    def tried(self, grown, host, name="lr"):
        return [
            replace(run, config={name: (grown if run.controller == "heuristic" else host)[run.seed]})
            for run in pairs(GROWN, HOST)
        ]

    def test_an_arm_that_was_tried_in_more_configurations_is_found(self, threats):
        assert threats("Tuning", self.tried((0.1, 0.2, 0.3, 0.4, 0.4), (0.1,) * 5)) == [
            (
                "Apart from random seeds there are runs of none in 1 configuration and heuristic in 4 configurations. The "
                "arm that was "
                "tried in more gains where the best of them was chosen, and loses where all are averaged; its runs are no "
                "repetitions "
                "of one configuration."
            )
        ]

    def test_a_random_search_has_a_configuration_for_every_run(self, threats):
        (text,) = threats("Tuning", self.tried((0.11, 0.12, 0.13, 0.14, 0.15), (0.1,) * 5))
        assert "heuristic in 5 configurations" in text

    def test_the_same_budget_in_both_arms_is_no_threat(self, threats):
        assert threats("Tuning", self.tried((0.1, 0.1, 0.2, 0.2, 0.2), (0.1, 0.2, 0.2, 0.2, 0.2))) == []

    @pytest.mark.parametrize(
        ("name", "values"), [("data_seed", (1, 2, 3, 4, 4)), ("job", (11, 12, 13, 14, 15)), ("host", tuple("abcde"))]
    )
    def test_seeds_and_names_of_runs_are_no_configurations(self, threats, name, values):
        assert threats("Tuning", self.tried(values, (1,) * 5 if name != "host" else ("z",) * 5, name)) == []


class TestStopping:
    def at(self, *began, ended=5):
        return [replace(run, began=began[run.seed], ended=began[run.seed] + ended) for run in pairs(GROWN, HOST)]

    def test_without_a_plan_runs_that_began_when_a_result_was_in_are_counted(self, threats):
        assert threats("Stopping", self.at(0, 1, 2, 10, 11)) == [
            (
                "No number of runs was planned, and 4 of 10 runs were started after the first result was in (2026-01-02 "
                "00:05 UTC). "
                "That runs were added until the result was as wanted is not ruled out."
            )
        ]

    def test_runs_side_by_side_are_no_threat(self, threats):
        assert threats("Stopping", self.at(0, 1, 2, 3, 4)) == []

    def test_with_a_plan_only_those_after_the_last_planned_are(self, threats):
        one_by_one = self.at(0, 10, 20, 30, 40)
        assert threats("Stopping", one_by_one, planned_runs=5) == []
        assert threats("Stopping", one_by_one, planned_runs=3) == [
            f"2 runs of {arm} were started after the 3 planned had finished (2026-01-02 00:25 UTC): adding runs after a look "
            "inflates false findings."
            for arm in ("none", "heuristic")
        ]


class TestChoice:
    def test_claims_declared_before_the_runs_were_not_chosen(self, threats):
        assert threats("Choice", pairs(GROWN, HOST)) == []

    def test_otherwise_what_could_have_been_compared_is_counted_from_the_data(self, threats):
        """Two other arms, four outcomes: eight comparisons; 1 - 0.975^8 = 0.18."""
        assert threats("Choice", [*pairs(GROWN, HOST), Made("policy-0", "policy", 0)], started="") == [
            (
                "The runs hold 4 outcomes (final_accuracy, final_loss, best_accuracy, total_params) of 3 arms, so 8 "
                "comparisons with one "
                "of the arms could have been made, and 1 was. That nobody chose among them after a look is not shown. Were "
                "all made at "
                "0.025, and independent, one would succeed by chance with probability 0.18."
            )
        ]

    def test_rewards_are_an_outcome_too_where_any_are_logged(self, threats):
        (said,) = threats("Choice", [*pairs(GROWN, HOST), Made("policy-0", "policy", 0, rewards=(1.5,))], started="")
        assert "5 outcomes (final_accuracy, final_loss, best_accuracy, total_params, reward_total) of 3 arms, so 10" in said

    def test_without_a_claims_file_it_is_the_same(self):
        topics = [threat.topic for threat in build_report(experiment(pairs(GROWN, HOST))).content.threats]
        assert topics.count("Choice") == 1


class TestRules:
    def test_a_verdict_that_hangs_on_a_crashed_run_is_said_to(self, threats):
        made = [*pairs(GROWN, HOST), Made("lost", "heuristic", 7, (40.0,), state="crashed"), Made("host-7", "none", 7, (61.5,))]
        assert threats("Robustness", made) == [
            "The verdict hangs on which runs count. Finished: better; unfinished at the worst value: inconclusive."
        ]

    def test_one_that_does_not_is_not(self, threats):
        made = [*pairs(GROWN, HOST), Made("lost", "heuristic", 7, (63.0,), state="crashed"), Made("host-7", "none", 7, (61.5,))]
        assert threats("Robustness", made) == []


class TestPlan:
    def test_runs_that_carry_claims_the_report_was_not_given_are_counted(self):
        made = [replace(run, claims="claims: [1]") for run in pairs(GROWN, HOST)]
        texts = [threat.text for threat in build_report(experiment(made)).content.threats if threat.topic == "Plan"]
        assert texts[1].startswith("10 runs were started with a claims file (SHA-256 ")
        assert texts[1].endswith(") that this report was not given: what was declared is not what is reported.")

    def test_claims_that_were_changed_are_a_threat(self, threats):
        changed = json.dumps({"claims": [{**CLAIM, "margin": 2.0}]})
        assert threats("Plan", pairs(GROWN, HOST), started=changed) == [
            "The claims were changed after runs had been started with them; what was changed stands above."
        ]

    def test_so_are_claims_that_no_run_was_started_with(self, threats):
        assert threats("Plan", pairs(GROWN, HOST), started="") == [
            (
                "None of 10 runs in its arms was started with a claims file: that this one was declared before them is not "
                "shown. Give "
                "it to karn_wandb.init(claims=...)."
            )
        ]
