"""Two arms become numbers: one per run, matched by seed, and every run left out is named with the reason."""

from __future__ import annotations

import math

import numpy as np
import pytest
from report_runs import Made, experiment, pairs
from scipy import stats

from karn_wandb.errors import SourceError, StatisticsError
from karn_wandb.experiment.aggregation import aggregate
from karn_wandb.records import ExcludedRun, Pair

GROWN, HOST = {"controller": "heuristic"}, {"controller": "none"}
TREATMENT, CONTROL = (64.9, 64.1, 66.0, 62.6), (61.2, 62.5, 60.8, 63.1)


def of(made, **options):
    return aggregate(experiment(made), treatment=GROWN, control=HOST, **options)


def test_runs_are_paired_by_seed_and_compared():
    found = of(pairs(TREATMENT, CONTROL))
    reference = stats.ttest_rel(TREATMENT, CONTROL)  # SciPy's paired t test
    assert found.pairs[0] == Pair("0", "grown-0", "host-0", 64.9, 61.2)
    assert [pair.key for pair in found.pairs] == ["0", "1", "2", "3"]
    assert found.run_ids == (*(f"grown-{i}" for i in range(4)), *(f"host-{i}" for i in range(4)))
    assert found.values == (*TREATMENT, *CONTROL)
    assert found.comparison.paired
    assert found.mean_delta == pytest.approx(np.mean(np.subtract(TREATMENT, CONTROL)), abs=1e-12)
    assert found.p_value == pytest.approx(reference.pvalue, abs=1e-12)
    assert (found.mean_delta, found.std_delta, found.p_value, found.cohens_d) == (
        found.comparison.mean_delta,
        found.comparison.std_delta,
        found.comparison.p_value,
        found.comparison.cohens_d,
    )
    assert (found.metric, found.treatment, found.control) == ("final_accuracy", "controller = heuristic", "controller = none")
    assert (found.excluded, found.unmatched, found.warnings) == ((), (), ())


def test_unpaired_arms_are_compared_by_welch():
    found = of(pairs(TREATMENT, CONTROL), pair_by=None)
    reference = stats.ttest_ind(TREATMENT, CONTROL, equal_var=False)
    assert found.p_value == pytest.approx(reference.pvalue, abs=1e-12)
    assert found.pairs == ()
    assert found.pair_by is None


def test_options_reach_the_comparison():
    found = of(pairs(TREATMENT, CONTROL), metric="final_loss", higher_is_better=False, margin=0.5, confidence=0.9)
    comparison = found.comparison
    assert (comparison.higher_is_better, comparison.margin, comparison.confidence) == (False, 0.5, 0.9)
    assert comparison.verdict == "equivalent"


def test_the_order_in_which_runs_are_found_changes_nothing():
    made = pairs(TREATMENT, CONTROL)
    assert of(made) == of(made[::-1])
    assert of(made, pair_by=None) == of(made[::-1], pair_by=None)


def test_runs_that_did_not_finish_or_lack_the_metric_are_listed_with_the_reason():
    made = pairs(TREATMENT, CONTROL)
    lost = [
        Made("crashed", "heuristic", 4, state="crashed", reason="killed"),
        Made("failed", "none", 4, state="failed"),
        Made("silent", "heuristic", 5, (None,)),
        Made("nan", "heuristic", 6, loss=math.nan),
        Made("infinite", "none", 7, loss=math.inf),
    ]
    by_accuracy = of(made + lost)
    assert by_accuracy.excluded == (
        ExcludedRun("crashed", "treatment", "crashed", "crashed: killed"),
        ExcludedRun("silent", "treatment", "finished", "final_accuracy is missing or NaN"),
        ExcludedRun("failed", "control", "failed", "failed"),
    )
    by_loss = of(made + lost, metric="final_loss")
    assert [(run.run_id, run.reason) for run in by_loss.excluded] == [
        ("crashed", "crashed: killed"),
        ("nan", "final_loss is missing or NaN"),
        ("silent", "final_loss is missing or NaN"),
        ("failed", "failed"),
        ("infinite", "final_loss is inf"),
    ]
    assert by_accuracy.comparison.n_treatment == 4


def test_runs_without_a_partner_are_listed_and_not_analysed():
    made = [*pairs(TREATMENT, CONTROL), Made("alone", "heuristic", 9), Made("seedless", "none", None)]
    found = of(made)
    assert found.unmatched == (
        ExcludedRun("seedless", "control", "finished", "it has no base_seed"),
        ExcludedRun("alone", "treatment", "finished", "no analysed run of the other arm has base_seed 9"),
    )
    assert "alone" not in found.run_ids
    assert found.comparison.n_treatment == 4


def test_a_partner_that_crashed_is_no_partner():
    made = [*pairs(TREATMENT, CONTROL), Made("grown-4", "heuristic", 4), Made("host-4", "none", 4, state="crashed")]
    found = of(made)
    assert [run.run_id for run in found.unmatched] == ["grown-4"]
    assert [run.run_id for run in found.excluded] == ["host-4"]


def test_episodes_of_a_run_are_averaged_because_the_run_is_the_unit():
    made = [*pairs(TREATMENT, CONTROL), Made("grown-4", "heuristic", 4, (60.0, 62.0)), Made("host-4", "none", 4, (61.0,))]
    found = of(made)
    assert found.pairs[-1].treatment == 61.0
    assert found.comparison.n_treatment == 5
    assert found.warnings == ("1 run holds several episodes: it counts once, by the mean of its episodes.",)


def test_the_sum_of_an_episode_s_rewards_is_a_metric():
    """(1.5 + 2.5) / 2 - 1 = 1 and 3 - (-0.5) = 3.5: 2.25 on average; a run that logged no reward is left out."""
    made = [
        Made("grown-0", "heuristic", 0, (60.0, 60.0), rewards=(1.5, 2.5)),
        Made("host-0", "none", 0, rewards=(1.0,)),
        Made("grown-1", "heuristic", 1, rewards=(3.0,)),
        Made("host-1", "none", 1, rewards=(-0.5,)),
        Made("grown-2", "heuristic", 2, ended=1),
    ]
    found = of(made, metric="reward_total")
    assert [(pair.treatment, pair.control) for pair in found.pairs] == [(2.0, 1.0), (3.0, -0.5)]
    assert found.mean_delta == 2.25
    assert found.excluded == (ExcludedRun("grown-2", "treatment", "finished", "reward_total is missing or NaN"),)


def test_a_run_with_an_episode_that_lacks_the_metric_is_left_out_whole():
    found = of([*pairs(TREATMENT, CONTROL), Made("grown-4", "heuristic", 4, (60.0, None))])
    assert found.excluded[0].reason == "final_accuracy is missing or NaN in 1 of 2 episodes"


def test_runs_of_one_seed_in_one_arm_are_averaged_so_that_none_is_chosen():
    made = [*pairs(TREATMENT, CONTROL), Made("again", "heuristic", 0, (70.0,))]
    found = of(made)
    assert found.pairs[0] == Pair("0", "again + grown-0", "host-0", (70.0 + 64.9) / 2, 61.2)
    assert found.comparison.n_treatment == 4
    assert found.warnings == (
        "the treatment arm has several runs of base_seed 0: each pair uses their mean, so that none is chosen.",
    )


def test_unpaired_runs_of_one_seed_are_pointed_out():
    found = of([*pairs(TREATMENT, CONTROL), Made("again", "none", 0)], pair_by=None)
    assert found.warnings == (
        (
            "the control arm has several runs of base_seed 0: runs of one seed are not independent, "
            "so the interval may be too narrow."
        ),
    )


def test_runs_can_be_paired_by_any_column():
    made = [
        Made(f"{arm}-{fold}", arm, seed, (60.0 + fold,), config={"fold": f"fold {fold}"})
        for seed, (arm, fold) in enumerate((arm, fold) for arm in ("heuristic", "none") for fold in (10, 9, 2))
    ]
    assert [pair.key for pair in of(made, pair_by="config.fold").pairs] == ["fold 10", "fold 2", "fold 9"]


def test_seeds_are_sorted_as_numbers():
    made = [Made(f"{arm}-{seed}", arm, seed) for arm in ("heuristic", "none") for seed in (10, 9, 2)]
    assert [pair.key for pair in of(made).pairs] == ["2", "9", "10"]


def test_when_nothing_is_left_the_aggregation_says_so_without_numbers():
    found = of([Made("a", "heuristic", state="crashed"), Made("b", "none", state="crashed")])
    assert found.comparison is None
    assert (found.mean_delta, found.p_value, found.run_ids) == (None, None, ())
    assert len(found.excluded) == 2


def test_below_three_pairs_there_are_numbers_but_no_inference():
    found = of(pairs(TREATMENT[:2], CONTROL[:2]))
    assert found.mean_delta == pytest.approx(2.65)
    assert found.p_value is None
    assert found.comparison.verdict == "inconclusive"


def test_the_hash_follows_the_values_and_the_options():
    made = pairs(TREATMENT, CONTROL)
    hashes = [
        of(made).input_hash,
        of(made, margin=1.0).input_hash,
        of(made, metric="final_loss").input_hash,
        of(pairs((65.0, *TREATMENT[1:]), CONTROL)).input_hash,
        of([*made, Made("lost", "none", 4, state="crashed")]).input_hash,
    ]
    assert len(set(hashes)) == 5
    assert of(made).input_hash == hashes[0]
    assert len(hashes[0]) == 64


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"metric": "final_acuracy"},
            StatisticsError,
            "there is no metric 'final_acuracy'. Did you mean 'final_accuracy' or 'best_accuracy'?",
        ),
        ({"metric": "zzz"}, StatisticsError, "there is no metric 'zzz'. Name a column of the experiment's episodes."),
        (
            {"metric": "config.controller"},
            StatisticsError,
            "the metric 'config.controller' is not numeric. Name a column of numbers.",
        ),
        ({"pair_by": "seed"}, StatisticsError, "there is no pair_by column 'seed'. Did you mean 'base_seed'?"),
        (
            {"treatment": {"controller": "policy"}},
            SourceError,
            "no run has controller = policy. The values of controller are heuristic, none.",
        ),
        (
            {"treatment": {"controler": "policy"}},
            SourceError,
            "no run has a 'controler' to filter by. Did you mean 'controller'?",
        ),
        (
            {"treatment": {"state": "finished"}},
            StatisticsError,
            "4 runs are in both arms; got host-0, host-1, host-2. Make the filters of the arms exclude each other.",
        ),
    ],
)
def test_bad_input_is_named(options, kind, message):
    chosen = {"treatment": GROWN, "control": HOST, **options}
    with pytest.raises(kind) as error:
        aggregate(experiment(pairs(TREATMENT, CONTROL)), **chosen)
    assert str(error.value) == message
