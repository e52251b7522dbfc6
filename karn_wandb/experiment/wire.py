"""Records of a run file into plain Python values.

History and summary, of which nearly all of a file consists, are read from the bytes of the protocol buffers (protobuf.dev,
"Encoding"): with messages made of them first a file takes twice as long. All else comes as messages.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import msgspec

HISTORY, SUMMARY, CONFIG, ARTIFACT, METRIC, RUN, EXIT = 2, 3, 5, 8, 12, 17, 18
"""Field numbers of the kinds of record, in wandb_internal.proto, that say something about the run."""

_KINDS = {HISTORY, SUMMARY, CONFIG, ARTIFACT, METRIC, RUN, EXIT}
_UPDATE, _REMOVE = 1, 2
"""Field numbers of SummaryRecord; HistoryRecord has its items under the first."""

_KEY, _PART, _VALUE = 1, 2, 16
"""Field numbers of HistoryItem and SummaryItem."""

_BYTES = 2
"""Wire type of text, bytes and messages. They begin with their length, in one byte up to `_ONE_BYTE`, two up to `_TWO_BYTES`."""

_ONE_BYTE, _TWO_BYTES = 2**7 - 1, 2**14 - 1
_ITEM_TAG, _VALUE_TAG = b"\n", b"\x82\x01"
_DOUBLE = struct.Struct("<d")
_decoder = msgspec.json.Decoder(list[Any])

Items = tuple[list[str], list[bytes]]
"""Keys, and the JSON text of each one's value."""


def body_of(payload: bytes) -> tuple[int, int, int]:
    """Field number of a record's kind, and where its content begins and stops; zeros when it has none that is ours.

    Raises:
        ValueError: The record is not as protocol buffers are.
        IndexError: The same.
    """
    at = 0
    while at < len(payload):
        tag, at = (payload[at], at + 1) if payload[at] <= _ONE_BYTE else _varint(payload, at)
        if tag & 7 == _BYTES:
            length, at = _varint(payload, at)
            if tag >> 3 in _KINDS and at + length <= len(payload):
                return tag >> 3, at, at + length
            at += length
        else:
            at += _length(payload, at, tag & 7)
    return 0, 0, 0


def _fields(data: bytes, at: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Number of each field of a message, and where its content begins and stops."""
    while at < stop:
        tag, at = _varint(data, at)
        end = at + _length(data, at, tag & 7)
        if tag & 7 == _BYTES:
            length, at = _varint(data, at)
            end = at + length
        if end > stop:
            raise ValueError("a field is longer than what it is in")
        yield tag >> 3, at, end
        at = end


def _length(data: bytes, at: int, wire: int) -> int:
    match wire:
        case 0:
            return _varint(data, at)[1] - at
        case 1:
            return 8
        case 2:
            return 0  # said before the content
        case 5:
            return 4
    raise ValueError(f"wire type {wire}")


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = payload[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


class ItemReader:
    """Reads what history and summary records hold: of each item the key and the text of its JSON value.

    A value in the typed form, which began with wandb 0.31, is given as JSON too.
    """

    def __init__(self) -> None:
        self._keys = _Keys()

    def row(self, payload: bytes, start: int, stop: int) -> dict[str, Any]:
        """The row of a history record whose content is at a place of a record.

        Raises:
            ValueError: The record is not as W&B writes them.
            IndexError: The same.
        """
        content = payload[start:stop]
        straight = self._straight(content, (_UPDATE,)) if len(content) <= _TWO_BYTES else None
        names, texts = straight or _items(payload, start, stop, _UPDATE)
        return dict(zip(names, decoded(texts), strict=True))

    def summarise(self, summary: dict[str, bytes], contents: Sequence[bytes]) -> Iterator[tuple[int, Exception]]:
        """Bring the texts of a summary up to date by the contents of summary records, one after the other.

        A message behind another is the two merged, so nearly always all are read as one.

        Yields:
            The place of a content that is not as W&B writes them, and what is wrong with it; it is left out.
        """
        apart = all(map(_ends_with_value, contents))  # else one could reach into the next
        straight = self._straight(b"".join(contents), (_UPDATE, _REMOVE)) if apart else None
        if straight is not None:
            summary.update(zip(*straight, strict=True))
            return
        for place, content in enumerate(contents):
            try:
                brought, removed = (_items(content, 0, len(content), of) for of in (_UPDATE, _REMOVE))
            except (ValueError, IndexError) as error:
                yield place, error
                continue
            summary.update(zip(*brought, strict=True))
            for name in removed[0]:
                summary.pop(name, None)

    def _straight(self, content: bytes, items: Container[int]) -> Items | None:
        """The items, where they come first and each is a key and a JSON value, as nearly always.

        Such content is cut where the tag of a value stands. Each piece must then be a length of one byte or two, a text that
        long, and the beginning of the next item up to its value; behind the last there may be fields that are no items.
        None when that is not so: the content is to be read field by field. No value may be longer than `_TWO_BYTES`.
        """
        first, *pieces = content.split(_VALUE_TAG)
        if not all(pieces) or not pieces:
            return None
        texts = [p[1 : p[0] + 1] if p[0] <= _ONE_BYTE else p[2 : _long(p)] for p in pieces]
        heads = [first, *[p[p[0] + 1 :] if p[0] <= _ONE_BYTE else p[_long(p) :] for p in pieces]]
        trailing, last = heads.pop(), pieces[-1]
        whole = len(last) == len(texts[-1]) + len(trailing) + (1 if last[0] <= _ONE_BYTE else 2)
        if not whole or (trailing and not _apart(trailing, items)):
            return None
        keys = self._keys
        names = [keys[head] for head in heads]
        return None if None in names else (names, texts)  # type: ignore[return-value]  # None is in none


def _ends_with_value(content: bytes) -> bool:
    """Whether the JSON text behind the last tag of a value ends where the content does, and is not longer than can be said."""
    last = content.rpartition(_VALUE_TAG)[2]
    return last != b"" and len(last) == (last[0] + 1 if last[0] <= _ONE_BYTE else _long(last)) and len(content) <= _TWO_BYTES


def _apart(trailing: bytes, items: Container[int]) -> bool:
    """Whether no field there is an item; nearly always there is one field, the row's step."""
    if len(trailing) > 1 and trailing[0] & 7 == _BYTES and len(trailing) == 2 + trailing[1]:
        return trailing[0] >> 3 not in items
    return all(number not in items for number, _, _ in _fields(trailing, 0, len(trailing)))


class _Keys(dict[bytes, str | None]):
    """The key that each beginning of an item stands for; None for what is none. A run has few."""

    def __missing__(self, head: bytes) -> str | None:
        try:
            key = _key_of(head)
        except (ValueError, IndexError):
            return None
        self[head] = key
        return key


def _long(piece: bytes) -> int:
    """Where a text ends whose length takes two bytes."""
    return 2 + piece[0] + (piece[1] - 1 << 7) if len(piece) > 1 else 0


def _key_of(head: bytes) -> str | None:
    """The key of an item that has nothing else before its value."""
    _, at = _varint(head, len(_ITEM_TAG))
    alone = all(number in (_KEY, _PART) for number, _, _ in _fields(head, at, len(head)))
    return _item(head, at, len(head))[0] if alone and head.startswith(_ITEM_TAG) else None


def _items(data: bytes, at: int, stop: int, wanted: int) -> Items:
    """The items of a number in a record's content, field by field."""
    names, texts = [], []
    for number, start, end in _fields(data, at, stop):
        if number == wanted:
            name, text = _item(data, start, end)
            names.append(name)
            texts.append(text)
    return names, texts


def _item(data: bytes, at: int, stop: int) -> tuple[str, bytes]:
    """The key in one piece (one with "/" or "." in it is a single part and stays as it is), and the value as JSON."""
    key, parts, text, typed = "", [], b"", b"null"
    for number, start, end in _fields(data, at, stop):
        if number == _KEY:
            key = data[start:end].decode()
        elif number == _PART:
            parts.append(data[start:end].decode())
        elif number == _VALUE:
            text = data[start:end]
        elif number in _TYPED:
            typed = _TYPED[number](data[start:end])
    return ".".join(parts) or key, text or typed


_TYPED: Mapping[int, Callable[[bytes], bytes]] = {
    3: lambda _: b"null",
    4: lambda content: b"true" if any(content) else b"false",
    5: lambda content: _signed(_varint(content, 0)[0]),
    6: lambda content: json.dumps(_DOUBLE.unpack(content)[0]).encode(),
    7: lambda content: json.dumps(content.decode()).encode(),
    8: bytes,
}
"""The fields of a value's typed form: nothing, truth, whole number, number, text, JSON."""


def _signed(zigzag: int) -> bytes:
    return b"%d" % (zigzag >> 1 ^ -(zigzag & 1))


def decoded(texts: Iterable[bytes]) -> list[Any]:
    """The values of JSON texts. They are decoded together: a call each takes far longer."""
    together = b"[" + b",".join(texts) + b"]"
    try:
        return _decoder.decode(together)
    except (msgspec.DecodeError, UnicodeDecodeError):
        values: list[Any] = json.loads(together)  # takes NaN and Infinity, as W&B writes them
        return values


def configure(config: dict[str, Any], record: Any) -> None:
    """Bring a run's configuration up to date."""
    for item in record.update:
        *path, last = item.nested_key or [item.key]
        _inner(config, path)[last] = json.loads(item.value_json)
    for item in record.remove:
        *path, last = item.nested_key or [item.key]
        _inner(config, path).pop(last, None)


def _inner(tree: dict[str, Any], path: Iterable[str]) -> MutableMapping[str, Any]:
    """The mapping at a path, made where there is none."""
    for name in path:
        if not isinstance(tree.get(name), dict):
            tree[name] = {}
        tree = tree[name]
    return tree
