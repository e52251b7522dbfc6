"""`karn-wandb show`: runs, or one run, in the terminal."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from attribution_example import NAMES, matrix
from click.testing import CliRunner
from report_runs import WHEN, Made, pairs, write_logs

from karn_wandb.cli import main
from karn_wandb.records import (
    ClaimReading,
    DenseTrace,
    HealthReport,
    TelemetryEvent,
    TelemetryEventType,
    encode_event,
)


@pytest.fixture
def show(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def of(made, *arguments):
        write_logs(tmp_path / "runs", made)
        return CliRunner().invoke(main, ["show", "runs", *arguments])

    return of


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_every_run_is_listed_with_its_state_and_why(show):
    done = show([*pairs((64.9,), (61.2,), early=1.0), Made("lost", "heuristic", 9, state="failed", reason="out of memory")])
    assert done.exit_code == 0
    table = rows(done.stdout)
    assert table[1] == ["host-0", "none", "0", "finished", "4", "61.20", "100,000"]
    assert table[2] == ["grown-0", "heuristic", "0", "finished", "4", "64.90", "130,000"]
    assert table[3][:3] == ["lost", "heuristic", "9"]
    assert table[3][-3:] == ["out", "of", "memory"]


def test_one_run_is_shown_with_attribution_and_stages(show):
    done = show(pairs((64.9,), (61.2,), early=1.0, late=-0.25), "grown-0")
    assert done.exit_code == 0
    said = " ".join(done.stdout.split())
    assert said.startswith(
        "grown-0: finished Is it winning? Epoch 4: accuracy 64.90 %, loss 1.35, parameters 130,000 (host 100,000)."
    )
    assert "No host-only run is known to it, so nothing says whether it is winning." in said
    assert "early +1.00 0.20 to 1.80" in said
    assert "late −0.25 −1.05 to 0.55" in said
    assert "Not measured: Causal contribution" in said
    assert "early TRAINING 1–3, FOSSILIZED 4" in said
    assert said.endswith("Anomalies None were recorded.")


def with_a_matrix(folder, found):
    """Adds it to the log of run a."""
    matrix = TelemetryEvent(TelemetryEventType.COUNTERFACTUAL_MATRIX_COMPUTED, data=found, timestamp=WHEN, sequence=100)
    with (folder / "runs/a/records.jsonl").open("ab") as log:
        log.write(encode_event(matrix))


def test_intervals_say_what_they_rest_on_and_pairs_which_way_they_go(show, tmp_path):
    show([Made("a")])
    found = matrix(NAMES[:4], examples=500)
    with_a_matrix(tmp_path, replace(found, examples_available=2000, early_stop="every slot was decided by 500 examples"))
    said = " ".join(CliRunner().invoke(main, ["show", "runs", "a"]).stdout.split())
    regimes = [estimate.regime for estimate in found.interactions.values()]
    assert "500 validation examples." in said
    assert "Every slot was decided by 500 examples." in said
    assert re.search(r"early \+ mid \+\d+\.\d+ \d+\.\d+ to \d+\.\d+ synergy", said)
    assert re.search(r"mid \+ late −\d+\.\d+ −\d+\.\d+ to −\d+\.\d+ interference", said)
    assert f"{regimes.count('undecided')} pair" in said
    assert "interaction undecided." in said


def test_charts_are_written_as_svg_and_png(show, tmp_path):
    show([Made("a")])
    with_a_matrix(tmp_path, matrix(NAMES[:3]))
    done = CliRunner().invoke(main, ["show", "runs", "a", "--charts", "pictures/of a"])
    assert done.exit_code == 0
    names = ("slot_values", "waterfall", "coalitions", "interactions", "onset")
    assert f"Written to pictures/of a, as SVG and PNG: {', '.join(names)}" in done.stdout
    folder = tmp_path / "pictures/of a"
    assert {path.name for path in folder.iterdir()} == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    assert (folder / "waterfall.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "waterfall.svg").read_text().startswith("<svg")


def test_without_a_matrix_no_charts_are_written_and_it_is_said(show, tmp_path):
    done = show([Made("a")], "a", "--charts", "pictures")
    assert done.exit_code == 0
    assert "No charts: no coalitions of slots were evaluated." in done.stdout
    assert not (tmp_path / "pictures").exists()


def test_charts_need_a_run(show):
    done = show([Made("a")], "--charts", "pictures")
    assert done.exit_code == 2
    assert "--charts needs a RUN" in done.stderr


def test_what_the_run_read_off_itself_is_shown(show, tmp_path):
    """Live readings, dense traces, health and messages are in the log, after the epochs."""
    write_logs(tmp_path / "runs", [Made("a")])
    extra = [
        (TelemetryEventType.CLAIM_READ, ClaimReading(4, 60.0, 58.5, 1.5, 0.9)),
        (TelemetryEventType.DENSE_TRACE_RECORDED, DenseTrace("loss_spike", 2, 3, message="loss 9 against 2")),
        (TelemetryEventType.DENSE_TRACE_RECORDED, DenseTrace("stage_transition", 2, 3)),
        (TelemetryEventType.HEALTH_READ, HealthReport(4, dropped_records=2, non_finite_values=3, alerts=("gradients vanish",))),
    ]
    with (tmp_path / "runs/a/records.jsonl").open("ab") as log:
        for number, (kind, record) in enumerate(extra, 100):
            log.write(encode_event(TelemetryEvent(kind, data=record, timestamp=WHEN, sequence=number)))
        note = TelemetryEvent(TelemetryEventType.MEMORY_WARNING, severity="warning", message="nearly full", timestamp=WHEN)
        log.write(encode_event(replace(note, sequence=200)))
    said = " ".join(CliRunner().invoke(main, ["show", "runs", "a"]).stdout.split())
    assert "+1.50 percentage points against the paired host-only run at epoch 4 (60.00 % against 58.50 %)." in said
    assert "One pair says nothing about other random seeds" in said
    assert said.endswith(
        "Anomalies Dense trace of epochs 2 to 3: loss_spike (loss 9 against 2) "
        "1 dense trace of stage_transition, as a matter of course gradients vanish 3 values NaN or infinite "
        "2 records dropped warning: nearly full"
    )


def test_of_several_episodes_the_last_is_shown_and_said_to_be(show):
    done = show([Made("many", finals=(60.0, 70.0))], "many")
    assert "It holds 2 episodes; this is environment 0, episode 1." in done.stdout
    assert "accuracy 70.00 %" in done.stdout


def test_a_run_that_logged_nothing_is_shown(show):
    said = " ".join(show([Made("empty", None, None, (), state="crashed")], "empty").stdout.split())
    assert "No epoch was logged." in said
    assert "No coalitions of slots were evaluated." in said
    assert "No slot was logged." in said


def test_a_run_there_is_not_is_code_1_and_names_those_there_are(show):
    done = show(pairs((64.9,), (61.2,)), "grown-1")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: the experiment has no run 'grown-1'.")
    assert "grown-0" in done.stderr


def test_damage_is_warned_about_on_stderr(show, tmp_path):
    write_logs(tmp_path / "runs", [Made("a")])
    with (tmp_path / "runs/a/records.jsonl").open("ab") as log:
        log.write(b'{"event_type": "EPO')
    done = CliRunner().invoke(main, ["show", "runs"])
    assert done.exit_code == 0
    assert done.stderr.startswith("Warning: run a: ")


def test_names_are_text_never_markup_nor_control(show, tmp_path):
    done = show([Made("a", "[bold]x[/bold]\x1b[2J", 0, name="[link=http://x]n"), Made("b", "y", 0)])
    assert "[bold]x[/bold]\\x1b[2J" in done.stdout
    assert "[link=http://x]n" in done.stdout
    assert "\x1b" not in done.stdout
