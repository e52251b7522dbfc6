"""The record log: what was flushed survives everything, what the disk refuses waits, readers miss nothing."""

import errno
import gzip
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import event_sequences

from karn_wandb.errors import KarnWarning, RecordError, SourceError, UsageError
from karn_wandb.pipeline import RecordLog, log, parse_log, read_log
from karn_wandb.records import BatchMetrics, TelemetryEvent, TelemetryEventType, encode_event, encode_header


def event(sequence, text=""):
    batch = BatchMetrics(epoch=1, batch_idx=sequence, loss=0.5)
    return TelemetryEvent(
        TelemetryEventType.BATCH_COMPLETED,
        data=batch,
        sequence=sequence,
        message=text,
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
    )


def fill(record_log, count, text=""):
    for _ in range(count):
        record_log.append(event(record_log.next_sequence, text))


def read_all(record_log, limit=256):
    """Every event a reader gets who starts at the beginning."""
    found, cursor = [], 0
    while batch := record_log.read(cursor, limit):
        found += batch
        cursor = batch[-1].sequence + 1
    return found


def sequences(events):
    return [e.sequence for e in events]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "records.jsonl"


def limited_disk(monkeypatch):
    """A disk with room for so many bytes more: a write that does not fit is done in part, the next one is refused."""
    room = [10**9]
    pwrite = os.pwrite

    def limited(file, data, offset):
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = data[: room[0]]
        room[0] -= len(taken)
        return pwrite(file, taken, offset)

    monkeypatch.setattr(os, "pwrite", limited)
    return room


@pytest.fixture
def room(monkeypatch):
    return limited_disk(monkeypatch)


class TestFlush:
    def test_what_is_flushed_is_in_the_file_and_only_that(self, path):
        record_log = RecordLog(path)
        fill(record_log, 2)
        record_log.flush()
        fill(record_log, 1)
        assert sequences(read_log(path).events) == [0, 1]

    def test_the_file_begins_with_the_header_and_holds_one_line_an_event(self, path):
        record_log = RecordLog(path)
        fill(record_log, 2)
        record_log.close()
        assert path.read_bytes() == encode_header() + encode_event(event(0)) + encode_event(event(1))

    def test_a_full_buffer_is_flushed_by_itself(self, path):
        record_log = RecordLog(path)
        fill(record_log, 1, "x" * log.FLUSH_BYTES)
        assert len(read_log(path).events) == 1

    def test_an_old_buffer_is_flushed_by_the_next_event(self, path, monkeypatch):
        record_log = RecordLog(path)
        fill(record_log, 1)
        later = time.monotonic() + 2 * log.FLUSH_SECONDS
        monkeypatch.setattr(time, "monotonic", lambda: later)
        fill(record_log, 1)
        assert len(read_log(path).events) == 2

    def test_close_writes_what_is_left(self, path):
        record_log = RecordLog(path)
        fill(record_log, 3)
        record_log.close()
        assert sequences(read_log(path).events) == [0, 1, 2]
        assert record_log.dropped == 0

    def test_an_event_at_another_place_is_refused(self, path):
        with pytest.raises(UsageError) as caught:
            RecordLog(path).append(event(4))
        assert str(caught.value) == "an event is appended at its own place only; got sequence 4, not 0."

    @settings(max_examples=15)
    @given(event_sequences(max_size=4))
    def test_any_events_come_back_equal(self, tmp_path_factory, sequence):
        record_log = RecordLog(tmp_path_factory.mktemp("log") / "records.jsonl")
        for each in sequence:
            record_log.append(each)
        assert tuple(record_log.events()) == sequence
        found = read_log(record_log.path) if sequence else None
        assert found is None or (found.events == sequence and not found.damage)
        record_log.close()


class TestReading:
    def test_a_reader_that_lags_behind_memory_gets_everything_from_the_file_in_order(self, path):
        record_log = RecordLog(path)
        count = log.TAIL_EVENTS + 700
        fill(record_log, count)
        assert sequences(read_all(record_log)) == list(range(count))

    def test_any_place_can_be_read_from(self, path):
        record_log = RecordLog(path)
        count = log.TAIL_EVENTS + 600
        fill(record_log, count, "x" * 300)  # several places to start from in the file
        for start in (0, 1, 255, 256, 599, 600, 601, count - 1):
            assert sequences(record_log.read(start, 3)) == list(range(start, min(start + 3, count)))
        assert record_log.read(count, 3) == []

    def test_a_slow_reader_beside_the_writer_misses_nothing(self, path, monkeypatch):
        monkeypatch.setattr(log, "TAIL_EVENTS", 16)
        record_log = RecordLog(path)
        count, found = 1500, []

        def follow():
            while len(found) < count:
                found.extend(record_log.read(len(found), 50))

        reader = threading.Thread(target=follow)
        reader.start()
        fill(record_log, count)
        reader.join(30)
        assert sequences(found) == list(range(count))

    def test_events_are_all_there_before_they_are_flushed(self, path):
        record_log = RecordLog(path)
        fill(record_log, 3)
        assert sequences(record_log.events()) == [0, 1, 2]

    def test_without_a_file_the_newest_events_are_in_memory(self):
        record_log = RecordLog(None)
        fill(record_log, log.TAIL_EVENTS + 5)
        assert sequences(record_log.events()) == list(range(5, log.TAIL_EVENTS + 5))
        assert sequences(record_log.read(0, 2)) == [5, 6]
        record_log.close()
        assert record_log.dropped == 0

    def test_memory_does_not_grow_with_the_length_of_the_run(self, path, monkeypatch):
        line = encode_event(event(0, "x" * 100))
        monkeypatch.setattr(log, "encode_event", lambda _: line)  # the codec takes most of the time and is not the point
        record_log = RecordLog(path)
        append_quickly(record_log, 3000)
        tracemalloc.start()
        append_quickly(record_log, 47_000)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert path.stat().st_size > 15e6
        assert grown < 1e6  # the tail, made anew while it was measured


def append_quickly(record_log, count):
    for sequence in range(record_log.next_sequence, record_log.next_sequence + count):
        record_log.append(SimpleNamespace(sequence=sequence))  # all that is looked at, apart from the codec
        if sequence % 2:
            record_log.flush()


class TestDamage:
    def test_a_log_torn_anywhere_in_its_last_lines_gives_its_whole_lines_and_goes_on(self, path):
        record_log = RecordLog(path)
        fill(record_log, 3)
        record_log.close()
        whole = path.read_bytes()
        ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
        for cut in range(ends[-2] - 20, len(whole) + 1):
            path.write_bytes(whole[:cut])
            count = sum(end <= cut for end in ends) - 1
            torn = cut - max(end for end in ends if end <= cut)
            found = read_log(path)
            assert sequences(found.events) == list(range(count))
            said = f"the last line of the record log is torn ({torn} bytes) and left out"
            assert found.damage == ((said,) if torn else ())
            assert (found.next_sequence, found.whole_bytes) == (count, cut - torn)

    def test_a_torn_log_is_continued_behind_its_last_whole_line(self, path):
        record_log = RecordLog(path)
        fill(record_log, 2)
        record_log.close()
        path.write_bytes(path.read_bytes()[:-5])
        torn = len(encode_event(event(1))) - 5
        with pytest.warns(KarnWarning) as caught:
            record_log = RecordLog(path)
        said = f"{path} is continued: the last line of the record log is torn ({torn} bytes) and left out"
        assert [str(warning.message) for warning in caught] == [said]
        fill(record_log, 2)
        record_log.close()
        found = read_log(path)
        assert sequences(found.events) == [0, 1, 2]
        assert found.damage == ()

    def test_a_log_is_continued_where_it_ended(self, path):
        for _ in range(3):
            record_log = RecordLog(path)
            fill(record_log, 2)
            record_log.close()
        assert sequences(read_log(path).events) == list(range(6))
        assert path.read_bytes().count(b"karn_records") == 1

    def test_a_reader_of_a_continued_log_gets_what_was_there_before(self, path):
        record_log = RecordLog(path)
        fill(record_log, 400, "x" * 1000)
        record_log.close()
        record_log = RecordLog(path)
        assert sequences(read_all(record_log, 50)) == list(range(400))
        fill(record_log, 10)
        assert sequences(read_all(record_log, 50)) == list(range(410))

    @pytest.mark.parametrize("begun", [0, 1, 17])
    def test_a_log_that_ends_in_its_header_is_begun_again(self, path, begun):
        path.parent.mkdir()
        path.write_bytes(encode_header()[:begun])
        record_log = RecordLog(path)
        fill(record_log, 1)
        record_log.close()
        assert sequences(read_log(path).events) == [0]

    def test_a_damaged_line_in_the_middle_is_said_and_left_out_and_nothing_else(self, path):
        record_log = RecordLog(path)
        fill(record_log, 4)
        record_log.close()
        lines = path.read_bytes().splitlines(keepends=True)
        lines[2] = b"\xff" + lines[2][1:]
        path.write_bytes(b"".join(lines))
        found = read_log(path)
        assert sequences(found.events) == [0, 2, 3]
        (said,) = found.damage
        assert said.startswith("line 3 of the record log is left out: a line of the record log is not JSON; got ")
        with pytest.warns(KarnWarning, match="is continued: line 3 of the record log is left out"):
            record_log = RecordLog(path)
        assert sequences(read_all(record_log)) == [0, 2, 3]
        record_log.close()

    @settings(max_examples=50)
    @given(st.data())
    def test_a_flipped_bit_costs_one_line_or_two_and_never_more(self, tmp_path_factory, data):
        path = tmp_path_factory.mktemp("log") / "records.jsonl"
        content = bytearray(encode_header() + b"".join(encode_event(event(i)) for i in range(5)))
        place = data.draw(st.integers(len(encode_header()), len(content) - 1))
        content[place] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
        found = read_log(path)
        assert len(found.events) >= 3
        assert len(found.events) == 5 or found.damage

    @pytest.mark.parametrize("content", [b"", b"{", b"hello\n", b"[]\n", b'{"karn_records": 1}'])
    def test_another_file_is_no_record_log(self, tmp_path, content):
        path = tmp_path / "other.jsonl"
        path.write_bytes(content)
        with pytest.raises(RecordError) as caught:
            read_log(path)
        first = content.split(b"\n")[0]
        assert str(caught.value) == (
            f'the file is no record log; got {first!r}. Its first line must be {{"karn_records": VERSION}}.'
        )

    def test_another_file_is_never_written_over(self, tmp_path):
        path = tmp_path / "records.jsonl"
        path.write_bytes(b"hello\n")
        with pytest.raises(RecordError):
            RecordLog(path)
        assert path.read_bytes() == b"hello\n"

    def test_a_missing_file_says_so(self, tmp_path):
        path = tmp_path / "records.jsonl"
        with pytest.raises(SourceError) as caught:
            read_log(path)
        assert str(caught.value) == (
            f"the record log {path} cannot be read; got [Errno 2] No such file or directory: '{path}'. "
            "Check that it is there and readable."
        )


class TestFullDisk:
    def test_what_does_not_fit_waits_and_is_written_when_there_is_room_again(self, path, room):
        record_log = RecordLog(path)
        fill(record_log, 5)
        record_log.flush()
        room[0] = 700  # two and a half events
        fill(record_log, 10)
        record_log.flush()
        assert record_log.last_error.errno == errno.ENOSPC
        found = read_log(path)
        assert (sequences(found.events), found.damage) == ([0, 1, 2, 3, 4], ())
        room[0] = 10**9
        fill(record_log, 5)
        record_log.close()
        found = read_log(path)
        assert (sequences(found.events), found.damage) == (list(range(20)), ())
        assert (record_log.last_error, record_log.dropped) == (None, 0)

    @settings(max_examples=30)
    @given(st.lists(st.integers(0, 2000), max_size=12))
    def test_a_disk_that_is_full_now_and_then_loses_nothing_and_tears_nothing(self, tmp_path_factory, rooms):
        with pytest.MonkeyPatch.context() as patch:
            room = limited_disk(patch)
            record_log = RecordLog(tmp_path_factory.mktemp("log") / "records.jsonl")
            for free in [*rooms, 10**9]:
                room[0] = free
                fill(record_log, 3)
                record_log.flush()
                assert sequences(read_all(record_log)) == list(range(record_log.next_sequence))
                if record_log.path.stat().st_size:
                    assert read_log(record_log.path).damage == ()
            record_log.close()
        assert sequences(read_log(record_log.path).events) == list(range(3 * len(rooms) + 3))

    def test_a_reader_gets_what_waits_although_memory_has_forgotten_it(self, path, room, monkeypatch):
        monkeypatch.setattr(log, "TAIL_EVENTS", 4)
        record_log = RecordLog(path)
        fill(record_log, 5)
        record_log.flush()
        room[0] = 0
        fill(record_log, 20)
        record_log.flush()
        assert sequences(read_all(record_log, 3)) == list(range(25))
        assert sequences(record_log.events()) == list(range(25))

    def test_beyond_the_limit_the_oldest_are_given_up_and_counted(self, path, room, monkeypatch):
        monkeypatch.setattr(log, "WAITING_BYTES", 20_000)
        monkeypatch.setattr(log, "TAIL_EVENTS", 4)
        record_log = RecordLog(path)
        room[0] = 0
        record_log.append(event(0))
        record_log.flush()
        fill(record_log, 49, "x" * 1000)
        assert 30 < record_log.dropped < 40
        kept = list(range(record_log.dropped, 50))
        assert sequences(read_all(record_log, 3)) == kept
        room[0] = 10**9
        record_log.close()
        found = read_log(path)
        assert (sequences(found.events), found.damage) == (kept, ())

    def test_a_refusing_disk_is_not_asked_at_every_event(self, path, room):
        record_log = RecordLog(path)
        fill(record_log, 1, "x" * log.FLUSH_BYTES)
        room[0] = 0
        asked = []
        flush = record_log.flush
        record_log.flush = lambda: (asked.append(1), flush())
        fill(record_log, 50, "x" * log.FLUSH_BYTES)
        assert len(asked) <= 2

    def test_what_the_disk_refuses_to_the_end_is_counted_without_the_header(self, path, room):
        record_log = RecordLog(path)
        room[0] = 0
        fill(record_log, 3)
        record_log.close()
        assert record_log.dropped == 3

    def test_a_disk_that_refuses_to_cut_the_torn_piece_off_loses_nothing_either(self, path, room, monkeypatch):
        record_log = RecordLog(path)
        fill(record_log, 2)
        record_log.flush()

        def refuse(file, size):
            raise OSError(errno.EIO, "Input/output error")

        room[0] = 300
        monkeypatch.setattr(os, "ftruncate", refuse)
        fill(record_log, 2)
        record_log.flush()
        assert sequences(read_log(path).events)[:2] == [0, 1]
        room[0] = 10**9
        record_log.flush()
        found = read_log(path)
        assert (sequences(found.events), found.damage) == ([0, 1, 2, 3], ())

    def test_a_file_size_limit_of_the_system_loses_nothing(self, path):
        """The real thing: the kernel writes what fits and refuses the rest, as on a full disk."""
        done = subprocess.run([sys.executable, "-c", UNDER_A_LIMIT, str(path)], capture_output=True, text=True, check=False)
        assert (done.stderr, done.stdout.split()) == ("", [str(errno.EFBIG), "5", "0", "15", "0", "0"])


UNDER_A_LIMIT = """
import resource, sys
from pathlib import Path
from karn_wandb.pipeline import RecordLog, read_log
from karn_wandb.records import TelemetryEvent, TelemetryEventType

def fill(count):
    for _ in range(count):
        record_log.append(TelemetryEvent(TelemetryEventType.MEMORY_WARNING, sequence=record_log.next_sequence))
    record_log.flush()

def show():
    found = read_log(path)
    print(len(found.events), len(found.damage))

path = Path(sys.argv[1])
record_log = RecordLog(path)
fill(5)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 500, hard))
fill(10)
print(record_log.last_error.errno)
show()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
record_log.close()
show()
print(record_log.dropped)
"""


def test_a_packed_log_reads_as_the_log_it_was(tmp_path):
    events = [TelemetryEvent(TelemetryEventType.MEMORY_WARNING, sequence=number) for number in range(3)]
    content = b"".join([encode_header(), *map(encode_event, events)])
    assert parse_log(gzip.compress(content)) == parse_log(content)
    assert parse_log(content).events == tuple(events)


@pytest.mark.parametrize("damage", [slice(0, -9), slice(0, 15), slice(0, 2)])
def test_a_damaged_packed_log_is_refused_in_words(damage):
    packed = gzip.compress(encode_header())
    with pytest.raises(RecordError) as caught:
        parse_log(packed[damage])
    assert str(caught.value).startswith("the packed record log is damaged; got ")
    assert str(caught.value).endswith(" Fetch it again.")
