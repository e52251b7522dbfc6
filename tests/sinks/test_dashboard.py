"""The live dashboard: what it shows and never claims, its box and its lines, and that a terminal survives it."""

import io
import os
import pty
import re
import subprocess
import sys
import termios
import textwrap
import threading
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from rich.cells import cell_len
from rich.console import Console
from strategies import event_sequences
from trainings import PATH

from karn_wandb.errors import UsageError
from karn_wandb.records import (
    Alert,
    BatchMetrics,
    ClaimReading,
    CounterfactualMatrix,
    DenseTrace,
    EpisodeContext,
    EpisodeOutcome,
    EpochSnapshot,
    FactoredAction,
    GateEvaluationTrace,
    HealthReport,
    HostBaseline,
    HostSnapshot,
    InteractionEstimate,
    PolicySnapshot,
    PPOUpdate,
    RunInfo,
    SeedStage,
    ShapleyEstimate,
    SlotSnapshot,
    StageTransition,
    TelemetryEvent,
    TelemetryEventType,
)
from karn_wandb.sinks import Dashboard
from karn_wandb.sinks.dashboard_state import DashboardState
from karn_wandb.sinks.dashboard_terminal import PinnedLines
from karn_wandb.sinks.dashboard_text import NARROWEST, plain, render

CONTEXT = EpisodeContext(
    "e", datetime(2025, 1, 1, tzinfo=UTC), "", 1, 1, 1, "cnn", 100_000, {"early": 8}, 100, "classification", {}
)


def event(data, **envelope):
    return TelemetryEvent(TelemetryEventType.MEMORY_WARNING, data=data, **envelope)


def state_of(*records, **envelope):
    state = DashboardState()
    for record in records:
        state.observe(event(record, **envelope))
    return state


def drawn(state, width=67, rows=None):
    """The box as text."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=False, color_system=None)
    console.print(render(state, width, rows), end="")
    return stream.getvalue()


def epoch(number, accuracy=None, slots=(), **host):
    return EpochSnapshot(number, HostSnapshot(number, val_accuracy=accuracy, **host), {slot.slot_id: slot for slot in slots})


def slot(name, stage, alpha=0.0, **values):
    return SlotSnapshot(name, stage, alpha=alpha, seed_id="s", **values)


def decision(op, slot_id=None, **values):
    return PolicySnapshot((1.0,), FactoredAction(op, slot_id), **values)


def matrix(number=1, **estimates):
    return CounterfactualMatrix(number, (), shapley_values=estimates, slot_ids=tuple(estimates))


def a_run():
    """The run of the requirement's own picture, as far as one run can show it."""

    def slots(alpha):
        return (
            slot("early", SeedStage.FOSSILIZED, 1.0, blueprint_id="conv_light", seed_params=37_000),
            slot("mid", SeedStage.BLENDING, alpha, blueprint_id="attention", seed_params=2_000),
            slot("late", SeedStage.TRAINING, blueprint_id="norm", seed_params=100),
            SlotSnapshot("last", SeedStage.DORMANT),
        )

    sizes = {"host_params": 100_000, "total_seed_params": 39_100, "total_params": 139_100}
    return state_of(
        RunInfo("abc123", name="cifar10-grow-7"),
        CONTEXT,
        HostBaseline(2.3, 10.0, final_host_only_accuracy=64.0, host_only_trajectory={47: 62.3}),
        epoch(46, 66.0, slots(0.35)),
        StageTransition("early", SeedStage.HOLDING, SeedStage.FOSSILIZED, epoch=46, initiator="policy"),
        GateEvaluationTrace("mid", "G2", passed=True, epoch=46),
        GateEvaluationTrace("late", "G2", passed=False, epoch=46, checks_failed=("improvement",)),
        matrix(
            47,
            early=ShapleyEstimate(1.2, 0.7, 8, ci_low=-0.17, ci_high=2.57),
            mid=ShapleyEstimate(2.8, 0.4, 8, ci_low=2.0, ci_high=3.6),
            late=ShapleyEstimate(0.9, 0.2, 8, ci_low=0.5, ci_high=1.3),
        ),
        decision("WAIT", value_estimate=0.5, entropy=1.0),
        decision("GERMINATE", "mid", value_estimate=1.5, entropy=1.5, explanation="the plateau lasts for 3 epochs"),
        PPOUpdate(kl_divergence=0.0123, explained_variance=0.81),
        DenseTrace("stage_transition", 3, 3),
        DenseTrace("stage_transition", 9, 9),
        DenseTrace("loss_spike", 12, 13),
        epoch(47, 67.2, slots(0.6), **sizes),
        ClaimReading(47, 67.2, 62.3, 4.9, 0.775),
        HealthReport(47, alerts=("Loss 4.2 is 2.6 times its average.",), status="warning"),
    )


BOX = """\
┌─────────────────────────────────────────────────────────────────┐
│ KARN · MORPHOGENETIC TRAINING MONITOR              Epoch 47/100 │
│ cifar10-grow-7                                                  │
├─────────────────────────────────────────────────────────────────┤
│ ACCURACY        67.20 %, +4.90 points against the host alone    │
│                 host alone: 62.30 %; one run: no interval       │
│ PARAM RATIO     1.39x the host's parameters (139K / 100K)       │
│ EFFICIENCY      0.78x the host alone's accuracy per parameter   │
├─────────────────────────────────────────────────────────────────┤
│ SEED CONTRIBUTIONS (Shapley, epoch 47)                          │
│   slot   points ± 95 %  kind, params     efficiency             │
│   early  +1.20 ± 1.37   conv_light, 37K        0.32             │
│   mid    +2.80 ± 0.80   attention, 2K          14.0  ✓ WIN      │
│   late   +0.90 ± 0.40   norm, 100              90.0  ✓ WIN      │
│   Efficiency: points per 10,000 parameters.                     │
│   ✓ WIN: the interval is above zero.                            │
│   By switching slots off now, not by training without them.     │
├─────────────────────────────────────────────────────────────────┤
│ SLOTS                                                           │
│   early  FOSSILIZED  alpha 1.00                                 │
│   mid    BLENDING    alpha 0.35 -> 0.60  G2 passed              │
│   late   TRAINING    alpha 0.00          G2 not passed:         │
│                                          improvement            │
│   dormant: last                                                 │
│   epoch 46  early: HOLDING -> FOSSILIZED (policy)               │
├─────────────────────────────────────────────────────────────────┤
│ POLICY HEALTH (newest 2 decisions)                              │
│   Value variance  0.5                                           │
│   Entropy         1.25 nats                                     │
│   Recent actions  WAIT GERMINATE(mid)                           │
│   Why             GERMINATE(mid): the plateau lasts for 3       │
│                   epochs                                        │
│   PPO             KL 0.0123, explained variance 0.81            │
├─────────────────────────────────────────────────────────────────┤
│ MODE            standard                                        │
│ DENSE TRACES    2 stage_transition, 1 loss_spike                │
│ DROPPED         no records                                      │
├─────────────────────────────────────────────────────────────────┤
│ ALERTS:                                                         │
│   Loss 4.2 is 2.6 times its average.                            │
└─────────────────────────────────────────────────────────────────┘
"""

EMPTY = """\
┌─────────────────────────────────────────────────────────────────┐
│ KARN · MORPHOGENETIC TRAINING MONITOR              no epoch yet │
├─────────────────────────────────────────────────────────────────┤
│ waiting for the first epoch                                     │
├─────────────────────────────────────────────────────────────────┤
│ DENSE TRACES    none                                            │
│ DROPPED         no records                                      │
├─────────────────────────────────────────────────────────────────┤
│ ALERTS: none                                                    │
└─────────────────────────────────────────────────────────────────┘
"""


class TestBox:
    def test_of_a_whole_run(self):
        assert drawn(a_run()) == BOX

    def test_of_nothing_yet(self):
        assert drawn(DashboardState()) == EMPTY

    @pytest.mark.parametrize("width", [NARROWEST, 33, 67, 120])
    def test_every_line_is_as_wide_as_asked_for(self, width):
        assert {cell_len(line) for line in drawn(a_run(), width).splitlines()} == {width}

    def test_a_long_slot_name_is_cut_and_the_marks_stay(self):
        text = drawn(state_of(matrix(**{"s" * 500: ShapleyEstimate(1.0, 0.1, 8)}), epoch(1, 50.0)))
        assert "ssss…" in text
        assert "✓ WIN" in text
        assert text.count("\n") < 25

    def test_names_and_explanations_are_neither_markup_nor_control_characters(self):
        nasty = "[bold red]x[/] \x1b[2J\x07\u202e"
        slots = (slot(nasty, SeedStage.TRAINING, blueprint_id=nasty),)
        records = (RunInfo("r", name=nasty), matrix(**{nasty: ShapleyEstimate(1.0, 0.1, 8)}), epoch(1, 50.0, slots))
        state = state_of(*records, decision("WAIT", explanation=nasty), HealthReport(1, alerts=(nasty,)), DenseTrace(nasty, 1, 1))
        for text in (drawn(state, 200), "\n".join(plain(state))):
            assert "[bold red]x[/] \\x1b[2J\\x07\\u202e" in text
            assert not {unicodedata.category(c) for c in text} & {"Cf"}
            assert not set(text) & {"\x1b", "\x07"}

    def test_what_finds_no_room_is_left_out_from_the_least_important_on_and_named(self):
        whole = drawn(a_run())
        low = drawn(a_run(), rows=24)
        assert low.count("\n") <= 24 < whole.count("\n")
        assert "no room for: capture, policy, slots" in low
        assert all(shown in low for shown in ("ACCURACY", "SEED CONTRIBUTIONS", "ALERTS"))
        assert drawn(a_run(), rows=whole.count("\n")) == whole

    @settings(max_examples=25)
    @given(event_sequences())
    def test_any_events_can_be_shown(self, events):
        state = DashboardState()
        for each in events:
            state.observe(each)
        assert {cell_len(line) for line in drawn(state).split("\n")[:-1]} == {67}
        assert all(line.isprintable() for line in plain(state))


class TestClaims:
    @pytest.mark.parametrize(
        ("estimate", "wins"),
        [
            (ShapleyEstimate(1.0, 0.1, 8, ci_low=0.8, ci_high=1.2), True),
            (ShapleyEstimate(1.0, 0.1, 8, ci_low=0.0, ci_high=2.0), False),
            (ShapleyEstimate(1.0, 0.1, 8, ci_low=-0.1, ci_high=2.1), False),
            (ShapleyEstimate(-1.0, 0.1, 8, ci_low=-1.2, ci_high=-0.8), False),
            (ShapleyEstimate(1.0, 0.49, 8), True),
            (ShapleyEstimate(1.0, 0.5, 8), False),
            (ShapleyEstimate(100.0, None, 8), False),
        ],
    )
    def test_a_slot_wins_only_where_an_interval_lies_above_zero(self, estimate, wins):
        assert ("WIN" in drawn(state_of(matrix(mid=estimate)))) is wins

    def test_a_removal_cost_has_no_interval_and_never_wins(self):
        costs = CounterfactualMatrix(
            1, (), marginal_contributions={"mid": 9.0}, slot_ids=("mid",), strategy="ablation_only", marginal_basis="removal_cost"
        )
        text = drawn(state_of(costs))
        assert "(removal cost, epoch 1)" in text
        assert "+9.00" in text
        assert not re.search("WIN|±", text)

    def test_pairs_that_help_or_hinder_are_shown_where_that_is_decided_the_strongest_first(self):
        pairs = {
            ("early", "mid"): InteractionEstimate(1.2, 0.4, 0.4, 2.0, "synergy"),
            ("early", "late"): InteractionEstimate(-3.0, 0.5, -4.0, -2.0, "interference"),
            ("late", "mid"): InteractionEstimate(0.0, 0.1, -0.2, 0.2, "independence"),
            ("last", "mid"): InteractionEstimate(9.0, 9.0, -9.0, 27.0, "undecided"),
        }
        text = drawn(state_of(replace(matrix(mid=ShapleyEstimate(1.0, 0.1, 8)), interactions=pairs)))
        strong, weak = (
            text.index("interference early+late -3.00 [-4.00, -2.00]"),
            text.index("synergy early+mid +1.20 [0.40, 2.00]"),
        )
        assert strong < weak
        assert not re.search("independence|undecided|9\\.00", text)

    def test_an_interval_that_is_an_upper_bound_is_said_to_be_one(self):
        bound = ShapleyEstimate(1.0, 0.1, 8, evaluation_method="binomial_bound")
        assert "upper bounds" in drawn(state_of(matrix(mid=bound)))
        assert "upper bounds" not in drawn(state_of(matrix(mid=replace(bound, evaluation_method="per_example"))))

    def test_one_run_never_wins_over_the_host_alone(self):
        text = drawn(state_of(HostBaseline(1.0), epoch(1, 99.0), ClaimReading(1, 99.0, 10.0, 89.0, 9.0)))
        assert "99.00 %, +89.00 points against the host alone" in text
        assert "one run: no interval" in text
        assert "WIN" not in text

    def test_without_a_host_only_run_it_says_so_and_compares_nothing(self):
        text = drawn(state_of(HostBaseline(1.0, 10.0), epoch(1, 50.0), ClaimReading(1, 50.0)))
        assert "no host-only run to compare with" in text
        assert not re.search("points|EFFICIENCY", text)

    def test_an_epoch_the_host_only_run_did_not_measure_is_said(self):
        baseline = HostBaseline(1.0, host_only_trajectory={2: 60.0})
        text = drawn(state_of(baseline, epoch(1, 50.0), ClaimReading(1, 50.0)))
        assert "the host-only run has no accuracy at this epoch" in text

    def test_the_reading_of_an_earlier_epoch_is_not_shown_beside_a_newer_accuracy(self):
        state = state_of(HostBaseline(1.0, final_host_only_accuracy=40.0), epoch(1, 50.0), ClaimReading(1, 50.0, 40.0, 10.0, 1.0))
        state.observe(event(epoch(2, 60.0)))
        assert "60.00 %" in drawn(state)
        assert not re.search("points|EFFICIENCY|no host-only", drawn(state))

    @pytest.mark.parametrize("accuracies", [(50.0, None), (None, 40.0)])
    def test_efficiency_is_shown_with_both_accuracies_only(self, accuracies):
        reading = ClaimReading(1, *accuracies, param_efficiency=1.5)
        assert "EFFICIENCY" not in drawn(state_of(epoch(1, 50.0), reading))

    @pytest.mark.parametrize(
        ("value", "params", "efficiency"),
        [(1.2, 37_000, "0.32"), (2.8, 2_000, "14.0"), (0.9, 100, "90.0"), (-1.0, 10_000, "-1.00"), (1.0, 0, "")],
    )
    def test_efficiency_of_a_slot_is_points_per_ten_thousand_parameters(self, value, params, efficiency):
        module = slot("mid", SeedStage.TRAINING, seed_params=params)
        text = drawn(state_of(epoch(1, 50.0, (module,)), matrix(mid=ShapleyEstimate(value, None, 8))))
        row = next(line for line in text.splitlines() if line.startswith(f"│   mid   {value:+.2f}"))
        assert row.rstrip("│ ").endswith(efficiency or f"{value:+.2f}")


class TestState:
    def test_an_alpha_is_followed_over_the_last_epochs(self):
        state = state_of(
            *(epoch(n, slots=(slot("mid", SeedStage.BLENDING, alpha),)) for n, alpha in enumerate((0.1, 0.35, 0.35, 0.6)))
        )
        assert "mid  BLENDING  alpha 0.10 -> 0.35 -> 0.60" in drawn(state)
        for number in (4, 5, 6):
            state.observe(event(epoch(number, slots=(slot("mid", SeedStage.HOLDING, 0.6),))))
        assert "mid  HOLDING  alpha 0.60 " in drawn(state)

    def test_a_slot_that_was_emptied_forgets_its_seed_module(self):
        state = state_of(
            epoch(1, slots=(slot("mid", SeedStage.BLENDING, 0.5, blueprint_id="norm"),)),
            GateEvaluationTrace("mid", "G3", passed=False),
            StageTransition("mid", SeedStage.BLENDING, SeedStage.PRUNED, epoch=2, reason="it hurts"),
        )
        text = drawn(state)
        assert "mid: BLENDING -> PRUNED (it hurts)" in text
        assert not re.search("alpha|G3|norm", text)

    def test_a_stage_change_seen_between_two_epochs_only_is_told_once(self):
        seen = [epoch(n, slots=(slot("mid", stage),)) for n, stage in enumerate((SeedStage.TRAINING, *[SeedStage.HOLDING] * 2))]
        text = drawn(state_of(*seen))
        assert text.count("->") == 1
        assert "epoch 1  mid: TRAINING -> HOLDING" in text

    def test_the_newest_gate_of_a_slot_is_shown_and_a_snapshot_without_a_reason_keeps_it(self):
        check = GateEvaluationTrace("mid", "G2", passed=False, message="too little")
        seen = slot("mid", SeedStage.TRAINING, last_gate_attempted="G2", last_gate_passed=False)
        state = state_of(GateEvaluationTrace("mid", "G1", passed=True), check, epoch(1, slots=(seen,)))
        assert "G2 not passed: too little" in drawn(state)
        assert "G1" not in drawn(state)

    def test_a_decision_that_comes_with_its_epoch_too_counts_once(self):
        made = decision("WAIT", value_estimate=1.0)
        state = state_of(made, EpochSnapshot(1, HostSnapshot(1), policy=made))
        assert state.shown.policy.decisions == 1

    def test_an_alert_is_shown_at_once_and_until_its_epoch_is_reported_without_it(self):
        state = state_of(epoch(1), HealthReport(1), Alert("x", "it burns", 2))
        assert "it burns" in drawn(state)
        state.observe(event(HealthReport(2, alerts=("it burns",))))
        assert drawn(state).count("it burns") == 1
        state.observe(event(HealthReport(3)))
        assert "ALERTS: none" in drawn(state)

    def test_an_event_of_a_users_own_that_warns_is_an_alert(self):
        state = DashboardState()
        state.observe(event({}, severity="error", message="disk nearly full"))
        assert "disk nearly full" in drawn(state)

    def test_dropped_records_are_loud(self):
        assert "DROPPED         5 records" in drawn(state_of(epoch(1), HealthReport(1, dropped_records=5)))
        assert "records dropped: 5" in plain(state_of(epoch(1), HealthReport(1, dropped_records=5)))

    def test_of_several_environments_the_one_that_last_completed_an_epoch_is_shown(self):
        state = DashboardState()
        for env_id, episode_idx, record in [
            (0, 0, epoch(1, 10.0)),
            (1, 0, epoch(1, 20.0)),
            (0, 0, EpisodeOutcome(1)),
            (0, 1, epoch(1, 30.0)),
            (1, 1, BatchMetrics(1, 0, 0.5)),
            (1, 1, decision("WAIT")),
            (1, 0, EpisodeOutcome(1)),
            (1, 1, HealthReport(0, alerts=("it burns",))),
        ]:
            state.observe(event(record, env_id=env_id, episode_idx=episode_idx, scoped=True))
        text = drawn(state)
        assert "30.00 %" in text
        assert "environment 0 (of 2), episode 1; 2 episodes done" in text
        assert "ALERTS: in 1 other environment" in text


class TestPlainLines:
    def test_of_an_epoch(self):
        assert plain(a_run()) == [
            "epoch 47  val acc 67.20  params 139,100  early fossilized 1.00  mid blending 0.60  late training 0.00",
            "accuracy delta against the host alone: +4.90 points",
            "Shapley: early +1.20 ± 0.70, mid +2.80 ± 0.40, late +0.90 ± 0.20",
            "decision: GERMINATE(mid): the plateau lasts for 3 epochs",
            "alert: Loss 4.2 is 2.6 times its average.",
        ]

    def test_are_printed_after_each_epoch_where_there_is_no_terminal(self):
        stream = io.StringIO()
        dashboard = Dashboard(stream)
        for number in (1, 2):
            for record in (BatchMetrics(number, 0, 0.5), epoch(number, 50.0), HealthReport(number)):
                dashboard.write(event(record))
        dashboard.close()
        assert stream.getvalue() == "epoch 1  val acc 50.00\nepoch 2  val acc 50.00\n"

    def test_go_to_standard_output_as_it_is_then(self, capsys):
        dashboard = Dashboard()
        dashboard.write(event(epoch(1)))
        dashboard.write(event(HealthReport(1)))
        assert capsys.readouterr().out == "epoch 1\n"

    def test_survive_a_stream_that_cannot_spell_them_and_one_that_was_closed(self):
        raw = io.BytesIO()
        dashboard = Dashboard(io.TextIOWrapper(raw, encoding="ascii", write_through=True))
        for record in (matrix(mid=ShapleyEstimate(1.0, 0.5, 8)), epoch(1), HealthReport(1)):
            dashboard.write(event(record))
        assert raw.getvalue().splitlines()[-1] == b"Shapley: mid +1.00 ? 0.50"
        raw.close()
        dashboard.write(event(HealthReport(1)))
        dashboard.close()

    @pytest.mark.parametrize("rate", [0, -1, float("nan")])
    def test_a_refresh_rate_is_above_zero(self, rate):
        with pytest.raises(UsageError, match="refresh_per_second must be above 0"):
            Dashboard(refresh_per_second=rate)


ROWS, COLUMNS = 30, 80
CODE = re.compile(r"\x1b([78D])|\x1b\[(\??[\d;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+")


class Screen:
    """As much of a VT100 as the tests need: what scrolls off its top is kept, and unknown codes are errors."""

    def __init__(self, rows=ROWS):
        self.rows, self.top, self.bottom = rows, 0, rows - 1
        self.lines, self.gone = [""] * rows, []
        self.row = self.column = 0
        self.saved = (0, 0)

    def feed(self, text):
        assert "".join(match[0] for match in CODE.finditer(text)) == text
        for match in CODE.finditer(text):
            self._take(match[0], match[1] or match[3], match[2] or "")
        return self

    def _take(self, text, code, numbers):
        first, second = [int(part or 0) for part in [*numbers.split(";"), ""][:2]] if code and code not in "78D" else (0, 0)
        match code:
            case None:
                self._print(text)
            case "7":
                self.saved = (self.row, self.column)
            case "8":
                self.row, self.column = self.saved
            case "D":
                self._down()
            case "A":
                self.row = max(self.row - first, 0)
            case "H":
                self.row, self.column = first - 1, second - 1
            case "r":
                self.top, self.bottom = (first or 1) - 1, (second or self.rows) - 1
                self.row = self.column = 0
            case "K" if first == 2:
                self.lines[self.row] = ""
            case "J" if first == 0:
                self.lines[self.row] = self.lines[self.row][: self.column]
                self.lines[self.row + 1 :] = [""] * (self.rows - self.row - 1)
            case "m":
                pass
            case _:
                raise AssertionError(text)

    def _print(self, text):
        if text == "\r":
            self.column = 0
        elif text == "\n":
            self._down()
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + text + line[self.column + len(text) :]
            self.column += len(text)

    def _down(self):
        if self.row != self.bottom:
            self.row += 1
            return
        line = self.lines.pop(self.top)
        self.lines.insert(self.bottom, "")
        if self.top == 0:
            self.gone.append(line)

    def all_lines(self):
        return [*self.gone, *self.lines]


class Terminal:
    """A pseudo-terminal and everything that was written to it."""

    def __init__(self, rows=ROWS, columns=COLUMNS):
        self.master, self.slave = pty.openpty()
        self._rows = rows
        self.resize(rows, columns)
        self._bytes = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def resize(self, rows, columns):
        termios.tcsetwinsize(self.slave, (rows, columns))

    def _read(self):
        try:
            while data := os.read(self.master, 65536):
                self._bytes += data
        except OSError:  # nobody has the other side open any more
            return

    def print(self, text):
        os.write(self.slave, text.encode())

    def text(self):
        """What was written, after the last writer closed it."""
        os.close(self.slave)
        self._reader.join(10)
        os.close(self.master)
        return self._bytes.decode()


class TestOnATerminal:
    def test_what_others_print_scrolls_above_the_lines_and_none_is_lost(self):
        terminal = Terminal()
        pinned = PinnedLines(os.dup(terminal.slave))
        for number in range(60):
            terminal.print(f"line {number}\nhalf of")
            pinned.show([f"box {number}", *["box"] * (number % 5), "end"])
            terminal.print(f" half {number}\n")
        os.close(pinned._descriptor)
        screen = Screen().feed(terminal.text())
        wanted = [text for number in range(60) for text in (f"line {number}", f"half of half {number}")]
        assert [line for line in screen.all_lines() if "line" in line or "half" in line] == wanted
        assert screen.lines[-6:] == ["box 59", "box", "box", "box", "box", "end"]

    def test_closing_gives_all_rows_back_and_leaves_the_lines_in_the_flow(self):
        terminal = Terminal()
        pinned = PinnedLines(os.dup(terminal.slave))
        terminal.print("before\n")
        pinned.show(["box"] * 3)
        pinned.close(["whole box", "end"])
        terminal.print("after\n")
        screen = Screen().feed(terminal.text())
        assert [line for line in screen.all_lines() if line] == ["before", "whole box", "end", "after"]
        assert (screen.top, screen.bottom) == (0, ROWS - 1)

    def test_a_resized_window_is_drawn_anew(self):
        terminal = Terminal()
        pinned = PinnedLines(os.dup(terminal.slave))
        terminal.print("before\n")
        pinned.show(["box"] * 3)
        terminal.resize(20, COLUMNS)
        pinned.show(["new"] * 3)
        pinned.close([])
        assert "\x1b[1;17r" in terminal.text()

    def test_on_a_low_terminal_rows_are_left_to_others(self):
        terminal = Terminal(rows=6)
        pinned = PinnedLines(os.dup(terminal.slave))
        pinned.show(["1", "2", "3", "4"])
        os.close(pinned._descriptor)
        assert Screen(6).feed(terminal.text()).lines[-2:] == ["1", "2"]

    def test_the_dashboard_is_drawn_and_the_terminal_restored(self, monkeypatch):
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("NO_COLOR", raising=False)
        text = self.shown(Terminal(rows=40))
        screen = Screen(40).feed(text)
        lines = [line for line in screen.all_lines() if line]
        assert lines[:2] == ["one", "two"]
        assert lines[2].startswith("┌")
        assert "Epoch 2" in lines[3]
        assert lines[-2].startswith("└")
        assert lines[-1] == "after"
        assert (screen.top, screen.bottom) == (0, 39)
        assert "\x1b[?25l" not in text
        assert "\x1b[1;32m✓ WIN" in text

    def test_colours_are_left_out_when_asked_for(self, monkeypatch):
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("NO_COLOR", "1")
        assert not re.search(r"\x1b\[(\d;)*[34]\dm", self.shown(Terminal()))

    def test_a_dumb_terminal_gets_plain_lines(self, monkeypatch):
        monkeypatch.setenv("TERM", "dumb")
        text = self.shown(Terminal())
        assert "\x1b" not in text
        assert "epoch 2  val acc 52.00" in text

    def shown(self, terminal):
        stream = os.fdopen(os.dup(terminal.slave), "w")
        dashboard = Dashboard(stream, refresh_per_second=1000)
        terminal.print("one\n")
        for number in (1, 2):
            for record in (matrix(number, mid=ShapleyEstimate(1.0, 0.1, 8)), epoch(number, 50.0 + number), HealthReport(number)):
                dashboard.write(event(record))
        terminal.print("two\n")
        dashboard.close()
        dashboard.write(event(epoch(3)))
        dashboard.close()
        terminal.print("after\n")
        stream.close()
        return terminal.text()

    def test_it_is_drawn_at_most_so_often_and_what_came_in_between_is_not_forgotten(self, monkeypatch):
        monkeypatch.setenv("TERM", "xterm")
        terminal = Terminal()
        stream = os.fdopen(os.dup(terminal.slave), "w")
        dashboard = Dashboard(stream, refresh_per_second=5)
        for number in range(1, 100):
            dashboard.write(event(epoch(number)))
        threading.Event().wait(0.5)
        dashboard.close()
        stream.close()
        text = terminal.text()
        shown = [int(number) for number in re.findall(r"Epoch (\d+)", text)]
        assert len(shown) <= 4
        assert shown[-2:] == [99, 99]
        assert all(a <= b for a, b in pairwise(shown))

    def test_a_terminal_that_is_gone_stops_it_quietly(self, monkeypatch):
        monkeypatch.setenv("TERM", "xterm")
        terminal = Terminal()
        stream = os.fdopen(os.dup(terminal.slave), "w")
        dashboard = Dashboard(stream, refresh_per_second=1000)
        dashboard.write(event(epoch(1)))
        threading.Event().wait(0.1)
        os.close(dashboard._pinned._descriptor)
        dashboard._pinned._descriptor = os.open(os.devnull, os.O_WRONLY)
        dashboard.write(event(epoch(2)))
        threading.Event().wait(0.1)
        dashboard.write(event(epoch(3)))
        dashboard.close()
        stream.close()
        assert "Epoch 1" in terminal.text()


REDIRECTED = """
    import os, pty, sys
    from karn_wandb.sinks.dashboard_terminal import open_terminal
    os.setsid() if sys.argv[2] == "none" else os.login_tty(int(sys.argv[1]))
    _, instead = pty.openpty()
    os.dup2(instead, 1)
    found = open_terminal(None)
    os.write(int(sys.argv[1]), b"nothing found") if found is None else os.write(found, b"found")
"""


@pytest.mark.parametrize(("controlling", "written"), [("login", "found"), ("none", "nothing found")])
def test_a_terminal_put_in_place_of_standard_output_is_passed_by(controlling, written):
    """As W&B's console="redirect" does; without a controlling terminal there is no way past it."""
    terminal = Terminal()
    command = [sys.executable, "-c", textwrap.dedent(REDIRECTED), str(terminal.slave), controlling]
    subprocess.run(command, check=True, pass_fds=[terminal.slave], stdin=subprocess.DEVNULL, timeout=60)
    assert terminal.text() == written


def test_a_stand_in_for_standard_output_that_can_only_write_gets_plain_lines():
    class Tee:
        text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    dashboard = Dashboard(Tee())
    for record in (epoch(1), HealthReport(1)):
        dashboard.write(event(record))
    assert dashboard._stream.text == "epoch 1\n"


TRAINING = """
    import os, sys
    os.login_tty(int(sys.argv[1]))
    import karn_wandb, wandb
    from karn_wandb import sinks
    from logged import CONTEXT
    settings = wandb.Settings(console=sys.argv[2])
    with karn_wandb.init(dir=sys.argv[3], settings=settings, sinks=[sinks.Dashboard()], episode=CONTEXT) as run:
        print("training prints")
        run.log_epoch(val_accuracy=50.0)
        run.collector.followers[0].drain(10)
"""


@pytest.mark.offline
def test_what_is_drawn_is_not_in_wandbs_output_log(offline_folder, tmp_path):
    terminal = Terminal(rows=40)
    command = [sys.executable, "-c", textwrap.dedent(TRAINING), str(terminal.slave), "wrap", str(tmp_path)]
    environment = os.environ | {"TERM": "xterm-256color", "PYTHONPATH": PATH}
    subprocess.run(command, check=True, pass_fds=[terminal.slave], env=environment, timeout=60, stdin=subprocess.DEVNULL)
    text = terminal.text()
    assert "MORPHOGENETIC TRAINING MONITOR" in text
    assert "50.00 %" in text
    (folder,) = tmp_path.glob("wandb/offline-run-*")
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())  # older SDKs: in their own file only
    assert b"training prints" in kept
    assert b"MONITOR" not in kept
    log = folder / "files" / "output.log"
    assert not log.exists() or "\x1b" not in log.read_text()
