"""What control runs show, as records: stored exactly, and nothing that is not known is a zero."""

from __future__ import annotations

import pytest

from karn_wandb.errors import RecordError
from karn_wandb.records import CausalContributions, ExperimentAggregation, RemovalCost, SlotContribution

CAUSAL = ExperimentAggregation(run_ids=("a", "b"), mean_delta=None, std_delta=None, p_value=None, cohens_d=None)


def test_a_removal_cost_is_with_minus_without():
    assert RemovalCost("0", "a", 9, value_with=90.0, value_without=88.5).cost == 1.5


def test_what_was_not_measured_is_none():
    bare = SlotContribution("early", CAUSAL)
    assert {bare.removal, bare.difference, bare.p_causal, bare.p_removal, bare.p_difference} == {None}
    assert (bare.removals, bare.not_evaluated, bare.grown, bare.warnings) == ((), (), (), ())


def test_it_is_read_back_equal():
    slot = SlotContribution("early", CAUSAL, p_causal=0.5, removals=(RemovalCost("0", "a", 9, 90.0, 88.5),), grown=("a",))
    found = CausalContributions("final_accuracy", "disabled_slot", "base_seed", 0.95, "controller = heuristic", (slot,))
    assert CausalContributions.from_plain(found.to_plain()) == found


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RemovalCost("0", "a", -1, 90.0, 88.5), "RemovalCost.epoch must be at least 0; got -1."),
        (lambda: SlotContribution("early", CAUSAL, p_causal=1.5), "SlotContribution.p_causal must be between 0 and 1; got 1.5."),
        (
            lambda: CausalContributions("m", "k", "s", 95, "", ()),
            "CausalContributions.confidence must be between 0.5 and 0.9999; got 95.0.",
        ),
    ],
)
def test_bad_input_is_refused_in_words(make, message):
    with pytest.raises(RecordError) as raised:
        make()
    assert str(raised.value) == message
