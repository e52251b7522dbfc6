"""docs/capture.md says what the code does: its tables name every trigger and finding with the thresholds they have."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import pytest
import torch

import docs
from karn_wandb import BatchMetrics, DenseTraceTrigger, KarnConfig
from karn_wandb.analysis import baselines, collapse, modes, ppo, traces, triggers
from karn_wandb.analysis.health import ADVICE
from karn_wandb.capture import PendingBatches
from karn_wandb.episode import EpisodeLog
from karn_wandb.pipeline import KarnCollector

PAGE = (Path(docs.__file__).parent / "capture.md").read_text()
REASONS = {field.name.removesuffix("_threshold"): field for field in fields(DenseTraceTrigger)}


def table(heading: str) -> dict[str, str]:
    """Rows of the first table below a heading, by the name in their first cell."""
    lines = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0].splitlines()
    return {line.split("`")[1]: line for line in lines if line.startswith("| `")}


def test_the_table_of_triggers_names_every_reason_and_no_other():
    assert set(table("Triggers of dense traces")) == set(REASONS)
    assert set(REASONS) == {*ADVICE, *modes.ORDINARY, "force_dense"}


@pytest.mark.parametrize("reason", REASONS)
def test_the_table_of_triggers_has_the_default_threshold(reason):
    field = REASONS[reason]
    assert f"`{field.name}={field.default}`" in table("Triggers of dense traces")[reason]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("loss_spike", f"{baselines.BATCHES.warm_up} batches, or {baselines.EPOCHS.warm_up} epochs"),
        ("loss_spike", f"{baselines.BATCHES.calm} batches ({baselines.EPOCHS.calm} epoch)"),
        ("loss_spike", f"{baselines.BATCHES.lasting} batches ({baselines.EPOCHS.lasting} epochs)"),
        ("gradient_explosion", f"{baselines.BATCHES.warm_up} batches, or {baselines.EPOCHS.warm_up} epochs"),
        ("non_finite", f"{triggers.OVERFLOWS} batches in a row"),
        ("non_finite", f"after {baselines.BATCHES.calm} finite batches"),
        ("dead_layer", f"for {triggers.DEAD_BATCHES} batches"),
        ("value_collapse", f"at most {collapse.FLAT:.0%}".replace("%", " %")),
        ("value_collapse", f"{collapse.WARM_UP_UPDATES} updates, or {collapse.WARM_UP_DECISIONS} decisions"),
        ("entropy_collapse", f"at most {collapse.CERTAIN:.0%}".replace("%", " %")),
        ("entropy_collapse", f"{collapse.EXPLORED:g} nats"),
        ("entropy_collapse", f"{collapse.UPDATES} updates, or {collapse.DECISIONS} decisions"),
        ("force_dense", f"{traces.LONGEST} batches"),
    ],
)
def test_the_table_of_triggers_has_the_numbers_of_the_code(reason, words):
    assert words in table("Triggers of dense traces")[reason]


def test_what_noise_explains_has_the_numbers_of_the_code():
    noise = f"mean plus {baselines.TWICE:g} upward deviations"
    assert noise in " ".join(PAGE.split())
    assert f"last {baselines.BATCHES.window} batches ({baselines.EPOCHS.window} epochs)" in " ".join(PAGE.split())


def test_the_table_of_ppo_names_every_finding_and_when_it_is_told():
    rows = table("PPO")
    assert set(rows) == {symptom.kind for symptom in ppo.SYMPTOMS}
    for symptom in ppo.SYMPTOMS:
        lasting = f"{symptom.patience.needed} of {symptom.patience.window} updates"
        assert ("at once" if symptom.patience == ppo.AT_ONCE else lasting) in rows[symptom.kind]


@pytest.mark.parametrize(
    ("kind", "threshold"),
    [
        ("kl_divergence", f"above {ppo.HIGH_KL:g} nats"),
        ("kl_vanishing", f"below {ppo.NO_KL:g} nats"),
        ("ratio_clipping", f"{100 * ppo.CLIPPED:g} %"),
        ("lstm_saturation", f"{100 * ppo.SATURATED:g} %"),
    ],
)
def test_the_table_of_ppo_has_the_thresholds(kind, threshold):
    assert threshold in table("PPO")[kind]


def test_the_settings_are_named_with_their_defaults():
    config = KarnConfig()
    for name in ("escalation_epochs", "histogram_bins", "trace_batches", "alert_cooldown_epochs"):
        assert f"`{name}` ({getattr(config, name)})" in PAGE


def attached() -> tuple[torch.nn.Module, EpisodeLog]:
    model, log = torch.nn.Linear(3, 2), EpisodeLog(KarnCollector())
    log.attach(model)
    return model, log


def batches_of(log: EpisodeLog) -> tuple[BatchMetrics, ...]:
    return tuple(event.data for event in log.collector.log.events() if isinstance(event.data, BatchMetrics))


def train(model: torch.nn.Module, log: EpisodeLog, **values: float) -> None:
    model.zero_grad()
    loss = model(torch.ones(1, 3)).sum()
    loss.backward()
    log.log_batch(loss=loss, **values)


def test_numbers_come_to_the_host_every_32_batches_and_with_whatever_else_is_logged():
    model, log = attached()
    for _ in range(PendingBatches()._interval - 1):
        train(model, log)
    assert len(batches_of(log)) == 0
    train(model, log)
    assert len(batches_of(log)) == PendingBatches()._interval == 32
    train(model, log)
    log.log_ppo_update(policy_loss=1.0)
    assert len(batches_of(log)) == 33


def test_gradients_are_those_there_are_when_the_batch_is_logged_and_what_is_passed_wins():
    model, log = attached()
    train(model, log)
    train(model, log, host_grad_norm=5.0)
    loss = model(torch.ones(1, 3)).sum()
    model.zero_grad()
    log.log_batch(loss=loss)
    loss.backward()
    model.zero_grad(set_to_none=False)
    log.log_batch(loss=loss)
    log.log_epoch()
    norms = [batch.host_grad_norm for batch in batches_of(log)]
    assert norms[0] == pytest.approx(math.sqrt(8))
    assert norms[1:] == [5.0, None, 0.0]
