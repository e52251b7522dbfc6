"""What holds now, what is told at once and how often, and how bad it is."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karn_wandb.analysis import HealthMonitor
from karn_wandb.analysis.health import ADVICE, LOST
from karn_wandb.analysis.ppo import PPODiagnosis
from karn_wandb.records import Alert, BatchMetrics, EpochSnapshot, HealthReport, HostSnapshot, KarnConfig, PPOUpdate

ANOMALIES = tuple(ADVICE)
ORDINARY = ("stage_transition", "gate_failure")
BAD_UPDATE = PPOUpdate(kl_divergence=0.5, explained_variance=-3.0, return_std=1.0, entropy=1.0)


def monitor(cooldown=5):
    return HealthMonitor(KarnConfig(alert_cooldown_epochs=cooldown))


def epoch(number, **host):
    return EpochSnapshot(number, HostSnapshot(number, **host))


def report(health, number=1, *, dropped_records=0, failures=()):
    return health.report(number, dropped_records=dropped_records, sink_lag=0, mode="standard", failures=failures)


class TestReport:
    def test_before_anything_happens_it_is_healthy(self):
        assert report(monitor(), 0) == HealthReport(0)

    def test_passes_on_what_the_pipeline_says_of_itself(self):
        given = monitor().report(3, dropped_records=0, sink_lag=7, mode="research", failures=())
        assert given == HealthReport(3, sink_lag=7, mode="research")

    def test_counts_values_that_are_not_finite(self):
        health = monitor()
        health.observe(BatchMetrics(1, 0, math.nan, host_grad_norm=math.inf))
        health.observe(BatchMetrics(1, 1, 0.5))
        assert report(health).non_finite_values == health.non_finite_values == 2

    def test_counts_how_often_each_trigger_fired_ordinary_ones_too(self):
        health = monitor()
        for reason in ("stage_transition", "loss_spike", "stage_transition", "gate_failure"):
            health.observe_firing(reason, "something", 1)
        assert report(health).triggers == {"gate_failure": 1, "loss_spike": 1, "stage_transition": 2}

    def test_doubts_accuracies_that_look_like_fractions(self):
        health = monitor()
        assert health.doubt == ""
        for number in (1, 2, 3):
            health.observe(epoch(number, val_accuracy=0.5))
        assert health.doubt.startswith("all accuracies so far are at or below 1.0")


class TestStatus:
    @pytest.mark.parametrize("reason", ANOMALIES)
    def test_is_a_warning_while_an_anomaly_holds(self, reason):
        health = monitor(cooldown=2)
        health.observe_firing(reason, "it happened", 3)
        told = f"it happened. {ADVICE[reason]}"
        seen = [(given.status, given.alerts) for given in (report(health, number) for number in range(2, 8))]
        assert seen == [("warning", (told,))] * 4 + [("healthy", ())] * 2, "until epoch 5, two epochs after it"

    @pytest.mark.parametrize("reason", ORDINARY)
    def test_is_healthy_when_ordinary_triggers_fire(self, reason):
        health = monitor()
        health.observe_firing(reason, "something", 1)
        assert (report(health).status, report(health).alerts, health.alerts(1)) == ("healthy", (), ())

    def test_is_critical_when_records_are_dropped(self):
        given = report(monitor(), dropped_records=1)
        assert (given.status, given.alerts) == ("critical", (LOST,))

    def test_is_critical_when_a_sink_failed_and_says_so_before_what_is_less_bad(self):
        health = monitor()
        health.observe_firing("loss_spike", "loss 9 is 3 times its average", 1)
        given = report(health, failures=("sink wandb failed: no",))
        assert (given.status, given.alerts[0], len(given.alerts)) == ("critical", "sink wandb failed: no", 2)

    @pytest.mark.parametrize(
        ("broken", "repaired", "names"),
        [
            (BatchMetrics(1, 0, math.nan), BatchMetrics(1, 1, 0.5), "loss"),
            (epoch(1, train_loss=math.inf, val_loss=math.nan), epoch(2, train_loss=0.5), "train_loss, val_loss"),
            (PPOUpdate(policy_loss=-math.inf, value_loss=0.1), PPOUpdate(policy_loss=0.1), "policy_loss"),
        ],
    )
    def test_is_critical_while_the_newest_losses_are_not_finite(self, broken, repaired, names):
        health = monitor()
        health.observe(broken)
        assert report(health).status == "critical"
        assert f"not finite: {names}" in report(health).alerts
        health.observe(repaired)
        assert report(health).status != "critical"
        assert not any(alert.startswith("not finite") for alert in report(health).alerts)

    def test_is_not_critical_for_other_numbers_that_are_not_finite(self):
        health = monitor()
        health.observe(BatchMetrics(1, 0, 0.5, host_grad_norm=math.inf))
        assert report(health).status == "healthy"

    def test_is_a_warning_when_something_below_us_has_trouble(self):
        health = monitor()
        health.observe_trouble("disk", "the disk is nearly full")
        assert (report(health).status, report(health).alerts) == ("warning", ("the disk is nearly full",))
        assert health.alerts(1) == (Alert("disk", "the disk is nearly full", 1, "error"),)


class TestAlerts:
    def test_say_what_happened_and_what_to_do(self):
        health = monitor()
        health.observe_firing("loss_spike", "loss 9 is 3 times its average", 4)
        health.observe_firing("non_finite", "loss is nan.", 4)
        health.observe_firing("dead_layer", "", 4)
        health.observe_firing("a trigger of a later version", "news", 4)
        assert health.alerts(4) == (
            Alert("loss_spike", f"loss 9 is 3 times its average. {ADVICE['loss_spike']}", 4),
            Alert("non_finite", f"loss is nan. {ADVICE['non_finite']}", 4, "error"),
            Alert("dead_layer", f"dead layer. {ADVICE['dead_layer']}", 4),
            Alert("a trigger of a later version", "news", 4),
        )

    def test_are_told_once(self):
        health = monitor()
        health.observe_firing("loss_spike", "once", 4)
        assert len(health.alerts(4)) == 1
        assert health.alerts(4) == health.alerts(100) == ()

    def test_that_cooled_down_are_told_with_what_happens_then_and_not_with_what_happened_meanwhile(self):
        health = monitor(cooldown=2)
        for number, expected in ((1, "event 1"), (2, None), (3, None), (4, "event 4")):
            health.observe_firing("loss_spike", f"event {number}", number)
            texts = [alert.text.split(".")[0] for alert in health.alerts(number)]
            assert texts == ([expected] if expected else [])
        health.observe_firing("loss_spike", "event 6", 6)
        health.alerts(6)
        assert health.alerts(9) == (), "what happened in epoch 6 is no news in epoch 9"

    def test_without_cooling_down_are_told_once_an_epoch(self):
        health = monitor(cooldown=0)
        told = []
        for number in (1, 1, 2, 2):
            health.observe_firing("loss_spike", "again", number)
            told.append(len(health.alerts(number)))
        assert told == [1, 0, 1, 0]

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.lists(st.sampled_from(ANOMALIES + ORDINARY), max_size=4), max_size=25), st.integers(0, 4))
    def test_of_a_kind_are_told_exactly_when_none_was_in_the_epochs_before(self, reasons, cooldown):
        health = monitor(cooldown)
        newest = {}
        for number, fired in enumerate(reasons, start=1):
            expected = []
            for reason in fired:
                health.observe_firing(reason, "again", number)
                if reason not in ORDINARY and number - newest.get(reason, -100) > cooldown:
                    newest[reason] = number
                    expected.append(reason)
            assert [alert.kind for alert in health.alerts(number)] == expected
            health.observe(epoch(number))


class TestPolicyTraining:
    def test_is_diagnosed_and_told_in_the_epoch_in_training(self):
        health = monitor()
        findings = PPODiagnosis().observe(BAD_UPDATE)
        assert "kl_divergence" in {finding.kind for finding in findings}
        health.observe(epoch(7))
        health.observe(BAD_UPDATE)
        assert health.alerts(8) == tuple(Alert(f.kind, f.text, 8, f.level) for f in findings)
        assert report(health, 7).alerts == tuple(f.text for f in findings)
        assert report(health, 7).status == "warning"

    def test_holds_until_the_epochs_of_the_cool_down_have_passed(self):
        health = monitor(cooldown=2)
        health.observe(epoch(7))
        health.observe(BAD_UPDATE)
        assert [report(health, number).status for number in (8, 10, 11)] == ["warning", "warning", "healthy"]


def test_a_long_bad_episode_keeps_one_entry_for_each_kind():
    health = monitor(cooldown=1)
    for number in range(1, 200):
        for reason in ANOMALIES + ORDINARY:
            health.observe_firing(reason, f"in epoch {number}", number)
        health.alerts(number)
        health.observe(epoch(number))
    given = report(health, 199)
    assert len(given.alerts) == len(ANOMALIES)
    assert all("in epoch 199" in alert for alert in given.alerts)
    assert sum(given.triggers.values()) == 199 * len(ANOMALIES + ORDINARY)
