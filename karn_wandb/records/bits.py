"""Many yes or no answers in one value, a bit each."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import Any, Self, overload

from karn_wandb.errors import RecordError
from karn_wandb.records._kinds import Kind
from karn_wandb.records._values import is_bool, wrong


class Bits(Sequence[bool]):
    """An immutable sequence of booleans, eight to a byte, the first one in the highest bit: `numpy.packbits`' order.

    Args:
        values: The booleans.

    Raises:
        RecordError: A value is not True or False.
    """

    __slots__ = ("_length", "_packed")

    def __init__(self, values: Iterable[bool] = ()) -> None:
        digits = []
        for place, value in enumerate(values):
            if not is_bool(value):
                raise wrong(f"bit {place}", "True or False", value)
            digits.append("1" if value else "0")
        width = -(-len(digits) // 8)
        self._keep(int("".join(digits).ljust(8 * width, "0") or "0", 2).to_bytes(width, "big"), len(digits))

    @classmethod
    def from_packed(cls, packed: bytes, length: int) -> Self:
        """The sequence whose `packed` and length these are.

        Raises:
            RecordError: There are too few or too many bytes, or a bit behind the last one is set.
        """
        spare = 8 * len(packed) - length
        if not 0 <= spare < 8 or (spare and packed[-1] & ((1 << spare) - 1)):
            raise RecordError(f"{length} bits must be in {-(-length // 8)} bytes, zeros behind them", got=f"{len(packed)} bytes")
        made = cls.__new__(cls)
        made._keep(bytes(packed), length)  # noqa: SLF001 -- its own class
        return made

    def _keep(self, packed: bytes, length: int) -> None:
        self._packed, self._length = packed, length

    @property
    def packed(self) -> bytes:
        """The bits, padded with zeros at the end."""
        return self._packed

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> bool: ...

    @overload
    def __getitem__(self, place: slice) -> Bits: ...

    def __getitem__(self, place: int | slice) -> bool | Bits:
        if isinstance(place, slice):
            return Bits(self[i] for i in range(*place.indices(self._length)))
        i = range(self._length)[place]
        return bool(self._packed[i >> 3] >> (7 - (i & 7)) & 1)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bits):
            return NotImplemented
        return self._length == other._length and self._packed == other._packed

    def __hash__(self) -> int:
        return hash((self._length, self._packed))

    def __repr__(self) -> str:
        return f"<{self._length} bits, {self.ones()} set>"

    def ones(self) -> int:
        """How many are True."""
        return int.from_bytes(self._packed, "big").bit_count()

    @classmethod
    def __kind__(cls) -> Kind:
        """How a field of this type is checked and stored: as text, the length and the bytes in base 64."""

        def check(value: Any, path: str) -> Bits:
            if isinstance(value, Bits):
                return value
            if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
                raise wrong(path, "a sequence of True or False", value)
            try:
                return cls(value)
            except RecordError as error:
                raise RecordError(f"{path}: {error.what}", got=error.got, do=error.do) from None

        def encode(value: Bits) -> str:
            return f"{len(value)}:{b64encode(value.packed).decode()}"

        def decode(plain: Any) -> Bits:
            length, _, text = plain.partition(":")
            return cls.from_packed(b64decode(text, validate=True), int(length))

        return Kind("a sequence of True or False", check, encode, decode)
