"""Delivery: every sink gets every event once and in order, and none can hold up the training or another sink."""

import threading
import time

import pytest
from recorder import Recorder

from karn_wandb.pipeline import Follower, RecordLog, delivery, log
from karn_wandb.pipeline.delivery import Guard, Immediate
from karn_wandb.records import BatchMetrics, TelemetryEvent, TelemetryEventType


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records.jsonl"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(delivery, "BACKOFF_SECONDS", (0.001, 0.001))


def fill(record_log, count):
    for _ in range(count):
        batch = BatchMetrics(epoch=1, batch_idx=record_log.next_sequence, loss=0.5)
        record_log.append(TelemetryEvent(TelemetryEventType.BATCH_COMPLETED, data=batch, sequence=record_log.next_sequence))


def test_a_sink_gets_every_event_once_in_order_and_is_closed(path):
    record_log, sink = RecordLog(path), Recorder()
    follower = Follower(record_log, sink)
    for _ in range(20):
        fill(record_log, 7)
        record_log.flush()
    assert follower.close(10)
    assert sink.sequences == list(range(140))
    assert sink.closed


def test_all_sinks_get_everything_each_at_its_own_pace(path, monkeypatch):
    monkeypatch.setattr(log, "TAIL_EVENTS", 8)
    record_log = RecordLog(path)
    slow, quick = Recorder("slow", lambda _: time.sleep(0.001)), Recorder("quick")
    followers = [Follower(record_log, sink) for sink in (slow, quick)]
    fill(record_log, 300)
    record_log.flush()
    assert all(follower.close(20) for follower in followers)
    assert slow.sequences == quick.sequences == list(range(300))


def test_a_sink_that_hangs_never_blocks_the_log_and_misses_nothing_afterwards(path, monkeypatch):
    monkeypatch.setattr(log, "TAIL_EVENTS", 8)
    record_log, sink = RecordLog(path), Recorder()
    sink.gate.clear()
    follower = Follower(record_log, sink)
    fill(record_log, 500)
    record_log.flush()
    assert follower.lag == 500
    sink.gate.set()
    assert follower.close(20)
    assert sink.sequences == list(range(500))


def test_drain_and_close_give_up_on_a_sink_that_hangs(path):
    record_log, sink = RecordLog(path), Recorder()
    sink.gate.clear()
    follower = Follower(record_log, sink)
    fill(record_log, 3)
    started = time.monotonic()
    assert not follower.drain(0.05)
    assert not follower.close(0.05)
    assert time.monotonic() - started < 5
    assert (follower.lag, sink.closed) == (3, False)
    sink.gate.set()
    assert follower.close(10)
    assert sink.sequences == [0, 1, 2]


def test_drain_waits_for_everything_appended_flushed_or_not(path):
    record_log, sink = RecordLog(path), Recorder()
    follower = Follower(record_log, sink)
    for count in (3, 6):
        fill(record_log, 3)
        assert follower.drain(10)
        assert sink.sequences == list(range(count))
    follower.close(10)


def test_a_failure_is_tried_again(path):
    failures = [ConnectionError("once"), None, ConnectionError("twice"), ConnectionError("twice"), None]
    record_log, sink = RecordLog(path), Recorder(fails=lambda _: failures.pop(0) if failures else None)
    follower = Follower(record_log, sink)
    fill(record_log, 4)
    assert follower.close(10)
    assert sink.sequences == [0, 1, 2, 3]
    assert (follower.failed_writes, follower.failure) == (3, None)


def test_a_sink_that_keeps_failing_is_parked_and_closed_and_the_others_go_on(path):
    record_log, sink = RecordLog(path), Recorder()
    bad = Recorder("bad", lambda event: ValueError("no") if event.sequence >= 2 else None)
    follower, parked = Follower(record_log, sink), Follower(record_log, bad)
    fill(record_log, 5)
    record_log.flush()
    assert not parked.drain(10)
    assert bad.sequences == [0, 1]
    assert (str(parked.failure), parked.failed_writes, parked.lag) == ("no", delivery.ATTEMPTS, 3)
    fill(record_log, 5)
    assert follower.close(10)
    assert not parked.close(10)
    assert sink.sequences == list(range(10))
    assert (bad.sequences, bad.closed) == ([0, 1], True)


def test_a_sink_whose_closing_fails_did_not_take_everything(path):
    class Unclosable(Recorder):
        def close(self):
            raise OSError("no room for the tables")

    follower = Follower(RecordLog(path), Unclosable())
    assert not follower.close(10)
    assert str(follower.failure) == "no room for the tables"


def test_a_sink_may_close_in_steps_and_each_is_progress(path):
    class Thorough(Recorder):
        def close(self):
            for _ in range(3):
                yield
            super().close()

    follower = Follower(RecordLog(path), Thorough())
    assert follower.close(10)
    assert (follower.progress, follower.sink.closed) == (3, True)


def test_a_sink_whose_closing_fails_half_way_did_not_take_everything(path):
    class Halfway(Recorder):
        def close(self):
            yield
            raise OSError("no room for the artifacts")

    follower = Follower(RecordLog(path), Halfway())
    assert not follower.close(10)
    assert str(follower.failure) == "no room for the artifacts"


def test_a_log_that_cannot_be_read_any_more_parks_the_sink(path, monkeypatch):
    monkeypatch.setattr(log, "TAIL_EVENTS", 2)
    record_log, sink = RecordLog(path), Recorder()
    fill(record_log, 9)
    record_log.flush()
    path.unlink()
    follower = Follower(record_log, sink)
    assert not follower.close(10)
    assert isinstance(follower.failure, FileNotFoundError)


def test_what_is_appended_is_delivered_soon_though_nobody_is_woken_or_flushed(path):
    record_log, sink = RecordLog(path), Recorder()
    follower = Follower(record_log, sink)
    for count in (1, 2):
        fill(record_log, 1)
        deadline = time.monotonic() + 100 * delivery.LOOK_SECONDS
        while len(sink.events) < count and time.monotonic() < deadline:
            time.sleep(0.005)
        assert sink.sequences == list(range(count))
    assert follower.close(10)


def test_an_append_wakes_nobody(path):
    """Waking a thread costs the training loop more than writing the record."""
    record_log, sink = RecordLog(path), Recorder()
    follower = Follower(record_log, sink)
    notified, notify_all = [], record_log.changed.notify_all
    record_log.changed.notify_all = lambda: (notified.append(threading.current_thread()), notify_all())
    fill(record_log, 5)
    record_log.flush()
    assert threading.current_thread() not in notified
    assert follower.drain(10)
    assert threading.current_thread() in notified
    assert follower.close(10)


def test_drain_does_not_wait_for_the_next_look(path, monkeypatch):
    monkeypatch.setattr(delivery, "LOOK_SECONDS", 60)
    record_log, sink = RecordLog(path), Recorder()
    follower = Follower(record_log, sink)
    time.sleep(0.01)  # until it waits
    fill(record_log, 3)
    started = time.monotonic()
    assert follower.drain(10)
    assert follower.close(10)
    assert time.monotonic() - started < 5
    assert sink.sequences == [0, 1, 2]


def test_a_follower_may_start_later(path, tmp_path):
    record_log, offset = RecordLog(path), tmp_path / "offset"
    fill(record_log, 4)
    sinks = [Recorder(), Recorder(), Recorder()]
    offset.write_text("1\n")  # what was stored wins
    followers = [
        Follower(record_log, sinks[0], start=3),
        Follower(record_log, sinks[1], start=99),
        Follower(record_log, sinks[2], offset, start=3),
    ]
    fill(record_log, 1)
    assert all(follower.close(10) for follower in followers)
    assert [sink.sequences for sink in sinks] == [[3, 4], [4], [1, 2, 3, 4]]


class TestImmediate:
    def test_an_event_is_written_on_the_thread_that_offers_it(self):
        threads = []
        sink = Recorder(fails=lambda _: threads.append(threading.current_thread()))
        delivery_of = Immediate(sink)
        event = TelemetryEvent(TelemetryEventType.MEMORY_WARNING)
        delivery_of.offer(event)
        assert (sink.events, threads) == ([event], [threading.current_thread()])
        assert delivery_of.drain(0)
        assert (delivery_of.lag, delivery_of.close(0), sink.closed) == (0, True, True)

    def test_nothing_is_written_after_a_failure_and_nothing_is_raised(self):
        sink = Recorder(fails=lambda _: ValueError("no"))
        delivery_of, event = Immediate(sink), TelemetryEvent(TelemetryEventType.MEMORY_WARNING)
        delivery_of.offer(event)
        sink._fails = lambda _: None
        delivery_of.offer(event)
        assert sink.events == []
        assert str(delivery_of.failure) == "no"
        assert (delivery_of.drain(0), delivery_of.close(0), sink.closed) == (False, False, True)


def test_a_guard_keeps_the_first_failure_and_does_nothing_after_it():
    guard, done = Guard(), []

    def fail():
        done.append("failed")
        raise KeyError("a")

    for work in (lambda: done.append("well"), fail, fail, lambda: done.append("never")):
        guard.attempt(work)
    assert done == ["well", "failed"]
    assert repr(guard.failure) == "KeyError('a')"


def test_a_guard_lets_through_what_ends_the_process():
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Guard().attempt(interrupt)


class TestResume:
    def test_a_continued_log_is_delivered_from_where_the_sink_had_come(self, path, tmp_path):
        offset = tmp_path / "offset"
        record_log, first = RecordLog(path), Recorder()
        follower = Follower(record_log, first, offset)
        fill(record_log, 3)
        assert follower.close(10)
        fill(record_log, 4)
        record_log.close()
        record_log, second = RecordLog(path), Recorder()
        follower = Follower(record_log, second, offset)
        assert follower.drain(10)  # before anything is appended: what the last process left
        fill(record_log, 2)
        assert follower.close(10)
        assert (first.sequences, second.sequences) == ([0, 1, 2], [3, 4, 5, 6, 7, 8])
        assert offset.read_text() == "9\n"

    def test_a_parked_sink_goes_on_with_the_event_that_failed(self, path, tmp_path):
        offset = tmp_path / "offset"
        record_log = RecordLog(path)
        bad = Recorder("bad", lambda event: ValueError("no") if event.sequence == 2 else None)
        fill(record_log, 5)
        assert not Follower(record_log, bad, offset).close(10)
        good = Recorder()
        assert Follower(record_log, good, offset).close(10)
        assert bad.sequences + good.sequences == list(range(5))

    @pytest.mark.parametrize("content", [b"", b"x", b"-3", b"\xff\xfe", "²".encode()])
    def test_a_damaged_place_means_from_the_beginning(self, path, tmp_path, content):
        offset = tmp_path / "offset"
        offset.write_bytes(content)
        record_log, sink = RecordLog(path), Recorder()
        fill(record_log, 2)
        assert Follower(record_log, sink, offset).close(10)
        assert sink.sequences == [0, 1]

    def test_a_place_beyond_the_log_skips_nothing_that_is_new(self, path, tmp_path):
        """A killed process may have delivered events that never reached the disk."""
        offset = tmp_path / "offset"
        offset.write_text("50\n")
        record_log, sink = RecordLog(path), Recorder()
        follower = Follower(record_log, sink, offset)
        fill(record_log, 3)
        assert follower.close(10)
        assert sink.sequences == [0, 1, 2]

    def test_a_place_that_cannot_be_stored_stops_nothing(self, path, tmp_path):
        record_log, sink = RecordLog(path), Recorder()
        follower = Follower(record_log, sink, tmp_path / "missing" / "offset")
        fill(record_log, 3)
        assert follower.close(10)
        assert sink.sequences == [0, 1, 2]


def test_a_sink_that_waits_uses_no_time(path):
    """Waiting is sleeping: a thread that asks again and again would slow the training."""
    record_log = RecordLog(path)
    followers = [Follower(record_log, Recorder()) for _ in range(3)]
    fill(record_log, 3)
    assert all(follower.drain(10) for follower in followers)
    before = time.process_time()
    threading.Event().wait(0.3)
    assert time.process_time() - before < 0.1
    assert all(follower.close(10) for follower in followers)
