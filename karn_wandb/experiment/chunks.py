"""The file format below W&B's: LevelDB's log, cut back into its records and made of them.

After a header of 7 bytes come blocks of 32 KiB, counted from the start of the file. A block holds chunks, each a header
(CRC-32 over type and payload, length, type) and a payload; a record is one whole chunk, or a first, any number of
middle ones and a last. What is left of a block is zero when no chunk header fits. Format: LevelDB, doc/log_format.md;
unlike LevelDB, W&B uses the plain CRC-32 of zlib, unmasked.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

MAGIC = b":W&B\xe1\xbe\x00"
"""First bytes of every W&B run file: name, check value, version 0."""

BLOCK = 32 * 1024
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4
_DAMAGED, _TORN = -1, -2
_HEADER = struct.Struct("<IHB")


def split_records(content: bytes, damage: list[str]) -> Iterator[tuple[int, bytes]]:
    """Cut a run file, whose `MAGIC` was checked, into its records.

    What cannot be trusted is skipped up to the next block; a torn end ends the reading.

    Args:
        content: The whole file.
        damage: Takes a line for each piece that could not be read.

    Yields:
        Where each whole record's last chunk starts, and the record.
    """
    parts: list[bytes] | None = None
    for start, kind, payload in _chunks(content):
        if kind == _DAMAGED:
            damage.append(f"bytes {start} to {start + len(payload) - 1} are damaged and left out")
            parts = None
        elif kind == _TORN:
            damage.append(f"the file ends inside a record; its last {len(payload)} bytes are left out")
            return
        elif kind in (WHOLE, FIRST):
            if parts is not None:
                damage.append(f"the record before byte {start} was never ended and is left out")
            parts = [payload]
        elif parts is not None:  # else its beginning was lost with a damaged block
            parts.append(payload)
        if kind in (WHOLE, LAST) and parts is not None:
            yield start, b"".join(parts)
            parts = None
    if parts is not None:
        damage.append(f"the file ends inside a record; its last {sum(map(len, parts))} bytes are left out")


def _chunks(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Offset, type and payload of each chunk; of a damaged piece or a torn end, all its bytes."""
    at = len(MAGIC)
    while at < len(content):
        block_end = at - at % BLOCK + BLOCK
        body = at + _HEADER.size
        if body > block_end:
            at = block_end
            continue
        if body > len(content):
            yield at, _TORN, content[at:]
            return
        checksum, length, kind = _HEADER.unpack_from(content, at)
        stop = body + length
        if len(content) < stop <= block_end:
            yield at, _TORN, content[at:]
            return
        if stop > block_end or not WHOLE <= kind <= LAST or zlib.crc32(content[body - 1 : stop]) != checksum:
            yield at, _DAMAGED, content[at:block_end]
            at = block_end
        else:
            yield at, kind, content[body:stop]
            at = stop


def join_records(records: Iterable[bytes]) -> bytes:
    """A run file with these records: what `split_records` cuts into them."""
    content = bytearray(MAGIC)
    for record in records:
        rest, begins = record, True
        while rest or begins:
            room = BLOCK - len(content) % BLOCK
            if room < _HEADER.size:
                content += bytes(room)
                room = BLOCK
            part, rest = rest[: room - _HEADER.size], rest[room - _HEADER.size :]
            kind = (MIDDLE if rest else LAST) if not begins else (FIRST if rest else WHOLE)
            content += _HEADER.pack(zlib.crc32(part, zlib.crc32(bytes([kind]))), len(part), kind) + part
            begins = False
    return bytes(content)
