"""Policy against heuristic across runs: a run counts once, however many decisions it holds."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
from json_schema import unlike
from report_runs import Made, experiment
from scipy import stats

from karn_wandb.experiment import report as report_room
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.report import build_report
from karn_wandb.records import FactoredAction

WAIT = FactoredAction("WAIT")
EARLY, LATE = FactoredAction("GERMINATE", "early"), FactoredAction("GERMINATE", "late")


def mixed(alike, other, pair=(EARLY, WAIT)):
    return [(WAIT, WAIT)] * alike + [pair] * other


def of(*decisions, controller="policy"):
    made = [Made(f"{controller}-{seed}", controller, seed, (60.0 + seed,), decisions=each) for seed, each in enumerate(decisions)]
    return [*made, *(Made(f"none-{seed}", "none", seed, (59.0 + seed**2,)) for seed in range(len(decisions)))]


def test_the_rate_is_the_mean_over_runs_with_the_t_interval_between_them():
    """Against scipy.stats.ttest_1samp; the long run does not outweigh the others."""
    (found,) = build_report(experiment(of(mixed(9, 1), mixed(7, 3), mixed(400, 600)))).content.policy
    whole = found.heads[0]
    low, high = stats.ttest_1samp([0.9, 0.7, 0.4], 0).confidence_interval(0.95)
    assert (found.arm, found.runs, found.decisions, whole.head, whole.runs) == ("policy", 3, 1020, "action", 3)
    assert whole.rate == pytest.approx(2 / 3, rel=1e-12)
    assert low > 0
    assert high > 1
    assert (whole.ci_low, whole.ci_high) == (pytest.approx(low, rel=1e-9), 1.0)  # no fraction exceeds 1


@pytest.mark.parametrize(
    ("decisions", "why"),
    [
        ((mixed(1, 1), mixed(3, 1)), "with fewer than three runs there is no interval"),
        ((mixed(1, 1),) * 3, "all runs alike, so no interval"),
    ],
)
def test_where_there_is_no_interval_it_is_said_why(decisions, why):
    report = build_report(experiment(of(*decisions)))
    assert report.content.policy[0].heads[0].ci_low is None
    assert why in report.to_markdown()


def test_the_section_says_where_they_differ_and_how_often():
    report = build_report(experiment(of(mixed(8, 2), mixed(6, 4), mixed(9, 1, (LATE, EARLY)))))
    text = report.to_markdown().replace("\\", "")
    assert "## Policy against heuristic" in text
    assert (
        "did what the heuristic would have done in 76.7 % of a run's decisions (95 % t interval over runs 38.7 to 100.0 %" in text
    )
    assert "30 decisions of 3 runs" in text
    assert "GERMINATE instead of WAIT in 20.0 % of all decisions (2 of 3 runs)" in text
    assert "| policy | slot | 0.0 % | – | 1 | 1 |" in text
    assert "| GERMINATE | 6 | 1 |" in text
    assert "Agreement of the policy with the shadow heuristic" in " ".join(report.content.methods)


def test_it_is_silent_where_no_decision_carries_the_heuristics_action():
    report = build_report(experiment(of([(WAIT, None)], [], [])))
    assert report.content.policy == ()
    assert "heuristic would" not in report.to_markdown()


def test_arms_are_apart_and_only_chosen_episodes_count():
    made = [*of(mixed(3, 1)), *of(mixed(1, 3), controller="other")]
    runs = experiment(made).runs
    assert [(arm.arm, arm.decisions) for arm in build_report(Experiment(runs)).content.policy] == [("other", 4), ("policy", 4)]
    chosen = Experiment(runs, filters={"controller": "policy"})
    assert [arm.decisions for arm in build_report(chosen).content.policy] == [4]


def test_many_ops_leave_a_table_that_fits():
    made = of(*([(FactoredAction(f"OP{n:02}"), WAIT) for n in range(20)] for _ in range(3)))
    text = build_report(experiment(made)).to_markdown()
    header = next(line for line in text.splitlines() if line.startswith("| policy | ") and "others" in line)
    assert header.count("|") == 1 + 1 + 8 + 1
    assert "| others | 39 |" in text


def test_json_is_as_the_schema_says():
    schema = json.loads(files(report_room).joinpath("schema.json").read_text(encoding="utf-8"))
    plain = json.loads(build_report(experiment(of(mixed(8, 2), mixed(6, 4), mixed(9, 1)))).to_json())
    assert list(unlike(schema, plain, schema)) == []
    assert [head["head"] for head in plain["policy"][0]["heads"]] == ["action", "op"]
