"""What is usual and what is not: limits from a value's own past, one anomaly at a time, nothing learned from it."""

import math
import random
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karn_wandb.analysis.baselines import BATCHES, EPOCHS, Alive, Baseline, Baselines, Falls, Interruptions

SOME = BATCHES.warm_up


def excesses(baseline, values):
    return [position for position, value in enumerate(values) if baseline.observe(value)]


def warm(factor=2.0, level=1.0, **options):
    baseline = Baseline(factor, BATCHES, **options)
    assert excesses(baseline, [level] * SOME) == []
    return baseline


def noisy(seed, cv, size=BATCHES.window):
    """A lognormal sample of mean 1."""
    variance = math.log(1 + cv**2)
    draws = random.Random(seed)
    return [draws.lognormvariate(-variance / 2, math.sqrt(variance)) for _ in range(size)]


@pytest.mark.parametrize("factor", [1.5, 2.0, 100.0])
def test_the_limit_is_factor_times_the_typical_value(factor):
    assert warm(factor).observe(factor) is None
    excess = warm(factor).observe(factor * 1.001)
    assert (excess.value, excess.typical, excess.limit) == (factor * 1.001, 1.0, factor)


def test_nothing_is_unusual_before_the_warm_up_is_over():
    baseline = Baseline(2.0, BATCHES)
    assert excesses(baseline, [1.0] * (SOME - 1) + [50.0]) == []


def test_typical_is_the_center_that_was_asked_for():
    values = [1.0] * 15 + [2.0] * 5
    average, middle = Baseline(2.0, BATCHES), Baseline(2.0, BATCHES, median)
    excesses(average, values)
    excesses(middle, values)
    assert (average.typical, middle.typical) == (1.25, 1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0])
def test_what_is_not_finite_or_exactly_zero_changes_nothing(value):
    baseline = warm()
    assert excesses(baseline, [value] * 200) == []
    assert (baseline.typical, baseline.limit, baseline.open) == (1.0, 2.0, False)
    assert excesses(baseline, [2.1]) == [0]


def test_a_value_that_noise_explains_is_no_anomaly_and_a_second_in_a_row_is():
    baseline = Baseline(2.0, BATCHES)
    excesses(baseline, noisy(0, 0.3))
    lone = (baseline.limit + baseline._at_once) / 2
    assert lone > 2.5
    assert excesses(baseline, [lone, 1.0, lone, 1.0]) == []
    assert excesses(baseline, [lone, lone]) == [1]


def test_far_beyond_noise_one_value_is_enough():
    baseline = Baseline(2.0, BATCHES)
    excesses(baseline, noisy(0, 0.3))
    assert excesses(baseline, [8.0]) == [0]


def test_twice_nearly_nothing_is_nothing():
    baseline = warm(level=2.3)
    excesses(baseline, [1e-6] * 2 * BATCHES.window)
    assert excesses(baseline, [1e-5, 1e-3, 0.02]) == []
    assert excesses(baseline, [0.03]) == [0]


def test_negative_values_have_limits_too():
    baseline = Baseline(2.0, BATCHES)
    draws = random.Random(0)
    assert excesses(baseline, [draws.gauss(-5, 0.1) for _ in range(200)]) == []
    assert excesses(baseline, [-4.0, -0.5]) == []
    assert excesses(baseline, [0.5]) == [0]


@pytest.mark.parametrize(("cv", "size"), [(0.1, 1), (0.2, 3), (0.3, 3)])
def test_a_spike_to_three_times_the_average_is_seen_in_noise(cv, size):
    draws = random.Random(1)
    values = [max(0.01, draws.gauss(1, cv)) for _ in range(300)]
    assert len(excesses(Baseline(2.0, BATCHES), [*values, *[3.0] * size, *values])) == 1


def test_one_anomaly_is_told_once_and_leaves_the_baseline_as_it_was():
    baseline = warm()
    assert excesses(baseline, [5.0] * 30) == [0]
    assert baseline.typical == 1.0
    assert excesses(baseline, [1.0] * BATCHES.calm + [5.0]) == [BATCHES.calm]


def test_an_anomaly_is_over_only_below_half_way():
    baseline = warm()
    assert excesses(baseline, [5.0]) == [0]
    assert excesses(baseline, [1.6] * 10 + [5.0]) == []
    assert excesses(baseline, [1.4] * BATCHES.calm + [5.0]) == [BATCHES.calm]


def test_an_anomaly_is_over_only_after_some_values_in_a_row():
    baseline = warm()
    assert excesses(baseline, [5.0] + ([1.0] * (BATCHES.calm - 1) + [5.0]) * 5) == [0]


def test_what_lasts_is_the_new_normal():
    baseline = warm()
    assert excesses(baseline, [5.0] * BATCHES.lasting) == [0]
    assert (baseline.typical, baseline.open) == (5.0, False)
    assert (baseline.limit, excesses(baseline, [10.1])) == (10.0, [0])


def test_memory_is_bounded():
    baseline = warm()
    excesses(baseline, [1.0 + (position % 300 > 200) * 9 for position in range(5000)])
    assert len(baseline._usual) <= BATCHES.window
    assert len(baseline._held) < BATCHES.lasting


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(), max_size=200), st.sampled_from([BATCHES, EPOCHS]), st.floats(0, 1e3))
def test_any_floats_are_taken(values, pace, factor):
    baseline = Baseline(factor, pace)
    excesses(baseline, [*values, *[1e308] * 30, *[5e-324] * 30, *[-1e308] * 30])
    assert not math.isnan(baseline.limit)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.3, 1.0]), st.floats(1e-3, 1e3))
def test_noise_is_no_anomaly_whatever_its_scale(seed, cv, scale):
    assert excesses(Baseline(2.0, BATCHES), [scale * value for value in noisy(seed, cv, 1000)]) == []


def test_values_that_belong_together_have_one_anomaly():
    together = Baselines(2.0, BATCHES)
    for _ in range(SOME):
        assert together.observe({"a": 1.0, "b": 10.0}) == {}
    assert together.observe({"a": 5.0, "b": 50.0}).keys() == {"a", "b"}
    assert together.observe({"a": 1.0, "b": 50.0}) == {}
    for _ in range(BATCHES.calm):
        together.observe({"a": 1.0, "b": 50.0})
    assert together.observe({"a": 5.0, "b": 50.0}) == {}


def test_a_name_that_is_forgotten_starts_over():
    together = Baselines(2.0, BATCHES)
    for _ in range(SOME):
        together.observe({"a": 1.0})
    together.forget("a")
    together.forget("never seen")
    assert together.observe({"a": 5.0}) == {}


def test_a_fall_starts_with_a_step_above_the_threshold():
    falls = Falls(5.0)
    assert [falls.observe(value) for value in (60.0, 55.0, 60.0, 54.9)] == [None, None, None, 60.0]


def test_a_long_fall_is_one_fall():
    falls = Falls(5.0)
    assert [falls.observe(value) for value in (90.0, 80.0, 70.0, 67.0, 57.0, 56.0, 46.0)] == [
        None,
        90.0,
        None,
        None,
        None,
        None,
        56.0,
    ]


def test_interruptions_begin_and_end_after_as_many_observations_as_asked():
    interruptions = Interruptions(a=(2, 3))
    told = [
        interruptions.observe(a=bad)
        for bad in (True, False, True, True, True, False, False, True, False, False, False, True, True)
    ]
    assert [position for position, begins in enumerate(told) if begins] == [3, 12]


def test_a_second_source_is_the_same_interruption():
    interruptions = Interruptions(a=(1, 1), b=(1, 1))
    assert interruptions.quiet
    assert interruptions.observe(a=True)
    assert not interruptions.observe(a=False, b=True)
    assert not interruptions.quiet
    assert not interruptions.observe(b=False)
    assert interruptions.quiet
    assert interruptions.observe(b=True)


def test_dead_is_what_was_alive_and_has_no_sign_of_life_for_long_enough():
    alive = Alive(20)
    assert alive.observe({"a": True, "never": False}, 50) == {}
    assert alive.observe({"a": False, "never": False}, 15) == {}
    assert alive.observe({"a": False, "never": False}, 15) == {"a": 30.0}
    assert alive.observe({"a": False, "never": False}, 15) == {}
    assert alive.observe({"a": True}, 15) == {}
    assert alive.observe({"a": False}, 20) == {"a": 20.0}


def test_what_is_not_looked_at_or_forgotten_was_never_alive():
    alive = Alive(20)
    alive.observe({"a": True, "b": True, "c": True}, 20)
    alive.observe({"b": True, "c": True}, 20)
    alive.forget(lambda name: name == "b")
    assert alive.observe({"a": False, "b": False, "c": False}, 20) == {"c": 20.0}
