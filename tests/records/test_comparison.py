"""Numbers a verdict rests on: what may be missing, what must be in range."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest

from karn_wandb.errors import RecordError
from karn_wandb.records import Comparison, ExcludedRun, ExperimentAggregation, Pair

# The review's P3-13
AGGREGATION = {"run_ids": ("a", "b"), "mean_delta": 1.8, "std_delta": 18.7, "p_value": 0.8, "cohens_d": 0.1}
COMPARISON = {
    "n_treatment": 8,
    "n_control": 8,
    "paired": True,
    "higher_is_better": True,
    "confidence": 0.95,
    "margin": None,
    "mean_treatment": 67.2,
    "mean_control": 65.4,
    "mean_delta": 1.8,
    "std_delta": 18.7,
}


def test_the_requirements_fields_alone_make_an_aggregation():
    aggregation = ExperimentAggregation(**AGGREGATION)
    assert {name: getattr(aggregation, name) for name in AGGREGATION} == AGGREGATION


def test_without_inference_the_verdict_is_inconclusive_and_nothing_is_zero():
    """Too few runs: None, not 0; a p of 0 or an effect of 0 would be a claim."""
    comparison = Comparison(**COMPARISON)
    assert comparison.verdict == "inconclusive"
    inferential = {f.name for f in fields(comparison)} - COMPARISON.keys() - {"ci_method", "verdict", "warnings"}
    assert {getattr(comparison, name) for name in inferential} == {None}


@pytest.mark.parametrize("verdict", ["better", "worse", "equivalent", "non-inferior", "inconclusive"])
def test_verdicts_are_those_of_the_contract(verdict):
    assert Comparison(**COMPARISON, verdict=verdict).verdict == verdict


@pytest.mark.parametrize(
    ("cls", "given", "bad", "message"),
    [
        (
            Comparison,
            COMPARISON,
            {"verdict": "win"},
            "Comparison.verdict must be one of 'better', 'worse', 'equivalent', 'non-inferior', 'inconclusive'; got 'win' (str).",
        ),
        (Comparison, COMPARISON, {"p_value": 1.2}, "Comparison.p_value must be between 0 and 1; got 1.2."),
        (Comparison, COMPARISON, {"p_value": math.nan}, "Comparison.p_value must be between 0 and 1; got nan."),
        (Comparison, COMPARISON, {"confidence": 95}, "Comparison.confidence must be between 0.5 and 0.9999; got 95.0."),
        (Comparison, COMPARISON, {"n_treatment": -1}, "Comparison.n_treatment must be at least 0; got -1."),
        (
            Comparison,
            COMPARISON,
            {"hedges_g_ci": (0.1, 0.2, 0.3)},
            "Comparison.hedges_g_ci must be 2 values, each a number; got (0.1, 0.2, 0.3) (tuple).",
        ),
        (
            ExperimentAggregation,
            AGGREGATION,
            {"run_ids": "a"},
            "ExperimentAggregation.run_ids must be a sequence of text; got 'a' (str).",
        ),
        (
            Pair,
            {"key": "0", "treatment_run": "a", "control_run": "b", "treatment": 1.0, "control": 2.0},
            {"treatment": None},
            "Pair.treatment must be a number; got None (NoneType).",
        ),
        (
            ExcludedRun,
            {"run_id": "a", "arm": "control", "state": "crashed", "reason": "it crashed"},
            {"reason": None},
            "ExcludedRun.reason must be text; got None (NoneType).",
        ),
    ],
)
def test_bad_input_is_refused_in_words(cls, given, bad, message):
    with pytest.raises(RecordError) as raised:
        cls(**{**given, **bad})
    assert str(raised.value) == message
