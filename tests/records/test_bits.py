"""Many booleans in one value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karn_wandb.errors import RecordError
from karn_wandb.records import Bits, CounterfactualResult, Evaluation


@given(st.lists(st.booleans(), max_size=40))
def test_bits_are_the_booleans_they_are_made_of_packed_as_numpy_packs(values):
    bits = Bits(values)
    assert list(bits) == values
    assert len(bits) == len(values)
    assert bits.ones() == sum(values)
    assert bits.packed == np.packbits(np.array(values, dtype=bool)).tobytes()
    assert bits == Bits.from_packed(bits.packed, len(values))
    assert hash(bits) == hash(Bits(np.array(values, dtype=bool)))


@given(st.lists(st.booleans(), max_size=40), st.slices(20), st.integers(-45, 45))
def test_bits_are_indexed_and_sliced_as_a_list_is(values, part, place):
    assert list(Bits(values)[part]) == values[part]
    if -len(values) <= place < len(values):
        assert Bits(values)[place] is values[place]
    else:
        with pytest.raises(IndexError):
            Bits(values)[place]


@given(st.lists(st.booleans(), max_size=40))
def test_a_field_of_bits_takes_any_sequence_and_reads_back_equal(values):
    """Stored as text: how many there are, and the bytes in base 64."""
    result = CounterfactualResult(config=(True,), correct=values)
    assert isinstance(result.correct, Bits)
    assert CounterfactualResult.from_plain(result.to_plain()) == result
    assert result.to_plain()["correct"].startswith(f"{len(values)}:")


def test_equal_bytes_of_another_length_are_other_bits():
    assert Bits([True]) != Bits([True, False])
    assert Bits([True]) != (True,)
    assert repr(Bits([True, False, True])) == "<3 bits, 2 set>"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ((True, 1), "Evaluation.correct: bit 1 must be True or False; got 1 (int)."),
        ("10", "Evaluation.correct must be a sequence of True or False; got '10' (str)."),
        (7, "Evaluation.correct must be a sequence of True or False; got 7 (int)."),
    ],
)
def test_what_is_no_sequence_of_booleans_is_refused_in_words(bad, message):
    with pytest.raises(RecordError) as raised:
        Evaluation(correct=bad)
    assert str(raised.value) == message


@pytest.mark.parametrize(("packed", "length"), [(b"", 1), (b"\x80\x00", 8), (b"\xff", 7), (b"\x80", 0)])
def test_bytes_that_do_not_hold_as_many_bits_are_refused(packed, length):
    with pytest.raises(RecordError, match=f"{length} bits must be in {-(-length // 8)} bytes, zeros behind them"):
        Bits.from_packed(packed, length)


@pytest.mark.parametrize("stored", ["", "3", "3:?", "x:gA==", "9:gA==", 5])
def test_damaged_text_is_refused_as_damaged(stored):
    with pytest.raises(RecordError):
        CounterfactualResult.from_plain({"config": [True], "correct": stored})
