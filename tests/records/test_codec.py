"""Record logs: lines of JSON, exact, versioned; damage and unknown versions are errors in words; version 1 stays readable."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records_v1 import EVENTS, FILE
from strategies import events

from karn_wandb.errors import RecordError
from karn_wandb.records import (
    SCHEMA_VERSION,
    TelemetryEvent,
    TelemetryEventType,
    codec,
    decode_event,
    decode_header,
    encode_event,
    encode_header,
    event_from_plain,
)


@given(events())
def test_every_event_is_one_line_of_strict_json_and_read_back_exactly(event):
    line = encode_event(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    json.loads(line, parse_constant=pytest.fail)
    again = decode_event(line)
    assert again == event
    assert repr(again) == repr(event)
    assert encode_event(again) == line


def test_a_log_begins_with_its_version():
    assert encode_header() == b'{"karn_records":1}\n'
    assert decode_header(encode_header()) == SCHEMA_VERSION == 1


NO_LOG = 'Its first line must be {"karn_records": VERSION}.'
READS = "This karn_wandb reads versions 1 to 1: install a newer one."


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", f"the file is no record log; got b''. {NO_LOG}"),
        (b"epoch,loss\n", f"the file is no record log; got b'epoch,loss\\n'. {NO_LOG}"),
        (b"[1]", f"the file is no record log; got b'[1]'. {NO_LOG}"),
        (b'{"other": 1}', f"the file is no record log; got b'{{\"other\": 1}}'. {NO_LOG}"),
        (b'{"karn_records\xff": 1}', f"the file is no record log; got b'{{\"karn_records\\xff\": 1}}'. {NO_LOG}"),
        (b"PK\x03" * 100, "the file is no record log; got b'" + "PK\\x03" * 20 + f"'. {NO_LOG}"),
        (b'{"karn_records": 2}', f"the record log is of version 2. {READS}"),
        (b'{"karn_records": 0}', f"the record log is of version 0. {READS}"),
        (b'{"karn_records": true}', f"the record log is of version True. {READS}"),
        (b'{"karn_records": "1"}', f"the record log is of version '1'. {READS}"),
    ],
    ids=lambda v: repr(v)[:40],
)
def test_what_is_no_log_or_of_an_unknown_version_is_refused_in_words(line, message):
    with pytest.raises(RecordError) as raised:
        decode_header(line)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"event_type":"PLATEAU', "a line of the record log is not JSON; got Input data was truncated. The line is damaged."),
        (
            b'{"event_type":"PLATEAU\xff"}',
            (
                "a line of the record log is not JSON; got 'utf-8' codec can't decode byte 0xff in position 7: "
                "invalid start byte. The line is damaged."
            ),
        ),
        (
            b"[" * 5000,
            (
                "a line of the record log is not JSON; got maximum recursion depth exceeded while deserializing an object. "
                "The line is damaged."
            ),
        ),
        (b"[1, 2]", "a stored event must be a mapping; got [1, 2]. The stored record is damaged."),
        (b"null", "a stored event must be a mapping; got None. The stored record is damaged."),
        (
            b"{}",
            (
                "TelemetryEvent cannot be read; got TelemetryEvent.__init__() missing 1 required positional "
                "argument: 'event_type'. The stored record is damaged."
            ),
        ),
        (
            b'{"event_type":"TELEPATHY"}',
            "TelemetryEvent cannot be read; got 'TELEPATHY' is not a valid TelemetryEventType. The stored record is damaged.",
        ),
        (
            b'{"event_type":"PLATEAU_DETECTED","colour":1}',
            (
                "TelemetryEvent has no field 'colour'. The record was written by another version: use a karn_wandb at "
                "least as new as the one that wrote it."
            ),
        ),
        (
            b'{"event_type":"PLATEAU_DETECTED","data":{"$":"Telepathy"}}',
            (
                "a stored record names an unknown class; got 'Telepathy'. It was written by another version: use a karn_wandb at "
                "least as new as the one that wrote it."
            ),
        ),
        (
            b'{"event_type":"PLATEAU_DETECTED","timestamp":"2025-01-01T00:00:00"}',
            (
                "TelemetryEvent.timestamp must be a datetime with a time zone; got datetime.datetime(2025, 1, 1, 0, 0) "
                "(datetime). Use datetime.now(UTC)."
            ),
        ),
        (
            b'{"event_type":"BATCH_COMPLETED","data":{"$":"BatchMetrics","epoch":1,"batch_idx":0,"loss":1,"accuracy":"nan"}}',
            "BatchMetrics.accuracy must be between 0 and 100; got nan. Accuracies are percentages, 0 to 100.",
        ),
    ],
    ids=lambda v: repr(v)[:40],
)
def test_a_damaged_line_is_an_error_in_words(line, message):
    with pytest.raises(RecordError) as raised:
        decode_event(line)
    assert str(raised.value) == message


@settings(max_examples=300)
@given(event=st.sampled_from(EVENTS), where=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_a_record_error_or_another_event_never_a_crash(event, where, bit):
    line = bytearray(encode_event(event))
    line[where % len(line)] ^= 1 << bit
    try:
        read = decode_event(bytes(line))
    except RecordError:
        return
    assert decode_event(encode_event(read)) == read


@given(event=st.sampled_from(EVENTS), cut=st.integers(1, 10_000))
def test_a_torn_line_is_never_taken_for_an_event(event, cut):
    line = encode_event(event).rstrip(b"\n")
    with pytest.raises(RecordError):
        decode_event(line[: cut % len(line)])


@pytest.mark.parametrize("version", [0, 2, 99, "1", None, True])
def test_an_event_of_an_unknown_version_is_refused_wherever_it_comes_from(version):
    """W&B rows carry the version, too: a newer one is refused rather than half understood."""
    plain = TelemetryEvent(event_type="PLATEAU_DETECTED").to_plain()
    with pytest.raises(RecordError) as raised:
        event_from_plain(plain, version)
    assert str(raised.value) == f"a stored event is of version {version!r}. {READS}"


def test_version_1_stays_readable_for_ever():
    """The committed file was written once by version 1; every event in it still means the same, to the last repr."""
    header, *lines = FILE.read_bytes().splitlines(keepends=True)
    version = decode_header(header)
    assert version == 1
    read = [decode_event(line, version) for line in lines]
    assert [event.event_type for event in read] == [event.event_type for event in EVENTS]
    for event, expected in zip(read, EVENTS, strict=True):
        assert event == expected
        assert repr(event) == repr(expected)


def test_the_committed_file_holds_every_event_type_of_version_1():
    """A type that is added later needs no line; one that is renamed or removed needs a migration."""
    assert {event.event_type for event in EVENTS} <= set(TelemetryEventType)
    assert len({event.event_type for event in EVENTS}) == len(EVENTS) == 38


def test_the_committed_file_reads_without_this_packages_help():
    """Plain JSON for other tools: NaN and infinities are text, stages are integers, classes are named."""
    lines = [json.loads(line, parse_constant=pytest.fail) for line in FILE.read_text(encoding="utf-8").splitlines()]
    by_type = {line["event_type"]: line for line in lines[1:]}
    epoch = by_type["EPOCH_COMPLETED"]["data"]
    assert epoch["$"] == "EpochSnapshot"
    assert epoch["host"]["val_loss"] == "nan"
    assert epoch["slots"]["mid"]["stage"] == 4
    assert epoch["policy"]["observation_vector"] == [0.25, -0.0, 1e-320, "nan", "inf"]
    assert math.copysign(1, epoch["policy"]["observation_vector"][1]) == -1
    assert by_type["COUNTERFACTUAL_MATRIX_COMPUTED"]["data"]["interaction_effects"] == [[["early", "mid"], -0.1]]
    assert by_type["PLATEAU_DETECTED"]["data"]["values"] == [1, 1.0, True, None, {"$": "nan"}]
    assert "policy" not in by_type["BATCH_COMPLETED"]["data"]


def test_the_committed_file_is_never_written_again():
    before = FILE.read_bytes()
    script = FILE.parent.parent / "records_v1.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "records-v1.jsonl exists and is never written again: see this module's first lines.\n"
    assert FILE.read_bytes() == before


def test_an_older_version_is_brought_up_step_by_step(monkeypatch):
    """Each migration gets the plain event of its version and makes one of the next; the newest version gets none."""
    seen = []

    def rename(plain):
        seen.append(1)
        return {("message" if name == "text" else name): value for name, value in plain.items()}

    def shout(plain):
        seen.append(2)
        return {**plain, "message": plain["message"].upper()}

    monkeypatch.setattr(codec, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(codec, "MIGRATIONS", {1: rename, 2: shout})

    assert decode_header(b'{"karn_records":1}') == 1
    assert decode_event(b'{"event_type":"PLATEAU_DETECTED","text":"flat"}', version=1).message == "FLAT"
    assert seen == [1, 2]
    assert event_from_plain({"event_type": "PLATEAU_DETECTED", "message": "flat"}, version=2).message == "FLAT"
    assert seen == [1, 2, 2]
    assert decode_event(b'{"event_type":"PLATEAU_DETECTED","message":"flat"}', version=3).message == "flat"
    assert seen == [1, 2, 2]


def test_every_older_version_has_its_migration():
    assert sorted(codec.MIGRATIONS) == list(range(1, SCHEMA_VERSION))
