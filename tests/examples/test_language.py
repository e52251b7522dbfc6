"""The language models' conclusion: bits per character of whole pairs, against the bigram line, lower being better."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from scipy import stats

from examples import demo, language
from examples.tasks import TEXT
from examples.train import parsed
from examples.workers import Workers, options_of
from karn_wandb.experiment.claims import read_claims

ALONE = [2.50, 2.61, 2.55]
GROWN = [2.44, 2.54, 2.50]


def episodes(alone=ALONE, grown=GROWN, state="finished"):
    arms = [("none", alone), ("heuristic", grown)]
    rows = [
        {"base_seed": seed, "config.controller": controller, "final_loss": value * math.log(2), "state": "finished"}
        for controller, values in arms
        for seed, value in enumerate(values)
    ]
    rows[-1]["state"] = state
    return pd.DataFrame(rows).assign(**{"config.bigram_bits_per_character": 3.5})


def test_the_plan_is_the_demos_on_text(monkeypatch):
    monkeypatch.setattr("sys.argv", ["language"])
    given = options_of("", out="runs", seeds=3, each="", images=False)
    plan = language.plan(2)
    options = [parsed(Workers(given, None, language.CLAIMS)._command(planned, paired=False)[3:]) for planned in plan]
    assert [(o.task, o.controller, o.seed) for o in options] == [
        ("text", controller, seed) for controller in ("none", "heuristic") for seed in (0, 1)
    ]
    assert [p.after for p in plan] == [None, None, plan[0], plan[1]]
    assert [p.label for p in plan] == [p.label for p in demo.plan(2)]


def test_bits_are_nats_over_ln_2_by_random_seed():
    found = language.bits(episodes())
    assert found["none"].tolist() == pytest.approx(ALONE)
    assert found["heuristic"].tolist() == pytest.approx(GROWN)
    assert found.index.tolist() == [0, 1, 2]


def test_the_comparison_is_a_paired_t_test_in_which_less_is_better():
    said = "\n".join(language.conclusion(episodes()))
    deltas = [grown - alone for grown, alone in zip(GROWN, ALONE, strict=True)]
    low, high = stats.t.interval(0.95, 2, loc=stats.tmean(deltas), scale=stats.sem(deltas))
    assert f"heuristic minus none: {stats.tmean(deltas):+.3f} bits (95 % interval {low:+.3f} to {high:+.3f}; " in said
    assert high < 0
    assert said.endswith("n = 3): better")
    assert "where a bigram model needs 3.500:" in said


def test_a_run_without_a_pair_is_shown_and_not_compared():
    said = list(language.conclusion(episodes(state="crashed")))
    assert "2.550" in said[1]
    assert said[-1].endswith("(n = 2): inconclusive")


def test_no_pair_is_no_comparison():
    said = list(language.conclusion(episodes(grown=[2.5]).iloc[:3]))
    assert said[-1] == "Every run is below the bigram line."


def test_a_run_above_the_line_is_counted():
    assert "Runs that are not below the bigram line: 2." in language.conclusion(episodes(alone=[3.5, 3.6, 2.5]))


def test_the_claims_are_of_the_loss_and_lower_is_better():
    (claim,) = read_claims(language.CLAIMS).claims
    assert (claim.metric, claim.higher_is_better, claim.pair_by) == ("final_loss", False, "base_seed")
    assert TEXT.metric.score(1.0, 50.0) == pytest.approx(-1 / math.log(2))
