"""W&B run files and record logs made by hand, so that tests can make what wandb would not, and damage it.

The writer follows LevelDB's doc/log_format.md and is independent of the reader.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from karn_wandb.records import TelemetryEvent, encode_event, encode_header

MAGIC = bytes.fromhex("3a572642e1be00")
BLOCK = 32768


def run_file(records: Iterable[bytes]) -> bytes:
    """A run file with these records."""
    return spans(records)[0]


def spans(records: Iterable[bytes]) -> tuple[bytes, list[tuple[int, int]]]:
    """A run file, and the first and last byte of each record in it, headers included."""
    out, where = bytearray(MAGIC), []
    for record in records:
        rest, begin, first = record, None, True
        while rest or first:
            room = BLOCK - len(out) % BLOCK
            if room < 7:
                out += bytes(room)
                room = BLOCK
            begin = len(out) if begin is None else begin
            part, rest = rest[: room - 7], rest[room - 7 :]
            kind = {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}[first, not rest]
            checked = bytes([kind]) + part
            out += struct.pack("<IH", zlib.crc32(checked), len(part)) + checked
            first = False
        where.append((begin, len(out) - 1))
    return bytes(out), where


def run_record(run_id: str, **fields: Any) -> bytes:
    """The record that says which run it is; `config` as a mapping, the rest as in wandb_internal.proto."""
    from wandb.proto.wandb_internal_pb2 import Record

    config = fields.pop("config", {})
    record = Record(num=1)
    record.run.run_id = run_id
    for name, value in fields.items():
        if isinstance(value, str):
            setattr(record.run, name, value)
        else:
            getattr(record.run, name).extend(value)
    for key, value in config.items():
        record.run.config.update.add(key=key, value_json=json.dumps(value))
    return record.SerializeToString()


def history_record(row: dict[str, Any]) -> bytes:
    """A history row; a tuple as key is a nested one."""
    from wandb.proto.wandb_internal_pb2 import Record

    record = Record(num=1)
    record.history.SetInParent()
    for key, value in row.items():
        record.history.item.add(nested_key=key if isinstance(key, tuple) else (key,), value_json=json.dumps(value))
    return record.SerializeToString()


def exit_record(code: int = 0) -> bytes:
    """The record of a process that ended by itself."""
    from wandb.proto.wandb_internal_pb2 import Record

    record = Record(num=1)
    record.exit.SetInParent()
    record.exit.exit_code = code
    return record.SerializeToString()


def record_log(events: Iterable[TelemetryEvent]) -> bytes:
    """A record log of these events."""
    return encode_header() + b"".join(map(encode_event, events))


def write_run(folder: Path, run_id: str, records: Iterable[bytes] | None = None, log: bytes | None = None) -> Path:
    """A run's folder as W&B and the collector leave it: the run file, the record log, or both; gives the folder."""
    run = folder / f"offline-run-20261122_120000-{run_id}"
    run.mkdir(parents=True)
    if records is not None:
        (run / f"run-{run_id}.wandb").write_bytes(run_file(records))
    if log is not None:
        (run / "records.jsonl").write_bytes(log)
    return run
