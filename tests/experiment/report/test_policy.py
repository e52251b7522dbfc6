"""Policy against heuristic across runs: a run counts once, however many decisions it holds."""

from __future__ import annotations

import json
from html import unescape
from importlib.resources import files

import pytest
from json_schema import unlike
from report_runs import Made, experiment
from scipy import stats

from karn_wandb.experiment import report as report_room
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.report import build_report
from karn_wandb.experiment.report.arms import arms_of
from karn_wandb.experiment.report.blocks import Document
from karn_wandb.experiment.report.html import to_html
from karn_wandb.experiment.report.markdown import to_markdown
from karn_wandb.experiment.report.policy import Regret, agreements
from karn_wandb.experiment.report.policy_section import sections
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


def compared(*decisions):
    """What the section is made from, and the section in both forms."""
    runs = experiment(of(*decisions))
    found = agreements(runs, arms_of(runs.episodes, None))
    page = Document("", sections(found))
    return found, to_markdown(page).replace("\\", ""), unescape(to_html(page))


def measured(*regrets, pair=(EARLY, WAIT)):
    return [(*pair, regret) if regret is not None else pair for regret in regrets]


def test_regret_is_the_mean_over_runs_of_what_each_measured_with_the_t_interval_between_them():
    """Means 2, -1 and 2: 1 on average, standard error 1; of the op alone 2, -1 and 0.5: 0.5, standard error sqrt(0.75).

    4.302653 is the t table's 97.5 % point at 2 degrees of freedom. A run that measured more does not count for more.
    """
    decided = (
        [*mixed(1, 0), *measured(1.0, 3.0)],
        measured(None, -1.0, None),
        [*mixed(1, 0), *measured(0.5), *measured(3.5, pair=(LATE, EARLY))],
    )
    (found,), *forms = compared(*decided)
    assert (found.disagreements, found.regret.runs, found.regret.decisions, found.regret.mean) == (7, 3, 5, 1.0)
    assert (found.regret.ci_low, found.regret.ci_high) == pytest.approx((1 - 4.302653, 1 + 4.302653), abs=1e-6)
    by_ops = {(pair.policy, pair.heuristic): pair.regret for pair in found.ops}
    grown, half = by_ops["GERMINATE", "WAIT"], 4.302653 * 0.75**0.5
    assert (grown.runs, grown.decisions, grown.mean) == (3, 4, 0.5)
    assert (grown.ci_low, grown.ci_high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)
    assert by_ops["GERMINATE", "GERMINATE"] == Regret(runs=1, decisions=1, mean=3.5, ci_low=None, ci_high=None)
    assert by_ops["WAIT", "WAIT"] is None
    for text in forms:
        assert (
            "The heuristic's action in place of the policy's, the policy before and after, would have brought +1.00 reward on "
            "average (95 % t interval over runs −3.30 to 5.30; measured at 5 of 7 disagreements, in 3 of 3 runs). "
            "The interval contains zero: which action was better is not shown." in text
        )
        assert (
            "GERMINATE instead of WAIT in 66.7 % of all decisions (3 of 3 runs; regret +0.50, 95 % interval −3.23 to 4.23, at 4 "
            "decisions of 3 runs)" in text
        )


@pytest.mark.parametrize(
    ("decisions", "said"),
    [
        (
            [measured(-2.0)] * 2,
            "brought −2.00 reward on average (with fewer than three runs there is no interval; measured at 2 of 2",
        ),
        ([measured(-2.0)] * 3, "brought −2.00 reward on average (all runs alike, so no interval; measured at 3 of 3"),
        (
            [measured(-2.0), measured(-2.2), measured(-1.8, None), measured(None)],
            "brought −2.00 reward on average (95 % t interval over runs −2.50 to −1.50; measured at 3 of 5 disagreements",
        ),
    ],
)
def test_regret_is_said_with_its_interval_or_why_there_is_none(decisions, said):
    """-2, -2.2 and -1.8: standard error 0.2 / sqrt(3), times 4.302653 is 0.497."""
    _, text, _ = compared(*decisions)
    assert said in text
    assert "The interval contains zero" not in text


def test_regret_is_not_spoken_of_where_it_was_not_measured():
    (found,), text, _ = compared(mixed(1, 1), mixed(1, 1), [(WAIT, WAIT, 5.0)])
    assert found.regret is None
    assert "egret" not in text


def test_regrets_are_in_the_input_and_the_methods_where_they_were_measured():
    without, one = (build_report(experiment(of(measured(regret)))).content for regret in (None, 0.5))
    assert without.input_hash != one.input_hash
    assert [("common random numbers (Glasserman 1992)" in " ".join(of.methods)) for of in (without, one)] == [False, True]
    assert [any(text.startswith("Glasserman, Yao") for text in of.citations) for of in (without, one)] == [False, True]


def test_regrets_of_any_size_make_a_report():
    """Also where squares underflow, and where a run's sum is beyond all floats, which says nothing."""
    small, huge = [measured(1e-200), measured(-1e-200), measured(0.0)], [measured(1e308, 1e308)] * 3
    assert [compared(*regrets)[0][0].regret for regrets in (small, huge)] == [Regret(3, 3, 0.0, 0.0, 0.0), None]


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
    plain = json.loads(build_report(experiment(of(mixed(8, 2), measured(0.5, None), mixed(9, 1)))).to_json())
    assert list(unlike(schema, plain, schema)) == []
    assert [head["head"] for head in plain["policy"][0]["heads"]] == ["action", "op"]
    assert plain["policy"][0]["regret"] == {"runs": 1, "decisions": 1, "mean": 0.5, "ci_low": None, "ci_high": None}
    assert [pair["regret"] is not None for pair in plain["policy"][0]["ops"]] == [False, True]
