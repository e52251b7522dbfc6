"""What `karn-wandb show` prints; names from runs are text, never markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from karn_wandb.charts import evaluation_error
from karn_wandb.experiment.decide import default_claims
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.report.arms import arms_of
from karn_wandb.experiment.report.tables import runs
from karn_wandb.experiment.report.words import count, interval, number, sentence
from karn_wandb.pipeline import standing
from karn_wandb.printable import printable
from karn_wandb.records import (
    ClaimReading,
    CounterfactualMatrix,
    DenseTrace,
    EpochSnapshot,
    HealthReport,
    Record,
    TelemetryEvent,
)

R = TypeVar("R", bound=Record)

ORDINARY = frozenset({"stage_transition", "gate_failure", "force_dense"})
"""Reasons of dense traces that are no anomalies: counted, not listed."""


def runs_table(experiment: Experiment) -> Table:
    """A row for every run."""
    episodes = experiment.episodes
    found = runs(episodes, arms_of(episodes, default_claims(episodes)), ())
    rows = [
        (
            run.run_id,
            run.name,
            run.arm,
            _whole(run.base_seed),
            run.state,
            _whole(run.epochs),
            number(run.final_accuracy),
            _whole(run.total_params),
            run.reason,
        )
        for run in found
    ]
    columns = ("run", "name", "arm", "seed", "state", "epochs", "accuracy (%)", "parameters", "why not finished")
    return _table(columns, rows, {"seed", "epochs", "accuracy (%)", "parameters"})


def run_parts(experiment: Experiment, run_id: str) -> Iterator[RenderableType]:
    """What is known of one run: whether it is winning, why, its stages, its anomalies.

    Raises:
        SourceError: There is no such run.
    """
    events = standing(experiment.events(run_id))
    rows = experiment.episodes[experiment.episodes["run_id"] == run_id]
    state, reason = str(rows["state"].iloc[-1]), rows["reason"].iloc[-1]
    yield Text(
        f"{printable(run_id)}: {state}" + (f" ({printable(reason)})" if isinstance(reason, str) and reason else ""), "bold"
    )
    episodes = sorted({(event.env_id, event.episode_idx) for event in events if isinstance(event.data, EpochSnapshot)})
    if len(episodes) > 1:
        yield Text(f"It holds {len(episodes)} episodes; this is environment {episodes[-1][0]}, episode {episodes[-1][1]}.")
        events = tuple(event for event in events if (event.env_id, event.episode_idx) == episodes[-1])
    snapshots = _of(events, EpochSnapshot)
    yield from _part("Is it winning?", _winning(snapshots, _of(events, ClaimReading)))
    yield from _part("Why?", _why(_of(events, CounterfactualMatrix)))
    yield from _part("Stages", _stages(snapshots))
    yield from _part("Anomalies", _anomalies(events))


def _of(events: Sequence[TelemetryEvent], kind: type[R]) -> list[R]:
    return [event.data for event in events if isinstance(event.data, kind)]


def _part(heading: str, content: Iterator[RenderableType]) -> Iterator[RenderableType]:
    yield Text(f"\n{heading}", "bold")
    yield from content


def _winning(snapshots: Sequence[EpochSnapshot], readings: Sequence[ClaimReading]) -> Iterator[RenderableType]:
    if not snapshots:
        yield Text("No epoch was logged.")
        return
    host = snapshots[-1].host
    yield Text(
        f"Epoch {host.epoch}: accuracy {number(host.val_accuracy)} %, loss {number(host.val_loss)}, "
        f"parameters {_whole(host.total_params)} (host {_whole(host.host_params)})."
    )
    known = [reading for reading in readings if reading.accuracy_delta is not None]
    if not known:
        yield Text("No host-only run is known to it, so nothing says whether it is winning.")
        return
    last = known[-1]
    yield Text(
        f"{number(last.accuracy_delta, signed=True)} percentage points against the paired host-only run at epoch {last.epoch} "
        f"({number(last.accuracy)} % against {number(last.baseline_accuracy)} %)."
    )
    yield Text("One pair says nothing about other random seeds: karn-wandb report compares many.")


def _why(matrices: Sequence[CounterfactualMatrix]) -> Iterator[RenderableType]:
    if not matrices:
        yield Text("No coalitions of slots were evaluated.")
        return
    matrix = matrices[-1]
    cut = "" if matrix.complete else f"; cut short: {printable(matrix.stop_reason)}"
    yield Text(f"Epoch {matrix.epoch}, by {matrix.metric}{cut}")
    columns = ("slot", "Shapley value", "95 % interval", matrix.marginal_basis.replace("_", " "))
    shown = columns[:3] if matrix.marginal_basis == "none" else columns
    slots = dict.fromkeys((*matrix.slot_ids, *(matrix.shapley_values or ()), *matrix.marginal_contributions))
    yield _table(shown, [_slot(matrix, slot)[: len(shown)] for slot in slots], set(shown[1:]))
    yield from _certainty(matrix)
    yield from _interactions(matrix)
    yield Text(str(matrix.validity))


def _certainty(matrix: CounterfactualMatrix) -> Iterator[RenderableType]:
    """What the intervals rest on, as far as it is known."""
    examples = "" if matrix.n_examples is None else count(matrix.n_examples, "validation example")
    how = evaluation_error((matrix.shapley_values or {}).values())
    said = [sentence(part) for part in (" on ".join(filter(None, (how, examples))), printable(matrix.early_stop)) if part]
    if said:
        yield Text(" ".join(said))


def _interactions(matrix: CounterfactualMatrix) -> Iterator[RenderableType]:
    """Pairs whose regime is decided; the others are counted."""
    decided = {pair: e for pair, e in matrix.interactions.items() if e.regime != "undecided"}
    columns = ("pair", "interaction", "95 % interval", "regime")
    rows = [
        (" + ".join(pair), number(e.effect, signed=True), interval(e.ci_low, e.ci_high), e.regime) for pair, e in decided.items()
    ]
    if rows:
        yield _table(columns, rows, {"interaction", "95 % interval"})
    undecided = len(matrix.interactions) - len(decided)
    if undecided:
        yield Text(f"{count(undecided, 'pair')} of slots: interaction undecided.")


def _slot(matrix: CounterfactualMatrix, slot: str) -> tuple[str, ...]:
    estimate = (matrix.shapley_values or {}).get(slot)
    return (
        slot,
        number(estimate.mean, signed=True) if estimate else "–",
        interval(estimate.ci_low, estimate.ci_high) if estimate else "–",
        number(matrix.marginal_contributions.get(slot), signed=True),
    )


def _stages(snapshots: Sequence[EpochSnapshot]) -> Iterator[RenderableType]:
    by_slot: dict[str, list[tuple[int, str]]] = {}
    for snapshot in snapshots:
        for slot, state in snapshot.slots.items():
            by_slot.setdefault(slot, []).append((snapshot.epoch, state.stage.name))
    if not by_slot:
        yield Text("No slot was logged.")
        return
    yield _table(("slot", "stages, with their epochs"), [(slot, _spans(seen)) for slot, seen in by_slot.items()], set())


def _spans(seen: Sequence[tuple[int, str]]) -> str:
    """Stages in their order, each with its first and last epoch: "TRAINING 1–4, BLENDING 5"."""
    spans = []
    for stage, group in groupby(seen, key=lambda entry: entry[1]):
        epochs = [epoch for epoch, _ in group]
        spans.append(f"{stage} {epochs[0]}" + (f"–{epochs[-1]}" if len(epochs) > 1 else ""))
    return ", ".join(spans)


def _anomalies(events: Sequence[TelemetryEvent]) -> Iterator[RenderableType]:
    traces = _of(events, DenseTrace)
    found = [
        f"Dense trace of epochs {trace.window_start_epoch} to {trace.window_end_epoch}: {trace.trigger_reason}"
        + (f" ({trace.message})" if trace.message else "")
        for trace in traces
        if trace.trigger_reason not in ORDINARY
    ]
    ordinary = Counter(trace.trigger_reason for trace in traces if trace.trigger_reason in ORDINARY)
    found += [f"{count(times, 'dense trace')} of {reason}, as a matter of course" for reason, times in ordinary.items()]
    reports = _of(events, HealthReport)
    found += dict.fromkeys(alert for report in reports for alert in report.alerts)
    if reports and reports[-1].non_finite_values:
        found.append(f"{count(reports[-1].non_finite_values, 'value')} NaN or infinite")
    if reports and reports[-1].dropped_records:
        found.append(f"{count(reports[-1].dropped_records, 'record')} dropped")
    found += [
        f"{event.severity}: {event.message}" for event in events if event.severity not in ("debug", "info") and event.message
    ]
    for line in found or ["None were recorded."]:
        yield Text(printable(line))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: set[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(Text(column), justify="right" if column in numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
