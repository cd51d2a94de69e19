"""Canonical binary encoding: one representation per value, nothing left over.

Integers are unsigned and big-endian; byte strings and lists are preceded by their length (u32);
text is UTF-8. A reader checks exact lengths before it uses anything and refuses trailing bytes, so
that decode(encode(x)) == x and encode(decode(b)) == b hold for everything it accepts.
"""

from collections.abc import Iterable, Sequence
from struct import Struct

from groupseal.errors import MalformedError

_U8, _U16, _U32, _U64 = Struct(">B"), Struct(">H"), Struct(">I"), Struct(">Q")
ID_LENGTH = 16
HASH_LENGTH = 32


class Writer:
    """Builds an encoding field by field."""

    def __init__(self, label: bytes = b"") -> None:
        self._parts: list[bytes] = []
        if label:
            self.label(label)

    def label(self, value: bytes) -> "Writer":
        """A domain label: length (u8) and bytes."""
        self._parts += (_U8.pack(len(value)), bytes(value))
        return self

    def u8(self, value: int) -> "Writer":
        self._parts.append(_U8.pack(value))
        return self

    def u16(self, value: int) -> "Writer":
        self._parts.append(_U16.pack(value))
        return self

    def u32(self, value: int) -> "Writer":
        self._parts.append(_U32.pack(value))
        return self

    def u64(self, value: int) -> "Writer":
        self._parts.append(_U64.pack(value))
        return self

    def fixed(self, value: bytes, length: int) -> "Writer":
        """Exactly `length` bytes, without a length in front."""
        if len(value) != length:
            raise ValueError(f"expected {length} bytes, got {len(value)}")
        self._parts.append(value)
        return self

    def identifier(self, value: bytes) -> "Writer":
        return self.fixed(value, ID_LENGTH)

    def hash(self, value: bytes) -> "Writer":
        return self.fixed(value, HASH_LENGTH)

    def var(self, value: bytes) -> "Writer":
        self._parts += (_U32.pack(len(value)), value)
        return self

    def text(self, value: str) -> "Writer":
        return self.var(value.encode("utf-8"))

    def flag(self, value: bool) -> "Writer":
        return self.u8(1 if value else 0)

    def optional_u64(self, value: int | None) -> "Writer":
        """Presence flag, then the number."""
        self.flag(value is not None)
        return self if value is None else self.u64(value)

    def optional_hash(self, value: bytes | None) -> "Writer":
        self.flag(value is not None)
        return self if value is None else self.hash(value)

    def identifiers(self, values: Sequence[bytes]) -> "Writer":
        """A set of identifiers: count, then the members, strictly ascending."""
        require_strictly_ascending(values)
        if any(len(value) != ID_LENGTH for value in values):
            raise ValueError(f"expected identifiers of {ID_LENGTH} bytes")
        self.u32(len(values))
        self._parts += values
        return self

    def bytes(self) -> bytes:
        return b"".join(self._parts)


class Reader:
    """Takes an encoding apart; every method raises MalformedError on anything not canonical."""

    def __init__(self, data: bytes, label: bytes = b"") -> None:
        self._data = data
        self._at = 0
        if label:
            self.label(label)

    def _take(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._data):
            raise MalformedError(f"encoding ends {end - len(self._data)} bytes early")
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def label(self, expected: bytes) -> None:
        if self._take(self.u8()) != bytes(expected):
            raise MalformedError(f"encoding does not begin with label {expected.decode()}")

    def u8(self) -> int:
        return self._take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self._take(2), "big")

    def u32(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def u64(self) -> int:
        return int.from_bytes(self._take(8), "big")

    def fixed(self, length: int) -> bytes:
        return self._take(length)

    def identifier(self) -> bytes:
        return self._take(ID_LENGTH)

    def hash(self) -> bytes:
        return self._take(HASH_LENGTH)

    def var(self) -> bytes:
        return self._take(self.u32())

    def text(self) -> str:
        try:
            return self.var().decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedError("text is not UTF-8") from error

    def flag(self) -> bool:
        value = self.u8()
        if value > 1:
            raise MalformedError(f"a flag is 0 or 1, not {value}")
        return value == 1

    def optional_u64(self) -> int | None:
        return self.u64() if self.flag() else None

    def optional_hash(self) -> bytes | None:
        return self.hash() if self.flag() else None

    def identifiers(self) -> tuple[bytes, ...]:
        count = self.u32()
        block = self._take(count * ID_LENGTH)
        values = tuple(block[i : i + ID_LENGTH] for i in range(0, len(block), ID_LENGTH))
        try:
            require_strictly_ascending(values)
        except ValueError as error:
            raise MalformedError(str(error)) from error
        return values

    def end(self) -> None:
        """Refuses anything left over."""
        left = len(self._data) - self._at
        if left:
            raise MalformedError(f"{left} bytes after the end of the encoding")


def require_strictly_ascending(values: Iterable[bytes]) -> None:
    """Raises ValueError unless the values are sorted and unique."""
    previous: bytes | None = None
    for value in values:
        if previous is not None and value <= previous:
            raise ValueError("identifiers are not sorted and unique")
        previous = value


def encode_byte_strings(values: Sequence[bytes]) -> bytes:
    """Count (u32), then each byte string with its length (u32)."""
    pieces = [_U32.pack(len(values))]
    for value in values:
        pieces += (_U32.pack(len(value)), value)
    return b"".join(pieces)


def decode_byte_strings(data: bytes) -> list[bytes]:
    """The inverse of `encode_byte_strings`. Raises MalformedError."""
    reader = Reader(data)
    values = [reader.var() for _ in range(reader.u32())]
    reader.end()
    return values
