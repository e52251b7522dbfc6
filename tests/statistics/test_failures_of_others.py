"""What packages for the same purpose get wrong, each with its name: it must not happen here.

Seen by running rliable 1.2.0, deepsig 1.2.8, pingouin 0.7.0 and autorank 1.3.0.
"""

import numpy as np
import pytest

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics import compare, correct, improvement_over_tasks, over_tasks, performance_profile
from karn_wandb.statistics.permutation import RELABELLINGS

rng = np.random.default_rng(0)
SCORES, CONTROL = rng.normal(60, 5, (4, 12)), rng.normal(59, 5, (4, 12))


def test_rliable_gives_one_run_an_interval_of_no_width():
    assert compare([70.0], [60.0]).ci_low is None
    assert over_tasks(SCORES[:, :1]).low is None
    assert improvement_over_tasks(SCORES[:, :1], CONTROL[:, :1]).low is None
    assert performance_profile(SCORES[:, :1]).low is None


def test_rliable_ignores_its_random_state():
    """Two calls with one seed gave two intervals, since it draws from NumPy's global generator."""
    before = repr(np.random.get_state())  # noqa: NPY002 -- the global state is what must not move
    assert over_tasks(SCORES, rng=5) == over_tasks(SCORES, rng=5)
    assert improvement_over_tasks(SCORES, CONTROL, rng=5) == improvement_over_tasks(SCORES, CONTROL, rng=5)
    assert performance_profile(SCORES, rng=5) == performance_profile(SCORES, rng=5)
    assert compare(SCORES[0], CONTROL[0], rng=5) == compare(SCORES[0], CONTROL[0], rng=5)
    assert repr(np.random.get_state()) == before  # noqa: NPY002 -- as above


def test_rliable_lets_a_nan_spread_in_silence():
    holed = SCORES.copy()
    holed[1, 3] = np.nan
    found = over_tasks(holed, "mean")
    assert np.isfinite([found.estimate, found.low, found.high]).all()
    assert "1 of 48 cells are missing" in found.warnings[0]


def test_autorank_gives_p_nan_without_an_error():
    with pytest.raises(StatisticsError, match="nan at index 3"):
        compare([1.0, 2.0, 3.0, np.nan], [1.0, 2.0, 3.0, 4.0])


def test_deepsig_returns_corrected_p_values_against_the_wrong_hypotheses():
    """Of [.02, .03, .001] it makes [.03, .003, .04]."""
    assert correct([0.02, 0.03, 0.001]) == pytest.approx((0.04, 0.04, 0.003))


def test_deepsig_can_give_a_p_value_of_zero():
    assert compare(np.arange(40.0) + 1e6, np.arange(40.0)).p_permutation == 1 / (RELABELLINGS + 1)


def test_pingouin_loses_the_sign_of_a_paired_effect_and_divides_by_the_wrong_deviation():
    deltas = SCORES[0] - SCORES[0].mean() - 4
    found = compare(CONTROL[0] + deltas, CONTROL[0], paired=True)
    assert found.cohens_d == pytest.approx(-4 / deltas.std(ddof=1))
    assert found.hedges_g < 0


def test_pingouins_interval_of_an_effect_is_symmetric():
    """At n = 3 and d = 2 it says -0.78 to 4.78."""
    assert compare([2.0, 3.0, 1.0], [0.0, 1.0, -1.0]).hedges_g_ci == pytest.approx((-0.15, 4.02), abs=0.005)


def test_the_smallest_p_that_can_be_reached_is_said():
    """Where others print "not significant"."""
    found = compare([1.0, 2.1, 3.3], [0.0, 0.1, 0.2])
    assert found.p_attainable == 0.1
    assert (
        "with 3 v 3 runs the smallest attainable permutation p is 0.1, above 0.05; 4 runs an arm can reach it" in found.warnings
    )
