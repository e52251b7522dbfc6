"""Free-form values: kept as what JSON can say, NaN and infinities included, and refused in words otherwise."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from strategies import jsons

from karn_wandb.errors import RecordError
from karn_wandb.records import SeedStage
from karn_wandb.records._json import DEEPEST, check_json, decode_json, encode_json

ADVICE = "Use None, numbers, text, lists and mappings with text keys."


@given(jsons)
def test_every_value_survives_real_json_exactly(value):
    """Through the standard library's strict JSON: no NaN token, the same types, the same order."""
    kept = check_json(value, "R.f")
    text = json.dumps(encode_json(kept), allow_nan=False)
    assert repr(decode_json(json.loads(text))) == repr(kept)


@given(jsons)
def test_kept_values_are_kept_again(value):
    kept = check_json(value, "R.f")
    assert repr(check_json(kept, "R.f")) == repr(kept)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (np.True_, True),
        (np.float32(0.5), 0.5),
        (np.int8(3), 3),
        (SeedStage.HOLDING, 6),
        ((1, 2), [1, 2]),
        (range(2), [0, 1]),
        (deque([1]), [1]),
        (OrderedDict(b=1, a=(2,)), {"b": 1, "a": [2]}),
        (Path("a/b"), "a/b"),
        ({"x": {"y": math.nan}}, {"x": {"y": math.nan}}),
    ],
    ids=repr,
)
def test_sequences_mappings_and_scalars_become_pythons_own(value, kept):
    result = check_json(value, "R.f")
    assert repr(result) == repr(kept)
    assert type(result) is type(kept)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1}, f"R.f must be JSON values; got {{1}} (set). {ADVICE}"),
        (b"a", f"R.f must be JSON values; got b'a' (bytes). {ADVICE}"),
        (
            bytearray(b"a"),
            f"R.f must be JSON values; got bytearray(b'a') (bytearray). {ADVICE}",
        ),
        (
            {"a": [1j]},
            f"R.f['a'][0] must be JSON values; got 1j (complex). {ADVICE}",
        ),
        ({1: 2}, "a key of R.f must be text; got 1 (int)."),
        ({"a": {"$": 1}}, "R.f['a'] may not hold the key '$'. It is reserved for the codec: rename it."),
        ({"a": "\ud800"}, "R.f['a'] must be text that UTF-8 can carry; got '\\ud800' (str). Remove lone surrogates."),
        ([Path("\udc80")], "R.f[0] must be text that UTF-8 can carry; got '\\udc80' (str). Remove lone surrogates."),
        ([2**64], "R.f[0] must be a whole number of at most 64 bits; got 18446744073709551616 (int)."),
    ],
    ids=lambda v: repr(v)[:30],
)
def test_what_is_refused_and_in_which_words(value, message):
    with pytest.raises(RecordError) as raised:
        check_json(value, "R.f")
    assert str(raised.value) == message


def test_a_value_that_contains_itself_is_refused():
    endless = {}
    endless["self"] = [endless]
    with pytest.raises(RecordError) as raised:
        check_json(endless, "R.f")
    assert str(raised.value) == f"R.f is nested more than {DEEPEST} levels deep. Flatten it, or take out what contains itself."


def test_nesting_is_fine_up_to_the_limit():
    deep = 1
    for _ in range(DEEPEST):
        deep = [deep]
    assert decode_json(encode_json(check_json(deep, "R.f"))) == deep


@pytest.mark.parametrize("damaged", [{"$": 5}, {"$": "NaN"}, {"$": "1.5"}, {"$": []}], ids=repr)
def test_an_unknown_tag_is_not_guessed_at(damaged):
    with pytest.raises((KeyError, TypeError)):
        decode_json(damaged)


def test_the_callers_collections_are_copied():
    inner = [1]
    kept = check_json({"a": inner}, "R.f")
    inner.append(2)
    assert kept == {"a": [1]}
    encode_json(kept)["a"].append(3)
    assert kept == {"a": [1]}
