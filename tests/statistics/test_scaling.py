"""Scaling curves and what is read off them: against simulations of known curves and the definitions of each number."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import curve_fit

from karn_wandb.errors import StatisticsError
from karn_wandb.records import Estimate
from karn_wandb.statistics import scaling
from karn_wandb.statistics.power_law import FARTHEST
from karn_wandb.statistics.scaling import DRAWS, Runs, equivalent_params, fit_scaling

few = settings(max_examples=15, deadline=None)
SIZES = (1e9, 3e9, 1e10, 3e10)
SPREAD = 0.005


def truth(cost):
    """Hoffmann et al. 2022, in parameters."""
    return 1.69 + 406.4 * cost**-0.34


def runs(cost, n=3, rng=None, spread=SPREAD, like=None):
    deviations = np.zeros(n) if rng is None else rng.normal(0, spread, n)
    return Runs(np.full(n, float(cost)), truth(cost if like is None else like) + deviations)


def simulated(seed=0, sizes=SIZES, n=3):
    rng = np.random.default_rng(seed)
    return [runs(size, n, rng) for size in sizes]


def holds(estimate: Estimate, value: float) -> bool:
    return estimate.low <= value <= estimate.high


def test_the_curve_and_its_intervals_hold_the_truth_they_were_drawn_from():
    curve = fit_scaling(simulated())
    fit = curve.fit
    assert (fit.sizes, fit.runs, fit.smallest, fit.largest, fit.draws) == (4, 12, 1e9, 3e10, DRAWS)
    assert holds(fit.floor, 1.69)
    assert holds(fit.coefficient, 406.4)
    assert holds(fit.exponent, 0.34)
    assert holds(curve.error_at(1e10), truth(1e10))
    assert not fit.at_bound


def test_an_80b_model_as_good_as_a_130b_one_is_told_so_with_its_interval_and_how_far_it_is_extrapolated():
    rng = np.random.default_rng(5)
    found = fit_scaling(simulated()).equivalent(runs(80e9, 3, rng, like=130e9))
    assert found.low < 130e9 < found.high
    assert found.ratio == found.equivalent / 80e9
    assert (found.ratio_low, found.ratio_high) == pytest.approx((found.low / 80e9, found.high / 80e9))
    assert found.beyond == pytest.approx(found.equivalent / 3e10)


def test_within_the_sizes_it_is_better_known_and_not_extrapolated():
    rng = np.random.default_rng(5)
    beyond = fit_scaling(simulated()).equivalent(runs(80e9, 3, rng, like=130e9))
    rng = np.random.default_rng(5)
    inside = fit_scaling(simulated(sizes=(1e10, 3e10, 1e11, 3e11))).equivalent(runs(80e9, 3, rng, like=130e9))
    assert inside.beyond == 1
    assert inside.high / inside.low < beyond.high / beyond.low
    assert inside.unreached < 0.001


def test_below_the_smallest_size_it_is_extrapolated_too():
    found = fit_scaling(simulated()).equivalent(runs(1e9, 3, like=1e8))
    assert found.beyond == pytest.approx(1e9 / found.equivalent)
    assert found.beyond > 5


def test_at_or_below_the_floor_there_is_no_equivalent_and_the_interval_is_open():
    curve = fit_scaling(simulated())
    at_floor = Runs(np.full(3, 80e9), curve.fit.floor.value + np.array([-SPREAD, 0, SPREAD]))
    found = curve.equivalent(at_floor)
    assert (found.equivalent, found.ratio, found.beyond, found.high, found.ratio_high) == (None,) * 5
    assert found.low > 1e11
    assert 0.3 < found.unreached < 0.7, "the floor is as likely above as below its estimate"
    hopeless = curve.equivalent(Runs(np.full(3, 80e9), np.array([0.50, 0.51, 0.52])))
    assert (hopeless.equivalent, hopeless.low, hopeless.high, hopeless.unreached) == (None, None, None, 1.0)


def test_near_the_floor_the_interval_is_open_although_there_is_an_estimate():
    curve = fit_scaling(simulated(sizes=(1e8, 3e8, 1e9, 3e9)))
    found = curve.equivalent(Runs(np.full(3, 80e9), curve.fit.floor.value + 0.01 + np.array([-SPREAD, 0, SPREAD])))
    assert found.equivalent is not None
    assert found.high is None
    assert 0.025 < found.unreached < 0.5


def test_where_larger_is_not_better_nothing_can_be_read_off():
    curve = fit_scaling([Runs(np.full(3, c), np.array([1.9, 2.0, 2.1]) + 0.1 * nth) for nth, c in enumerate(SIZES)])
    assert curve.fit.coefficient.value == 0
    for errors in ([1.0, 1.1, 1.2], [3.0, 3.1, 3.2]):  # better than any size, and worse than all
        found = curve.equivalent(Runs(np.full(3, 1e9), np.array(errors)))
        assert (found.equivalent, found.ratio, found.beyond) == (None, None, None)


def test_the_noise_of_the_judged_runs_is_in_their_interval():
    curve = fit_scaling(simulated(sizes=(1e10, 3e10, 1e11, 3e11)))
    quiet = curve.equivalent(Runs(np.full(3, 80e9), truth(130e9) + np.array([-1, 0, 1]) * 1e-5))
    noisy = curve.equivalent(Runs(np.full(3, 80e9), truth(130e9) + np.array([-1, 0, 1]) * 1e-2))
    assert noisy.equivalent == pytest.approx(quiet.equivalent)
    assert noisy.high / noisy.low > 1.5 * quiet.high / quiet.low


def test_the_targets_draws_do_not_follow_the_curves_although_both_have_the_same_seed(monkeypatch):
    states, resampled = [], scaling._resampled

    def watched(groups, rng):
        states.append(rng.bit_generator.state["state"])
        return resampled(groups, rng)

    monkeypatch.setattr(scaling, "_resampled", watched)
    fit_scaling(simulated(), rng=0).equivalent(runs(80e9, like=130e9), rng=0)
    assert len(states) == 2
    assert states[0] != states[1]


def test_fewer_than_three_judged_runs_have_no_interval():
    found = fit_scaling(simulated()).equivalent(runs(80e9, 2, like=130e9))
    assert found.equivalent is not None
    assert {found.low, found.high, found.ratio_low, found.ratio_high, found.unreached} == {None}


def test_too_few_runs_of_one_size_give_a_curve_without_intervals():
    """Three runs beyond the first of their size; a size may have one run if others have more."""
    lonely = [runs(1e9, 2), runs(3e9, 2), runs(1e10, 2), runs(3e10, 1)]
    fit = fit_scaling(lonely).fit
    assert fit.draws == 0
    assert {fit.floor.low, fit.coefficient.low, fit.exponent.high} == {None}
    assert fit_scaling(lonely).error_at(1e10).low is None
    assert fit_scaling(lonely).equivalent(runs(80e9)).low is None
    assert fit_scaling([*simulated()[:3], runs(3e10, 1)]).fit.draws == DRAWS


def test_lack_of_fit_is_the_f_test_of_the_means_against_the_spread():
    """By its definition (Draper and Smith 1998, section 2.1), around the curve that SciPy fits to all runs."""
    sizes = simulated(2, n=4)
    costs, errors = np.concatenate([s.costs for s in sizes]), np.concatenate([s.errors for s in sizes])
    best, _ = curve_fit(lambda c, e, a, alpha: e + a * (c / 1e9) ** -alpha, costs, errors, (1.7, 0.3, 0.3), xtol=1e-14)
    whole = float(np.sum((errors - best[0] - best[1] * (costs / 1e9) ** -best[2]) ** 2))
    pure = sum(float(np.sum((s.errors - s.errors.mean()) ** 2)) for s in sizes)
    fit = fit_scaling(sizes).fit
    f = (whole - pure) / (4 - 3) / (pure / (16 - 4))
    assert fit.lack_of_fit_f == pytest.approx(f, rel=1e-5)
    assert fit.lack_of_fit_p == pytest.approx(stats.f.sf(f, 1, 12), rel=1e-5)
    assert fit.run_std == pytest.approx(math.sqrt(pure / 12))


def test_lack_of_fit_sees_sizes_that_follow_no_power_law():
    bent = simulated()
    bent[1] = Runs(bent[1].costs, bent[1].errors + 0.05)
    assert fit_scaling(bent).fit.lack_of_fit_p < 0.01
    assert fit_scaling(simulated()).fit.lack_of_fit_p > 0.05


def test_without_spread_there_is_no_test_and_the_intervals_have_no_width():
    fit = fit_scaling([runs(size) for size in SIZES]).fit
    assert (fit.run_std, fit.lack_of_fit_f, fit.lack_of_fit_p) == (0, None, None)
    assert fit.exponent.low == fit.exponent.high == pytest.approx(0.34, rel=1e-6)


def test_the_same_runs_give_the_same_numbers_whatever_their_order():
    sizes = simulated()
    shuffled = [Runs(size.costs[::-1], size.errors[::-1]) for size in sizes[::-1]]
    assert fit_scaling(sizes).fit == fit_scaling(shuffled).fit == fit_scaling(sizes, rng=0).fit
    target = runs(80e9, 3, np.random.default_rng(1), like=130e9)
    turned = Runs(target.costs, target.errors[::-1])
    assert fit_scaling(sizes).equivalent(target) == fit_scaling(shuffled).equivalent(turned)


def test_the_bootstrap_follows_its_generator_alone():
    sizes = simulated()
    fits = [fit_scaling(sizes, rng=rng).fit for rng in (1, np.random.default_rng(1), 2)]
    assert fits[0] == fits[1]
    assert fits[0] != fits[2]
    assert fits[2].exponent.low == pytest.approx(fits[0].exponent.low, rel=0.05), "by chance alone"


def test_a_wider_confidence_gives_a_wider_interval():
    narrow, wide = (fit_scaling(simulated(), confidence=c).fit.exponent for c in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_costs_that_differ_between_runs_of_a_size_add_to_the_interval():
    """As wall-clock time does."""
    jitter = np.array([0.7, 1.0, 1.4])
    sizes = simulated()
    spread = [Runs(size.costs * jitter, size.errors) for size in sizes]
    assert fit_scaling(spread).fit.smallest == pytest.approx(1e9 * math.prod(jitter) ** (1 / 3))
    same, varied = (fit_scaling(group).error_at(1e10) for group in (sizes, spread))
    assert varied.high - varied.low > 2 * (same.high - same.low)


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_fewer_than_four_sizes_are_refused(kept):
    with pytest.raises(StatisticsError) as error:
        fit_scaling(simulated()[:kept])
    got = {0: "0", 1: "1 (1e+09)", 3: "3 (1e+09, 3e+09, 1e+10)"}[kept]
    assert str(error.value) == (
        f"a scaling curve needs at least 4 sizes; got {got}. Train host-only models of more sizes: three numbers are fitted, "
        "and a fourth size can contradict them."
    )


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (
            Runs(np.array([0.0]), np.array([1.0])),
            f"costs of size 1 must be positive, and at most {FARTHEST:g}; got 0.0. Leave out runs that have none.",
        ),
        (
            Runs(np.array([1.0]), np.array([-0.1])),
            "errors of size 1 must be finite and at least 0; got -0.1. Leave out runs that have none.",
        ),
        (
            Runs(np.array([1.0]), np.array([math.nan])),
            "errors of size 1 must be finite and at least 0; got nan. Leave out runs that have none.",
        ),
        (
            Runs(np.array([1.0, 2.0]), np.array([1.0])),
            (
                "size 1 needs a cost and an error for each run; got shapes (2,) and (1,). Pass two one-dimensional arrays of the "
                "same length, at least 1."
            ),
        ),
        (runs(3e9), "two sizes have the same mean cost. Pass their runs as one size."),
    ],
)
def test_what_is_no_measurement_is_refused(first, message):
    with pytest.raises(StatisticsError) as error:
        fit_scaling([first, *simulated()[1:]])
    assert str(error.value) == message


def test_a_target_without_runs_is_refused():
    with pytest.raises(StatisticsError) as error:
        fit_scaling(simulated()).equivalent(Runs(np.array([]), np.array([])))
    assert str(error.value).startswith("the target needs a cost and an error for each run; got shapes (0,) and (0,).")


ACCURACIES = {1_000: 50.0, 10_000: 62.0, 100_000: 70.0, 1_000_000: 75.5}


def test_equivalent_parameters_of_one_accuracy_are_those_of_the_curve_through_the_means():
    curve = fit_scaling([Runs(np.array([float(n)]), np.array([100 - a])) for n, a in ACCURACIES.items()])
    found = equivalent_params(ACCURACIES, 66.0)
    assert curve.error_at(found).value == pytest.approx(34.0)
    assert 10_000 < found < 100_000
    assert found == curve.equivalent(Runs(np.array([1.0]), np.array([34.0]))).equivalent


@pytest.mark.parametrize("accuracy", [0.0, 40.0, 77.0, 100.0])
def test_outside_the_measured_sizes_no_parameters_are_claimed(accuracy):
    assert equivalent_params(ACCURACIES, accuracy) is None


def test_fewer_than_four_sizes_claim_nothing():
    for kept in range(4):
        assert equivalent_params(dict(list(ACCURACIES.items())[:kept]), 60.0) is None


@pytest.mark.parametrize(
    ("sizes", "accuracy", "message"),
    [
        ({0: 10.0, 10: 20.0}, 15.0, "a model's size must be at least 1 parameter; got 0. Count its parameters."),
        (
            {1: math.nan, 10: 20.0},
            15.0,
            "accuracies must lie between 0 and 100; got nan. Leave out the sizes that were not measured.",
        ),
        (
            {1: 10.0, 10: 20.0},
            101.0,
            "accuracies must lie between 0 and 100; got 101.0. Leave out the sizes that were not measured.",
        ),
    ],
)
def test_what_is_no_accuracy_is_refused(sizes, accuracy, message):
    with pytest.raises(StatisticsError) as error:
        equivalent_params(sizes, accuracy)
    assert str(error.value) == message


measured = st.dictionaries(st.integers(1, 10**9), st.floats(0, 100), min_size=4, max_size=8)


@few
@given(measured)
def test_more_accuracy_never_takes_fewer_parameters(sizes):
    found = [equivalent_params(sizes, accuracy) for accuracy in np.linspace(0, 100, 11)]
    inside = [params for params in found if params is not None]
    assert inside == sorted(inside)
    assert all(min(sizes) <= params <= max(sizes) for params in inside)


@few
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.99))
def test_a_model_on_the_curve_is_equivalent_to_itself(seed, share):
    """Whatever the noise: the ratio is 1 where the judged error is that of the curve at the judged cost."""
    curve = fit_scaling(simulated(seed))
    cost = 1e9 * 30**share
    assume(curve.fit.coefficient.value > 0)
    found = curve.equivalent(Runs(np.full(1, cost), np.full(1, curve.error_at(cost).value)))
    assert found.ratio == pytest.approx(1, rel=1e-6)
