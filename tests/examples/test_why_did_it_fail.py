"""The example fails as it says, and its dense traces name what happened and the layers it left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import examples
import karn_wandb

pytestmark = pytest.mark.offline

SCRIPT = Path(examples.__file__).parent / "02_why_did_it_fail.py"
FAULT = "brightness = 255 if"


def traces_of(source: str) -> list[karn_wandb.DenseTrace]:
    """Run the example; the dense traces that its record log holds."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, str(SCRIPT), "exec"), names)  # noqa: S102 -- the example itself
    run = names["run"]
    records = karn_wandb.load_experiment(run.records_path).records(run.id)
    return [record for record in records if isinstance(record, karn_wandb.DenseTrace)]


def test_it_is_at_most_forty_lines():
    assert len(SCRIPT.read_text().splitlines()) <= 40


def test_the_traces_hold_the_bad_batch_and_the_layers(offline_folder, capsys):
    traces = {trace.trigger_reason: trace for trace in traces_of(SCRIPT.read_text())}
    assert set(traces) == {"gradient_explosion", "loss_spike", "accuracy_drop"}
    exploded = traces["gradient_explosion"]
    worst = max(exploded.batch_metrics, key=lambda batch: batch.host_grad_norm)
    assert (worst.epoch, worst.batch_idx) == (4, 10)
    assert exploded.cause["host_grad_norm"] == worst.host_grad_norm > exploded.cause["host_grad_norm/limit"]
    assert set(exploded.gradient_flow) == set(exploded.gradient_histograms) == {"hidden", "output"}
    assert exploded.dead_neuron_counts["hidden"] >= 5
    assert f"gradient_explosion: {exploded.message}" in capsys.readouterr().out


def test_without_the_bad_batch_there_is_no_trace(offline_folder):
    source = SCRIPT.read_text()
    assert FAULT in source
    assert traces_of(source.replace(FAULT, "brightness = 1 if")) == []
