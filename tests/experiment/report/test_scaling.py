"""Scaling in the report: what is said, drawn and left unsaid."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import pytest
from json_schema import unlike
from report_runs import Made, experiment, of_sizes, pairs

from karn_wandb.experiment import report as report_room
from karn_wandb.experiment.report import build_report
from karn_wandb.experiment.report.blocks import Figure, Figures
from karn_wandb.experiment.report.document import document
from karn_wandb.experiment.report.scaling import amount, ends

SIZES = (6_300, 25_000, 100_000, 400_000)
OFF = (-0.5, 0.1, 0.4)
CLAIMS = """\
claims:
  - name: growing beats the host alone
    treatment: {controller: heuristic, host: 100000}
    control: {controller: none, host: 100000}
"""


def accuracy(params: float) -> float:
    return 100 - (12 + 2600 * params**-0.42)


def made(grown: float = 290_000) -> list[Made]:
    return of_sizes({n: [accuracy(n) + off for off in OFF] for n in SIZES}, [accuracy(grown) + off for off in OFF])


def timeless(runs: list[Made]) -> list[Made]:
    return [replace(run, seconds=0.0) for run in runs]


def drawn(report) -> dict[str, list[Figure]]:
    blocks = [block for section in document(report.content).sections for block in section.blocks]
    figures = [figure for block in blocks if isinstance(block, Figures) for figure in block.figures]
    return {name: [figure for figure in figures if figure.chart == name] for name in {figure.chart for figure in figures}}


@pytest.fixture(scope="module")
def full():
    return build_report(experiment(made()))


def test_equivalent_parameters_stand_with_interval_ratio_and_accuracy(full):
    parameters, time = full.content.scaling
    found = parameters.found.targets[0].found
    assert (round(found.error, 2), round(found.ratio, 2)) == (25.21, 2.23)
    assert parameters.sentences == (
        (
            f"heuristic (3 runs, 74.79 % with 130,000 parameters): the host alone would need 290,000 parameters (95 % interval "
            f"{ends(found.low, found.high)}) to be as good, 2.23 times as much ({ends(found.ratio_low, found.ratio_high)})."
        ),
        "The curve is that of 12 runs of the host alone, of 4 sizes from 6,300 to 400,000 parameters.",
        "No departure of the sizes from it is shown (lack of fit, p = 1.000).",
    )
    assert (time.axis, time.unit, time.found.cost) == ("wall-clock time", "s", "wall_clock_s")
    assert full.content.no_scaling == ""


def test_every_form_says_it_and_the_page_has_a_figure_for_each_cost(full):
    html, markdown = full.to_html(), full.to_markdown().replace("\\", "")
    for scaling in full.content.scaling:
        for text in scaling.sentences:
            assert text in html
            assert text in markdown
    assert html.count('aria-label="Final accuracy of every host-only run against') == 2
    assert "## Scaling: what the host alone would need" in markdown
    found = full.content.scaling[0].found.targets[0].found
    interval, ratio = ends(found.low, found.high), ends(found.ratio_low, found.ratio_high)
    assert f"| parameters | heuristic | 3 | 74.79 | 130,000 | 290,000 ({interval}) | 2.23 ({ratio}) | no |" in markdown
    assert "| host-6300-0 | the host alone | 6,300 |" in markdown


def test_json_is_as_the_schema_says(full):
    schema = json.loads(files(report_room).joinpath("schema.json").read_text(encoding="utf-8"))
    plain = json.loads(full.to_json())
    assert list(unlike(schema, plain, schema)) == []
    assert plain["scaling"][0]["found"]["targets"][0]["found"]["beyond"] == 1.0
    plain["scaling"][0]["found"]["fit"]["floor"] = 3
    assert list(unlike(schema, plain, schema)) == ["$.scaling[0].found.fit.floor: 3 is no object"]


def test_the_same_runs_give_the_same_bytes_in_any_order(full):
    again = build_report(experiment(made()[::-1]))
    assert again.to_json() == full.to_json()
    assert again.to_html() == full.to_html()


def test_the_methods_cite_what_was_used(full):
    (said,) = [text for text in full.content.methods if "Hoffmann 2022" in text]
    assert "12 finished host-only runs of 4 sizes against parameters and wall-clock time" in said
    cited = " ".join(full.content.citations)
    for author in ("Davison", "Draper", "Golub", "Hoffmann", "Kaplan", "Weerahandi"):
        assert author in cited
    assert "Hoffmann" not in " ".join(build_report(experiment(pairs((60.0, 61.0), (59.0, 58.0)))).content.citations)


def test_the_figure_has_every_run_the_curve_the_arrow_and_its_interval(full):
    rows = drawn(full)["scaling"][0].rows
    assert sum(row["kind"] == "run" for row in rows) == 15
    assert {row["part"] for row in rows if row["kind"] == "curve"} == {"measured"}
    (arrow,) = [row for row in rows if row["kind"] == "arrow"]
    (interval,) = [row for row in rows if row["kind"] == "interval"]
    found = full.content.scaling[0].found.targets[0].found
    assert (arrow["cost"], arrow["until"], arrow["side"], arrow["label"]) == (130_000, found.equivalent, "right", "2.23 ×")
    assert (interval["cost"], interval["until"], interval["open"]) == (found.low, found.high, False)


def test_beyond_the_sizes_the_curve_is_a_part_of_its_own_and_the_words_say_so():
    report = build_report(experiment(timeless(made(4e6))))
    rows = drawn(report)["scaling"][0].rows
    assert {row["part"] for row in rows if row["kind"] == "curve"} == {"measured", "above"}
    beyond = report.content.scaling[0].found.targets[0].found.beyond
    said = f"Extrapolated: that is {beyond:.3g} times beyond the largest host measured."
    assert report.content.scaling[0].sentences[0].endswith(said)
    (threat,) = [threat.text for threat in report.content.threats if threat.topic == "Scaling"]
    assert threat == (
        f"Parameters, equivalent of heuristic: It is extrapolated {beyond:.3g} times beyond the largest host measured, where "
        "nothing checks the curve."
    )


def test_where_there_is_no_equivalent_the_arrow_goes_to_the_edge_and_says_at_least_what():
    report = build_report(experiment(timeless([*made()[:12], *of_sizes({}, [89.0, 89.5, 90.0])])))
    (scaling,) = report.content.scaling
    found = scaling.found.targets[0].found
    assert scaling.sentences[0] == (
        "heuristic (3 runs, 89.50 % with 130,000 parameters): no size of the host alone is as good on the fitted curve, so no "
        f"equivalent is given (95 % interval {ends(found.low, None)})."
    )
    rows = drawn(report)["scaling"][0].rows
    edge = max(row["cost"] for row in rows if row["kind"] == "curve")
    (arrow,) = [row for row in rows if row["kind"] == "arrow"]
    assert (arrow["until"], arrow["label"]) == (edge, f"{amount(found.ratio_low)} × or more")
    assert report.to_html()


def test_a_smaller_equivalent_is_an_arrow_to_the_left():
    rows = drawn(build_report(experiment(timeless(made(50_000)))))["scaling"][0].rows
    (arrow,) = [row for row in rows if row["kind"] == "arrow"]
    assert (arrow["side"], arrow["cost"]) == ("left", 130_000)
    assert arrow["until"] < 130_000


def test_runs_that_are_left_out_are_named_with_the_reason():
    lost = [Made(f"lost-{n}", "none", n, state="crashed", reason="killed") for n in range(14)]
    sentences = build_report(experiment(timeless([*made(), *lost]))).content.scaling[0].sentences
    named = "; ".join(f"lost-{n} (crashed: killed)" for n in (0, 1, 10, 11, 12, 13, 2, 3, 4, 5, 6, 7))
    assert sentences[-1] == f"Left out: {named}; and 2 more."
    assert not build_report(experiment(made())).content.scaling[0].sentences[-1].startswith("Left out")


def test_runs_of_one_size_only_are_said_to_give_no_curve():
    report = build_report(experiment(pairs((60.0, 61.0), (59.0, 58.0), early=1.0)))
    assert report.content.scaling == ()
    assert report.content.no_scaling == (
        "No equivalent parameters: a scaling curve needs at least 4 sizes; finished host-only runs have 1 (100,000)."
    )
    assert report.content.no_scaling in report.to_markdown()
    assert "## Scaling" not in report.to_markdown()
    alone = build_report(experiment([Made("a", shapley={"early": 1.0})])).content.no_scaling
    assert alone.endswith("finished host-only runs have 0.")


def test_host_only_runs_outside_the_arms_of_the_claims_are_in_the_curve(tmp_path):
    """The claim compares one size of host; the curve needs them all."""
    path = tmp_path / "claims.yaml"
    path.write_text(CLAIMS)
    runs = [replace(run, config={"host": run.host_params}) for run in timeless(made())]
    report = build_report(experiment(runs), path)
    assert report.content.claims[0].aggregation.comparison.n_control == 3
    assert report.content.scaling[0].found.fit.runs == 12
    assert [target.name for target in report.content.scaling[0].found.targets] == ["heuristic"]


def test_flops_of_the_config_are_a_cost_of_their_own():
    counted = [replace(run, config={"compute": {"flops": 6e9 * run.host_params}}) for run in timeless(made())]
    content = build_report(experiment(counted)).content.scaling
    assert [(scaling.axis, scaling.found.cost) for scaling in content] == [
        ("parameters", "total_params"),
        ("training FLOPs", "config.compute.flops"),
    ]


def test_parameters_are_tabled_for_each_size_of_host_with_the_front():
    """An average over hosts of several sizes would be nobody's."""
    parameters = build_report(experiment(made())).content.parameters
    assert [(row.arm, row.host_params, row.on_front) for row in parameters] == [
        ("none", 6_300, True),
        ("none", 25_000, True),
        ("none", 100_000, True),
        ("none", 400_000, True),
        ("heuristic", 100_000, True),
    ]
    worse = build_report(experiment([*made()[:12], *of_sizes({}, [50.0, 51.0, 52.0])])).content.parameters
    assert [row.on_front for row in worse] == [True, True, True, True, False]


def test_the_front_is_drawn_through_the_means_on_it(full):
    rows = drawn(full)["parameters"][0].rows
    front = [(row["params"], row["value"]) for row in rows if row["kind"] == "front"]
    assert [params for params, _ in front] == [6_300, 25_000, 100_000, 130_000, 400_000]
    assert [value for _, value in front] == sorted(value for _, value in front)
    assert sum(row["kind"] == "mean" for row in rows) == 5


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (0.0, "0"),
        (2.345, "2.35"),
        (12.34, "12.3"),
        (999.9, "1,000"),
        (6_300, "6,300"),
        (304_567, "305,000"),
        (999_700, "1 million"),
        (1_240_000, "1.24 million"),
        (127e9, "127 billion"),
        (1.5e12, "1.5 trillion"),
        (2e18, "2e+18"),
        (0.0004, "0.0004"),
    ],
)
def test_costs_are_said_to_three_digits(value, said):
    assert amount(value) == said


def test_an_open_interval_is_said_to_be_open():
    assert (ends(None, None), ends(1e6, None), ends(1e3, 2e3)) == ("–", "1 million or more", "1,000 to 2,000")


def test_names_of_arms_and_runs_cannot_become_markup():
    nasty = '<img src=x onerror="alert(1)">|`\x1b[31m\u202e'
    runs = [replace(run, run_id=f"{nasty}{run.run_id}", controller=nasty if run.shapley else "none") for run in made()]
    report = build_report(experiment([*runs, Made(f"{nasty}lost", nasty, 9, state="crashed", reason=nasty)]))
    assert report.content.scaling
    for text in (report.to_html(), report.to_markdown()):
        assert "<img" not in text.replace("\\<img", "")
        assert "\x1b" not in text
        assert "\u202e" not in text
