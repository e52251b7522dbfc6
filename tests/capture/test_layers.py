"""Top layers of seed modules: exactly K each, the largest means, the broken ones first, the same ones every time."""

import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karn_wandb.capture.layers import SeedLayerMeans, compact
from karn_wandb.records import SEED_LAYER_NORM, SeedLayerNorm, SeedLayerNorms, SeedLayers, SeedStage


@dataclass
class Slot:
    """What is asked of a slot here."""

    seed_id: str | None
    stage: SeedStage = SeedStage.TRAINING


EARLY, LATE = Slot("early-1"), Slot("late-4", SeedStage.BLENDING)
SLOTS = {"early": EARLY, "late": LATE}


def means(*batches):
    made = SeedLayerMeans()
    for norms in batches:
        made.observe(norms)
    return made


def top(batches, top_k, slots=SLOTS):
    """(slot, layer, value) of the summaries."""
    return [(s.slot_id, s.layer, s.value) for s in means(*batches).summaries(1, slots, top_k)]


def test_two_seed_modules_give_exactly_three_layers_each_with_their_attributes():
    """The requirement's own case: K = 3, two seed modules of five and four layers."""
    early = {"conv.0": 1.0, "conv.1": 5.0, "norm": 3.0, "head": 4.0, "scale": 2.0}
    late = {"q": 0.1, "k": 0.4, "v": 0.3, "o": 0.2}
    found = means({"early": early, "late": late}).summaries(7, SLOTS, top_k=3)
    assert found == (
        SeedLayerNorm("early", "early-1", SeedStage.TRAINING, "conv.1", 5.0, 7),
        SeedLayerNorm("early", "early-1", SeedStage.TRAINING, "head", 4.0, 7),
        SeedLayerNorm("early", "early-1", SeedStage.TRAINING, "norm", 3.0, 7),
        SeedLayerNorm("late", "late-4", SeedStage.BLENDING, "k", 0.4, 7),
        SeedLayerNorm("late", "late-4", SeedStage.BLENDING, "v", 0.3, 7),
        SeedLayerNorm("late", "late-4", SeedStage.BLENDING, "o", 0.2, 7),
    )
    assert {(s.name, s.unit) for s in found} == {(SEED_LAYER_NORM, "grad")}


def test_a_value_is_the_mean_over_the_batches_that_gave_the_layer_a_gradient():
    batches = [{"early": {"a": 1.0, "b": 4.0}}, {"early": {"a": 2.0}}, {}, {"early": {}}]
    assert top(batches, 3) == [("early", "b", 4.0), ("early", "a", 1.5)]


def test_ties_go_by_name_and_not_by_who_came_first():
    assert top([{"early": {"c": 1.0, "b": 1.0, "a": 1.0}}], 2) == [("early", "a", 1.0), ("early", "b", 1.0)]


def test_nan_and_infinite_layers_come_first_and_are_stored_exactly():
    batches = [{"early": {"big": 1e300, "nan": 1.0, "inf": 1.0, "calm": 0.0}}, {"early": {"nan": math.nan, "inf": math.inf}}]
    (_, inf, first), (_, nan, second), (_, big, third) = top(batches, 3)
    assert (inf, nan, big) == ("inf", "nan", "big")
    assert first == math.inf
    assert math.isnan(second)
    assert third == 1e300


def test_after_an_epoch_it_starts_over():
    made = means({"early": {"a": 5.0}})
    assert len(made.summaries(1, SLOTS, 3)) == 1
    assert made.summaries(2, SLOTS, 3) == ()
    made.observe({"early": {"a": 1.0}})
    assert [s.value for s in made.summaries(3, SLOTS, 3)] == [1.0]


@pytest.mark.parametrize("stage", [SeedStage.DORMANT, SeedStage.PRUNED, SeedStage.EMBARGOED, SeedStage.RESETTING])
def test_a_slot_whose_seed_module_is_gone_is_left_out(stage):
    assert top([{"early": {"a": 1.0}, "late": {"b": 2.0}}], 3, {"early": Slot(None, stage), "late": LATE}) == [("late", "b", 2.0)]


def test_what_was_forgotten_is_not_mixed_into_the_next_seed_module_s():
    made = means({"early": {"a": 9.0, "old": 9.0}})
    made.forget("early")
    made.forget("never seen")
    made.observe({"early": {"a": 1.0}})
    assert [(s.layer, s.value) for s in made.summaries(1, SLOTS, 3)] == [("a", 1.0)]


layers = st.dictionaries(st.text(max_size=2), st.floats(0, 1e6) | st.sampled_from([math.nan, math.inf]), max_size=6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.fixed_dictionaries({}, optional={"early": layers, "late": layers}), max_size=4), st.integers(1, 5))
def test_each_seed_module_gives_min_of_k_and_its_layers_and_no_left_out_layer_is_larger(batches, top_k):
    found = means(*batches).summaries(1, SLOTS, top_k)
    for slot_id in SLOTS:
        seen = [batch.get(slot_id, {}) for batch in batches]
        norms = {name: [batch[name] for batch in seen if name in batch] for batch in seen for name in batch}
        reference = {name: math.fsum(values) / len(values) for name, values in norms.items()}
        reported = {s.layer: s.value for s in found if s.slot_id == slot_id}
        assert len(reported) == min(top_k, len(reference))
        assert all(value == pytest.approx(reference[name], nan_ok=True) for name, value in reported.items())
        rest = [value for name, value in reference.items() if name not in reported]
        broken = [value for value in reported.values() if not math.isfinite(value)]
        assert all(math.isfinite(value) for value in rest) or len(broken) == top_k
        smallest = min((value for value in reported.values() if math.isfinite(value)), default=math.inf)
        assert all(value <= smallest * (1 + 1e-9) for value in rest if math.isfinite(value))


@settings(max_examples=50, deadline=None)
@given(layers, st.integers(1, 5), st.randoms(use_true_random=False))
def test_the_order_of_the_layers_changes_nothing(norms, top_k, random):
    shuffled = list(norms.items())
    random.shuffle(shuffled)
    once, again = (means({"early": drawn}).summaries(1, SLOTS, top_k) for drawn in (norms, dict(shuffled)))
    assert once == again


def test_compact_says_the_same_in_one_record():
    found = means({"early": {"a": 1.0, "b": 2.0}, "late": {"a": math.nan}}).summaries(3, SLOTS, 3)
    assert compact(found) == SeedLayerNorms(
        3,
        {
            "early": SeedLayers("early-1", SeedStage.TRAINING, {"b": 2.0, "a": 1.0}),
            "late": SeedLayers("late-4", SeedStage.BLENDING, {"a": math.nan}),
        },
    )


def test_there_is_no_compact_record_of_nothing():
    assert compact(()) is None
