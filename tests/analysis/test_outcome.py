"""How an episode ended: what was logged of it, None where nothing was."""

from karn_wandb.analysis import Lifecycle, MorphogeneticAnalytics, episode_outcome
from karn_wandb.records import (
    EpisodeOutcome,
    EpochSnapshot,
    FactoredAction,
    HostBaseline,
    HostSnapshot,
    PolicySnapshot,
    SeedStage,
    SlotSnapshot,
)


def epoch(number, stage=SeedStage.DORMANT, **host):
    return EpochSnapshot(number, HostSnapshot(number, **host), {"early": SlotSnapshot("early", stage)})


def outcome_of(*records, **how):
    analytics, lifecycle = MorphogeneticAnalytics(), Lifecycle()
    for record in records:
        analytics.observe(record)
        if isinstance(record, EpochSnapshot):
            lifecycle.observe(record)
    return episode_outcome(analytics, lifecycle, **{"state": "finished", **how})


def test_an_episode_of_which_nothing_was_logged_has_no_numbers():
    assert outcome_of() == EpisodeOutcome(epochs=0)


def test_everything_is_of_the_last_epoch_and_the_best_of_any():
    records = (
        HostBaseline(2.3, host_only_trajectory={1: 40.0, 2: 42.0}),
        PolicySnapshot((), FactoredAction("GERMINATE"), reward_total=1.5),
        epoch(1, SeedStage.TRAINING, val_accuracy=46.0, val_loss=1.1),
        epoch(2, SeedStage.FOSSILIZED, val_accuracy=45.0, val_loss=1.2, host_params=100, total_seed_params=23, total_params=123),
    )
    assert outcome_of(*records) == EpisodeOutcome(
        epochs=2,
        final_accuracy=45.0,
        final_loss=1.2,
        best_accuracy=46.0,
        total_params=123,
        param_ratio=1.23,
        accuracy_delta=3.0,
        fossilized=1,
        germinated=1,
        reward_total=1.5,
    )


def test_a_last_epoch_that_measured_nothing_has_neither_a_final_accuracy_nor_a_delta():
    outcome = outcome_of(HostBaseline(2.3, final_host_only_accuracy=40.0), epoch(1, val_accuracy=46.0), epoch(2))
    assert (outcome.final_accuracy, outcome.accuracy_delta, outcome.best_accuracy) == (None, None, 46.0)


def test_epochs_are_those_completed_also_when_not_each_was_logged():
    assert outcome_of(epoch(5, val_accuracy=1.5), epoch(10)).epochs == 10
    assert outcome_of(epoch(0)).epochs == 0


def test_a_failure_keeps_its_reason_and_what_was_dropped():
    outcome = outcome_of(epoch(1), state="failed", reason="OutOfMemoryError: no room", dropped_records=3)
    assert (outcome.state, outcome.reason, outcome.dropped_records) == ("failed", "OutOfMemoryError: no room", 3)
