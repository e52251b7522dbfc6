"""Standard, research, or research for a while after an anomaly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karn_wandb.analysis import Mode
from karn_wandb.records import DenseTraceTrigger, KarnConfig

ANOMALIES = (
    "loss_spike",
    "accuracy_drop",
    "gradient_explosion",
    "non_finite",
    "dead_layer",
    "value_collapse",
    "entropy_collapse",
)
ORDINARY = ("stage_transition", "gate_failure")


def adaptive(window=5):
    return Mode(KarnConfig(mode="adaptive", escalation_epochs=window))


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (KarnConfig(), "standard"),
        (KarnConfig(mode="research"), "research"),
        (KarnConfig(mode="adaptive"), "standard"),
        (KarnConfig(mode="standard", trigger=DenseTraceTrigger(force_dense=True)), "research"),
        (KarnConfig(mode="adaptive", trigger=DenseTraceTrigger(force_dense=True)), "research"),
    ],
)
def test_the_mode_at_the_beginning_is_the_one_configured(config, name):
    mode = Mode(config)
    assert mode.name == name
    assert mode.research is (name == "research")


@pytest.mark.parametrize("name", ["standard", "research"])
def test_only_the_adaptive_mode_ever_changes(name):
    mode = Mode(KarnConfig(mode=name))
    mode.escalate(1, "loss_spike")
    assert mode.name == name
    mode.observe_epoch(100)
    assert mode.name == name


@pytest.mark.parametrize("reason", ANOMALIES)
def test_an_anomaly_escalates_at_once_for_the_rest_of_its_epoch_and_the_window_after_it(reason):
    mode = adaptive(window=2)
    mode.observe_epoch(2)
    mode.escalate(3, reason)
    seen = [mode.name]
    for epoch in (3, 4, 5):
        mode.observe_epoch(epoch)
        seen.append(mode.name)
    assert seen == ["research", "research", "research", "standard"], "in epochs 3, 4, 5 and 6"


@pytest.mark.parametrize("reason", ORDINARY)
def test_ordinary_life_does_not_escalate(reason):
    mode = adaptive()
    mode.escalate(1, reason)
    assert not mode.research


def test_an_anomaly_seen_at_the_end_of_an_epoch_escalates_the_whole_window_after_it():
    first, last = adaptive(window=1), adaptive(window=1)
    for mode, calls in ((first, ("observe", "escalate")), (last, ("escalate", "observe"))):
        for call in calls:
            mode.observe_epoch(4) if call == "observe" else mode.escalate(4, "accuracy_drop")
        assert mode.research, "in epoch 5, whichever is heard of first"
        mode.observe_epoch(5)
        assert not mode.research


def test_a_late_report_of_an_old_anomaly_does_not_shorten_the_window():
    mode = adaptive(window=3)
    mode.escalate(5, "loss_spike")
    mode.escalate(1, "loss_spike")
    mode.observe_epoch(7)
    assert mode.research, "in epoch 8"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from(ANOMALIES + ORDINARY), max_size=3), max_size=30), st.integers(1, 6))
def test_it_is_escalated_exactly_in_the_epochs_within_the_window_after_some_anomaly(reasons, window):
    """So it never flaps: between two anomalies of one window there is no epoch in standard mode."""
    mode = adaptive(window)
    anomalies = [epoch for epoch, fired in enumerate(reasons, start=1) if set(fired) & set(ANOMALIES)]
    for epoch, fired in enumerate(reasons, start=1):
        assert mode.research is any(0 < epoch - anomaly <= window for anomaly in anomalies), "before the epoch's own"
        for reason in fired:
            mode.escalate(epoch, reason)
        assert mode.research is any(0 <= epoch - anomaly <= window for anomaly in anomalies)
        mode.observe_epoch(epoch)
