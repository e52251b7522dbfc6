"""Events as W&B rows: what comes back is equal, whatever W&B did to the row on the way."""

import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import event_sequences, events, jsons, texts

from karn_wandb.errors import RecordError
from karn_wandb.records import (
    BatchMetrics,
    CounterfactualMatrix,
    CounterfactualResult,
    EpochSnapshot,
    FactoredAction,
    HostSnapshot,
    PolicySnapshot,
    RatioStats,
    Record,
    RewardComponents,
    SeedLayerNorm,
    SeedStage,
    SlotSnapshot,
    TelemetryEvent,
    TelemetryEventType,
)
from karn_wandb.schema import (
    CLOCKS,
    EPISODE,
    KEYS,
    PART,
    PARTS,
    REST,
    clock_of,
    decode_row,
    decode_rows,
    encode_row,
    encode_rows,
    scope,
)

TYPE_OF = {
    EpochSnapshot: TelemetryEventType.EPOCH_COMPLETED,
    BatchMetrics: TelemetryEventType.BATCH_COMPLETED,
    PolicySnapshot: TelemetryEventType.DECISION_MADE,
    CounterfactualMatrix: TelemetryEventType.COUNTERFACTUAL_MATRIX_COMPUTED,
}


def event_of(record, **envelope):
    return TelemetryEvent(TYPE_OF[type(record)], data=record, tick=3, **envelope)


def columns_of(record, **envelope):
    row = encode_row(event_of(record, **envelope))
    return {key: value for key, value in row.items() if key != REST}


def through_wandb(row):
    """What W&B does to a row: JSON with sorted keys, and numbers that are whole come back as integers, 1.0 as 1."""
    return json.loads(json.dumps(row, sort_keys=True), parse_float=_shortest, parse_int=int)


def _shortest(text):
    number = float(text)
    return int(number) if number.is_integer() else number


@given(events())
def test_an_event_comes_back_equal_also_after_wandb_sorted_its_keys_and_shortened_its_numbers(event):
    row = encode_row(event)
    assert decode_row(row) == event
    assert decode_row(through_wandb(row)) == event


@given(events(), st.data())
def test_an_event_comes_back_equal_although_wandb_and_others_added_keys(event, data):
    """`step_sync` copies clock values into rows that lack them; W&B and half rows of the user add their own."""
    scopes = ("", scope(event.env_id), scope(event.env_id + 1))
    clocks = st.sampled_from([prefix + clock for prefix in scopes for clock in (*CLOCKS, EPISODE)])
    others = texts.filter(lambda key: "/" not in key) | st.sampled_from(["_step", "_runtime", "host/x", "slot/early", "trace/a"])
    added = data.draw(st.dictionaries(clocks | others, st.integers(0, 9) | st.floats(), max_size=5))
    assert decode_row({**added, **encode_row(event)}) == event


@given(events())
def test_columns_are_finite_numbers_that_json_keeps_exactly(event):
    for key, value in encode_row(event).items():
        if key != REST:
            assert type(value) in (int, float, bool)
            assert math.isfinite(value)
            assert abs(value) <= 2**53 or type(value) is float
            assert math.copysign(1, value) == math.copysign(1, int(value)) or value != 0, "-0.0 would lose its sign"


def test_a_derived_key_has_no_negative_zero():
    norm = SeedLayerNorm(seed_id=None, slot_id="early", layer="a", stage=SeedStage.TRAINING, epoch=1, value=-0.0)
    event = TelemetryEvent(event_type=TelemetryEventType.SEED_LAYER_NORM_MEASURED, timestamp=datetime.now(UTC), data=norm)
    row = encode_row(event)
    assert math.copysign(1, row["layer/early/a/grad_norm"]) == 1
    assert decode_row(row) == event


@given(events())
def test_a_row_carries_its_own_family_s_clock_under_its_environment_when_scoped(event):
    row = encode_row(event)
    prefix = scope(event.env_id) if event.scoped else ""
    assert all(key.startswith(scope(event.env_id)) == event.scoped for key in row if key != REST)
    found = {clock: row[prefix + clock] for clock in CLOCKS if prefix + clock in row}
    assert found == ({} if event.tick is None or event.tick > 2**53 else {clock_of(type(event.data)): event.tick})


@given(events())
def test_the_rest_does_not_say_again_what_a_column_says(event):
    """Every number is stored once: putting columns and rest together never writes over anything."""
    row = encode_row(event)
    prefix = scope(event.env_id) if event.scoped else ""
    rest = json.loads(row[REST])
    if not isinstance(event.data, Record):
        return
    whole = sum(1 for _ in _leaves(event.data.to_plain()))
    taken = [k for k in KEYS if k.path is not None and k.record is type(event.data)]
    columns = [key for key in row if key != REST and any(_fits(key.removeprefix(prefix), k.pattern) for k in taken)]
    left = sum(1 for _ in _leaves({k: v for k, v in rest["data"].items() if k != "$"}))
    assert whole == left + len(columns)


def _leaves(plain):
    if isinstance(plain, dict):
        for value in plain.values():
            yield from _leaves(value)
    else:
        yield plain


def _fits(key, pattern):
    here, there = key.split("/"), pattern.split("/")
    return len(here) == len(there) and all(p.startswith("<") or p == k for k, p in zip(here, there, strict=True))


@settings(max_examples=25)
@given(event_sequences(max_size=6))
def test_rows_of_a_run_come_back_in_order_among_rows_of_others(sequence):
    rows = [row for event in sequence for row in ({"loss": 0.1, "_step": 0}, encode_row(event))]
    assert tuple(decode_rows(rows)) == sequence


@settings(max_examples=25)
@given(event_sequences(max_size=6), st.integers(1, 40))
def test_texts_of_any_length_come_back_from_several_rows(sequence, longest):
    """Whatever stands between the rows; `longest` stands for W&B's own limit, which no example here reaches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("karn_wandb.schema.rows.LONGEST_TEXT", longest)
        rows = [row for event in sequence for made in encode_rows(event) for row in ({"loss": 0.1}, made)]
    assert all(len(row.get(key, "")) <= longest for row in rows for key in (REST, PART))
    assert tuple(decode_rows(map(through_wandb, rows))) == sequence


def test_an_event_of_ordinary_size_is_one_row():
    event = event_of(EpochSnapshot(1, HostSnapshot(1)))
    assert list(encode_rows(event)) == [encode_row(event)]


def test_a_delivery_that_was_cut_off_and_began_again_reads_back(monkeypatch):
    monkeypatch.setattr("karn_wandb.schema.rows.LONGEST_TEXT", 20)
    event = event_of(EpochSnapshot(1, HostSnapshot(1)))
    rows = list(encode_rows(event))
    assert len(rows) > 3
    assert tuple(decode_rows([*rows[:2], *rows])) == (event,)


def test_a_row_whose_beginning_is_lost_says_so(monkeypatch):
    monkeypatch.setattr("karn_wandb.schema.rows.LONGEST_TEXT", 20)
    *parts, last = encode_rows(event_of(EpochSnapshot(1, HostSnapshot(1))))
    with pytest.raises(RecordError) as caught:
        tuple(decode_rows([*parts[1:], last]))
    expected = f"a W&B row misses the beginning of its text; got {last[PARTS] - 1} of {last[PARTS]} parts."
    assert str(caught.value) == expected


def test_an_epoch_s_columns_have_the_contract_s_names():
    host = HostSnapshot(epoch=3, val_accuracy=71.5, host_params=100, total_seed_params=23, total_params=123, train_loss=math.nan)
    slot = SlotSnapshot("conv-1", SeedStage.BLENDING, alpha=0.5, seed_params=23, counterfactual_contribution=-1.5)
    assert columns_of(EpochSnapshot(3, host, {"conv-1": slot})) == {
        "epoch": 3,
        "host/val_accuracy": 71.5,
        "params/host": 100,
        "params/seed": 23,
        "params/total": 123,
        "params/ratio": 1.23,
        "slot/conv_x2d_1/stage": 4,
        "slot/conv_x2d_1/alpha": 0.5,
        "slot/conv_x2d_1/epochs_in_stage": 0,
        "slot/conv_x2d_1/seed_params": 23,
        "slot/conv_x2d_1/removal_cost": -1.5,
    }


def test_a_scoped_batch_s_columns_are_under_its_environment_beside_its_episode():
    batch = BatchMetrics(epoch=1, batch_idx=4, loss=0.5, seed_grad_norms={"late": 2.0})
    assert columns_of(batch, env_id=2, episode_idx=5, scoped=True) == {
        "env/2/batch_step": 3,
        "env/2/episode": 5,
        "env/2/batch/epoch": 1,
        "env/2/batch/index": 4,
        "env/2/batch/loss": 0.5,
        "env/2/batch/seed_grad_norm/late": 2.0,
    }


def test_a_decision_s_columns_reach_into_its_reward_and_statistics():
    decision = PolicySnapshot(
        observation_vector=(1.0,),
        action=FactoredAction("WAIT"),
        action_log_probs={"op": -0.1},
        reward_components=RewardComponents(compute_rent=-0.2, other={"mine": 0.3}),
        ratio_stats=RatioStats(1.0, 0.1, 0.2),
        regret=-0.4,
    )
    assert columns_of(decision) == {
        "decision": 3,
        "policy/log_prob/op": -0.1,
        "policy/regret": -0.4,
        "policy/was_masked": False,
        "reward/component/compute_rent": -0.2,
        "reward/other/mine": 0.3,
    }


def test_what_a_matrix_implies_is_drawn_beside_it():
    values = {(False, False): 60.0, (True, False): 61.0, (False, True): 62.0, (True, True): 65.0}
    results = tuple(CounterfactualResult(config, val_accuracy=value) for config, value in values.items())
    matrix = CounterfactualMatrix(epoch=3, configs=results, slot_ids=("a", "b"), interaction_effects={("a", "b"): 2.0})
    assert columns_of(matrix) == {"epoch": 3, "claim/removal_delta": 5.0, "interaction/a__b": 2.0}


def test_missing_is_missing_and_nan_is_no_number():
    host = HostSnapshot(epoch=1, train_loss=math.inf, val_loss=None)
    row = encode_row(event_of(EpochSnapshot(1, host)))
    assert set(row) == {"epoch", REST}
    assert json.loads(row[REST])["data"]["host"] == {"seed_grad_norms": {}, "epoch": 1, "train_loss": "inf"}


@pytest.mark.parametrize("row", [{}, {"epoch": 3}, {REST: None}, {REST: 3, "epoch": 1}])
def test_a_row_of_someone_else_is_no_event(row):
    assert decode_row(row) is None


@pytest.mark.parametrize(
    ("rest", "got"),
    [
        ("{", "Input data was truncated"),
        ("{}", "'karn_schema'"),
        ("[1]", "'str' object cannot be interpreted as an integer"),
        ('{"karn_schema": 1}', "'scoped'"),
        ('{"karn_schema": 1, "env_id": 0, "scoped": false, "data": 3}', "'int' object has no attribute 'get'"),
        ('{"karn_schema": 1, "env_id": 0, "scoped": false, "data": {}}', "'epoch'"),
        ("\ud800", "'utf-8' codec can't encode character '\\ud800' in position 0: surrogates not allowed"),
    ],
)
def test_a_damaged_row_of_ours_is_an_error_that_says_so(rest, got):
    with pytest.raises(RecordError) as caught:
        decode_row({REST: rest})
    assert str(caught.value) == f"a W&B row holds no readable event; got {got}. The row is damaged."


def test_a_row_nested_too_deeply_to_read_is_damaged():
    with pytest.raises(RecordError, match="a W&B row holds no readable event"):
        decode_row({REST: "[" * 100_000})


def test_a_row_of_a_newer_version_says_so_whatever_else_it_holds():
    with pytest.raises(RecordError) as caught:
        decode_row({REST: '{"karn_schema": 99, "something": "new"}'})
    assert str(caught.value) == "a stored event is of version 99. This karn_wandb reads versions 1 to 1: install a newer one."


@given(events(), st.data())
def test_a_row_damaged_anywhere_is_an_event_or_an_error_and_nothing_else(event, data):
    row = encode_row(event)
    rest = json.loads(row[REST])
    damaged = data.draw(_damaged(rest))
    try:
        found = decode_row({**row, REST: json.dumps(damaged)})
    except RecordError:
        return
    assert isinstance(found, TelemetryEvent)


@st.composite
def _damaged(draw, plain):
    """The same JSON with one value somewhere replaced or taken out."""
    path = draw(st.sampled_from([*_places(plain)]))
    here = plain
    for step in path[:-1]:
        here = here[step]
    if draw(st.booleans()):
        del here[path[-1]]
    else:
        here[path[-1]] = draw(jsons.filter(lambda value: not isinstance(value, float) or math.isfinite(value)))
    return plain


def _places(plain, path=()):
    for step, value in plain.items() if isinstance(plain, dict) else enumerate(plain):
        yield (*path, step)
        if isinstance(value, (dict, list)):
            yield from _places(value, (*path, step))
