"""Scaling curves as records: stored exactly, what is open or unknown is None and never a number."""

from __future__ import annotations

import pytest

from karn_wandb.errors import RecordError
from karn_wandb.records import CurvePoint, EquivalentCost, Estimate, ExcludedRun, Scaling, ScalingFit, ScalingRun, ScalingTarget

FIT = ScalingFit(
    sizes=4,
    runs=12,
    smallest=1e3,
    largest=1e6,
    floor=Estimate(12.0, 8.0, 15.0),
    coefficient=Estimate(2600.0),
    exponent=Estimate(0.42),
    at_bound=False,
    run_std=0.6,
    lack_of_fit_f=None,
    lack_of_fit_p=None,
    confidence=0.95,
    draws=4000,
)
OPEN = EquivalentCost(
    runs=3,
    error=12.0,
    cost=1e5,
    equivalent=None,
    low=2e6,
    high=None,
    ratio=None,
    ratio_low=20.0,
    ratio_high=None,
    beyond=None,
    unreached=0.5,
)


def test_it_is_read_back_equal():
    found = Scaling(
        metric="final_accuracy",
        cost="total_params",
        fit=FIT,
        curve=(CurvePoint(1e3, Estimate(50.0, 49.0, 51.0), "measured"),),
        hosts=(ScalingRun("a", 1e3, 50.0),),
        targets=(ScalingTarget("heuristic", 88.0, (ScalingRun("b", 1e5, 88.0),), OPEN, ("open",)),),
        excluded=(ExcludedRun("c", "", "crashed", "killed"),),
    )
    assert Scaling.from_plain(found.to_plain()) == found


def test_an_estimate_without_an_interval_has_none():
    assert (Estimate(1.0).low, Estimate(1.0).high) == (None, None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Estimate(float("inf")), "Estimate.value must be a finite number; got inf."),
        (lambda: ScalingRun("a", -1.0, 50.0), "ScalingRun.cost must be at least 0; got -1.0."),
        (
            lambda: CurvePoint(1.0, Estimate(1.0), "inside"),
            "CurvePoint.part must be one of 'below', 'measured', 'above'; got 'inside' (str).",
        ),
    ],
)
def test_bad_input_is_refused_in_words(make, message):
    with pytest.raises(RecordError) as raised:
        make()
    assert str(raised.value) == message
