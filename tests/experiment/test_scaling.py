"""Host-only runs of several sizes, and what grown runs are equivalent to: which runs count, and against which cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from report_runs import SEED_PARAMS, Made, experiment, of_sizes

from karn_wandb.errors import SourceError, StatisticsError
from karn_wandb.experiment.scaling import FARTHEST_DRAWN, scaling_curve
from karn_wandb.records import ExcludedRun, Scaling
from karn_wandb.statistics.scaling import Runs, fit_scaling

SIZES = (6_300, 25_000, 100_000, 400_000)
OFF = (-0.5, 0.1, 0.4)


def accuracy(params: float) -> float:
    return 100 - (12 + 2600 * params**-0.42)


def made(grown: float = 290_000, host: int = 100_000) -> list[Made]:
    sizes = {params: [accuracy(params) + off for off in OFF] for params in SIZES}
    return of_sizes(sizes, [accuracy(grown) + off for off in OFF], host)


def of(runs: list[Made], **options) -> Scaling:
    return scaling_curve(experiment(runs), **options)


def test_the_curve_is_that_of_the_host_only_runs_grouped_by_their_parameters():
    found = of(made())
    curve = fit_scaling([Runs(np.full(3, float(n)), 100 - (accuracy(n) + np.array(OFF))) for n in SIZES])
    assert (found.metric, found.cost, found.fit) == ("final_accuracy", "total_params", curve.fit)
    assert [run.run_id for run in found.hosts[:4]] == ["host-6300-0", "host-6300-1", "host-6300-2", "host-25000-0"]
    assert found.hosts[0].value == accuracy(6_300) + OFF[0]
    assert found.warnings == ()


def test_grown_runs_are_equivalent_to_the_size_that_is_as_good():
    (target,) = of(made()).targets
    assert target.name == "heuristic"
    assert target.value == pytest.approx(accuracy(290_000))
    assert target.found.cost == 100_000 + SEED_PARAMS
    assert target.found.equivalent == pytest.approx(290_000, rel=0.05)
    assert target.found.low < 290_000 < target.found.high
    assert target.found.ratio == pytest.approx(290 / 130, rel=0.05)
    assert target.warnings == ()
    assert [run.run_id for run in target.runs] == ["grown-0", "grown-1", "grown-2"]


def test_it_is_against_any_cost_that_the_runs_know():
    """Wall-clock time differs between runs of one size; FLOPs stand in the config."""
    flops = [replace(run, config={"flops": 6.0 * run.host_params}) for run in made()]
    by_flops, by_time = of(flops, cost="config.flops"), of(made(), cost="wall_clock_s")
    assert by_flops.fit.largest == 2.4e6
    assert by_flops.targets[0].found.cost == 6e5
    assert by_time.fit.smallest == pytest.approx((6.3 * 7.3 * 8.3) ** (1 / 3))
    assert by_time.targets[0].found.cost == pytest.approx(200)


def test_a_loss_is_an_error_itself():
    runs = [replace(run, loss=2 - run.finals[0] / 100) for run in made()]
    found = of(runs, metric="final_loss")
    assert found.hosts[0].value == runs[0].loss
    assert found.targets[0].found.equivalent == pytest.approx(290_000, rel=0.05)


def test_runs_that_did_not_finish_or_lack_the_value_are_left_out_with_the_reason():
    lost = [
        Made("lost", "none", 9, state="crashed", reason="killed"),
        Made("silent", "heuristic", 9, (None,), shapley={"early": 1.0}),
    ]
    found = of([*made(), *lost])
    assert found.excluded == (
        ExcludedRun("lost", "", "crashed", "crashed: killed"),
        ExcludedRun("silent", "", "finished", "final_accuracy is missing or NaN"),
    )
    assert found.fit == of(made()).fit


def test_a_run_without_a_positive_cost_is_left_out():
    found = of([*made(), Made("timeless", "none", 9, (60.0,))], cost="wall_clock_s")
    assert found.excluded == (ExcludedRun("timeless", "", "finished", "wall_clock_s is not above 0"),)


def test_a_grown_run_in_which_nothing_ever_germinated_is_still_of_its_arm():
    """Else the arm would lose its worst runs to the baseline."""
    found = of([*made(), Made("nothing-grew", "heuristic", 9, (50.0,), host_params=100_000)])
    assert "nothing-grew" in [run.run_id for target in found.targets for run in target.runs]
    assert found.fit == of(made()).fit


def test_a_host_only_arm_that_held_seed_modules_is_no_host_only_run():
    found = of([*made(), Made("mislabelled", "none", 9, (90.0,), shapley={"early": 1.0}, host_params=25_000)])
    assert found.fit == of(made()).fit


def test_without_arms_the_runs_that_never_grew_are_the_host_and_the_others_grown():
    found = of([replace(run, controller=None) for run in made()])
    assert found.fit == of(made()).fit
    assert [target.name for target in found.targets] == ["grown"]


def test_host_only_runs_and_arms_can_be_named():
    runs = [replace(run, controller="anything", config={"kind": run.controller}) for run in made()]
    found = of(runs, host_only={"kind": "none"}, arms={"grown-0": "ours", "grown-1": "ours", "grown-2": "theirs"})
    assert found.fit == of(made()).fit
    assert [(target.name, target.found.runs) for target in found.targets] == [("ours", 2), ("theirs", 1)]
    with pytest.raises(SourceError):
        of(runs, host_only={"sort": "none"})


def test_grown_runs_on_hosts_of_several_sizes_are_judged_size_by_size():
    other = [replace(run, run_id=f"small-{run.run_id}", host_params=25_000) for run in made() if run.controller == "heuristic"]
    assert [target.name for target in of([*made(), *other]).targets] == [
        "heuristic on a host of 25,000",
        "heuristic on a host of 100,000",
    ]


def test_episodes_of_one_run_are_averaged():
    found = of([replace(run, finals=(run.finals[0] - 1, run.finals[0] + 1)) for run in made()])
    assert found.fit.runs == 12
    assert found.fit.floor.value == pytest.approx(of(made()).fit.floor.value)


@pytest.mark.parametrize(
    ("grown", "warning"),
    [
        (4e6, "it is extrapolated {:.3g} times beyond the largest host measured, where nothing checks the curve"),
        (4e3, "it is extrapolated {:.3g} times beyond the smallest host measured, where nothing checks the curve"),
        (395_000, "its interval reaches beyond the hosts measured"),
    ],
)
def test_what_is_extrapolated_is_said(grown, warning):
    (target,) = of(made(grown)).targets
    assert target.warnings == (warning.format(target.found.beyond),)
    assert (target.found.beyond > 1) == ("extrapolated" in warning)


def test_no_equivalent_is_given_where_the_curve_never_gets():
    grown = of_sizes({}, [97.0, 98.0, 99.0])
    (target,) = of([*made()[:12], *grown]).targets
    assert target.found.equivalent is None
    assert target.warnings[0] == "there is none, since the fitted curve reaches that accuracy at no size"


def test_an_open_interval_is_said_with_the_share_of_draws():
    noisy = of_sizes({n: [accuracy(n) + 6 * off for off in OFF] for n in SIZES}, [87.0 + 3 * off for off in OFF])
    (target,) = of(noisy).targets
    assert target.found.low is not None
    assert target.found.high is None
    assert target.warnings[-1] == (
        f"its interval is open above: in {100 * target.found.unreached:.3g} % of bootstrap draws no size of the host is as good"
    )


def test_few_runs_and_bad_fits_are_said():
    single = of([run for run in made() if run.seed == 0])
    assert single.warnings == (
        "too few runs share a size, so that nothing has an interval: train every size with several random seeds",
    )
    assert single.targets[0].warnings[0] == "no interval with fewer than 3 runs"
    bent = [replace(run, finals=(run.finals[0] - 15,)) if run.host_params == 25_000 else run for run in made()]
    assert of(bent).fit.lack_of_fit_p < 0.001
    assert of(bent).warnings[-1].startswith("the means of the sizes lie farther off the curve than the spread of runs explains")
    falling = of_sizes({n: [60.0 - nth + off for off in OFF] for nth, n in enumerate(SIZES)})
    assert of(falling).warnings[0] == "larger hosts are not better here: the curve is flat, and nothing can be read off it"
    step = of_sizes({n: [20.0 + off if nth == 0 else 60.0 + off for off in OFF] for nth, n in enumerate(SIZES)})
    assert of(step).warnings[0] == "the exponent of the curve lies at an end of the range that was searched, 4"


def test_the_curve_is_drawn_in_parts_that_meet_as_far_as_what_stands_beside_it():
    found = of(made(4e6))
    parts = {part: [point for point in found.curve if point.part == part] for part in ("below", "measured", "above")}
    assert parts["below"] == []
    assert (parts["measured"][0].cost, parts["measured"][-1].cost) == (found.fit.smallest, found.fit.largest)
    assert parts["above"][0].cost == found.fit.largest
    assert parts["above"][-1].cost == pytest.approx(found.targets[0].found.high)
    assert all(point.value.low <= point.value.value <= point.value.high for point in found.curve)
    far = of([*made()[:12], *of_sizes({}, [97.0, 98.0, 99.0])])
    assert far.curve[-1].cost <= far.fit.largest * FARTHEST_DRAWN


def test_an_accuracy_below_zero_is_never_drawn():
    """Below the sizes the power law has no end."""
    found = of(of_sizes({n: [accuracy(n) + 8 * off for off in OFF] for n in SIZES}, [2.0, 3.0, 4.0], 700))
    assert min(point.value.low for point in found.curve) == 0


def test_fewer_than_four_sizes_are_an_error():
    runs = [run for run in made() if run.host_params != 400_000]
    with pytest.raises(StatisticsError) as error:
        of(runs)
    assert str(error.value).startswith("a scaling curve needs at least 4 sizes; got 3 (6,300, 25,000, 100,000).")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "accuracy"}, "there is no metric 'accuracy'. Did you mean 'best_accuracy' or 'final_accuracy'?"),
        ({"cost": "total_parms"}, "there is no cost 'total_parms'. Did you mean 'total_params' or 'host_params'?"),
        ({"cost": "run_id"}, "the cost 'run_id' is not numeric. Name a column of numbers."),
    ],
)
def test_what_is_no_column_of_numbers_is_refused(options, message):
    with pytest.raises(StatisticsError) as error:
        of(made(), **options)
    assert str(error.value) == message
