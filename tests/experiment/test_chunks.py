"""LevelDB's log format: what was written comes back, and damage costs what it must and is said."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_files import BLOCK, MAGIC, run_file, spans

from karn_wandb.experiment.chunks import join_records, split_records

ANYWHERE = st.integers(0, 2**32)
SIZES = st.lists(
    st.sampled_from((0, 1, 6, 7, 8, BLOCK - 30, BLOCK - 14, BLOCK - 8, BLOCK - 7, BLOCK, BLOCK + 1, 3 * BLOCK + 5))
    | st.integers(0, 2000),
    min_size=1,
    max_size=30,
)


def records_of(sizes: list[int]) -> list[bytes]:
    return [bytes([i]) * size for i, size in enumerate(sizes)]


def split(content: bytes) -> tuple[list[bytes], list[str]]:
    damage: list[str] = []
    return [record for _, record in split_records(content, damage)], damage


@given(SIZES)
def test_records_of_any_size_come_back(sizes):
    """Also those that span blocks, or end where no header fits before the next block."""
    assert split(run_file(records_of(sizes))) == (records_of(sizes), [])


@given(SIZES)
def test_records_are_written_as_the_format_s_other_writer_does(sizes):
    assert join_records(records_of(sizes)) == run_file(records_of(sizes))


@given(SIZES, ANYWHERE)
def test_a_truncated_file_reads_up_to_its_last_whole_record(sizes, anywhere):
    """A torn end is said, unless the file ends exactly between two records."""
    records = records_of(sizes)
    content, where = spans(records)
    length = len(MAGIC) + anywhere % (len(content) - len(MAGIC) + 1)
    got, damage = split(content[:length])
    whole = [record for record, (_, last) in zip(records, where, strict=True) if last < length]
    assert got == whole
    torn = any(first < length <= last for first, last in where)
    assert [line.split(";")[0] for line in damage] == ["the file ends inside a record"] * torn


@settings(max_examples=300)
@given(SIZES, ANYWHERE, st.integers(1, 255))
def test_a_flipped_byte_costs_at_most_the_records_in_its_block(sizes, anywhere, mask):
    """What is lost lies together, in or across that block; the rest is read; nothing is lost in silence."""
    records = records_of(sizes)
    content, where = spans(records)
    at = len(MAGIC) + anywhere % (len(content) - len(MAGIC))
    flipped = bytearray(content)
    flipped[at] ^= mask
    got, damage = split(bytes(flipped))
    block = at // BLOCK
    touched = [i for i, (first, last) in enumerate(where) if first // BLOCK <= block <= last // BLOCK]
    lost = len(records) - len(got)
    cuts = range(touched[0], touched[-1] + 2 - lost) if touched else (0,)
    assert any(got == records[:cut] + records[cut + lost :] for cut in cuts)
    assert damage or not lost


def test_a_damaged_block_is_named_by_its_bytes():
    content, where = spans([b"a" * 100, b"b" * 100, b"c" * BLOCK, b"d"])
    flipped = content[:150] + b"!" + content[151:]
    got, damage = split(flipped)
    assert got == [b"a" * 100, b"d"]
    assert damage == [f"bytes {where[1][0]} to {BLOCK - 1} are damaged and left out"]


def test_a_record_that_is_begun_twice_is_lost_once_and_said():
    """As after a writer that was killed and another that went on in the next block."""
    begun = run_file([b"x" * BLOCK])[:BLOCK]
    content = begun + run_file([b"y"])[len(MAGIC) :]
    assert split(content) == ([b"y"], [f"the record before byte {BLOCK} was never ended and is left out"])


@pytest.mark.parametrize("kind", [0, 5, 255])
def test_a_chunk_of_unknown_type_is_damage(kind):
    content = bytearray(run_file([b"one", b"two"]))
    content[len(MAGIC) + 6] = kind
    got, damage = split(bytes(content))
    assert got == []
    assert damage == [f"bytes {len(MAGIC)} to {len(content) - 1} are damaged and left out"]


def test_every_truncation_of_a_small_file_reads_a_prefix():
    records = [b"", b"a", b"bb" * 20, b"c" * 300]
    content, where = spans(records)
    for length in range(len(MAGIC), len(content) + 1):
        assert split(content[:length])[0] == [r for r, (_, last) in zip(records, where, strict=True) if last < length]
