"""The canonical encoding: one representation per value, and nothing else is read."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupseal.encoding import (
    Reader,
    Writer,
    decode_byte_strings,
    encode_byte_strings,
    require_strictly_ascending,
)
from groupseal.errors import MalformedError

identifiers = st.binary(min_size=16, max_size=16)
hashes = st.binary(min_size=32, max_size=32)

# How a field is written and read -> the values it may have.
FIELDS: dict[str, tuple[Callable[[Writer, Any], Writer], Callable[[Reader], Any], Any]] = {
    "u8": (Writer.u8, Reader.u8, st.integers(0, 2**8 - 1)),
    "u16": (Writer.u16, Reader.u16, st.integers(0, 2**16 - 1)),
    "u32": (Writer.u32, Reader.u32, st.integers(0, 2**32 - 1)),
    "u64": (Writer.u64, Reader.u64, st.integers(0, 2**64 - 1)),
    "identifier": (Writer.identifier, Reader.identifier, identifiers),
    "hash": (Writer.hash, Reader.hash, hashes),
    "var": (Writer.var, Reader.var, st.binary(max_size=40)),
    "text": (Writer.text, Reader.text, st.text(max_size=20)),
    "flag": (Writer.flag, Reader.flag, st.booleans()),
    "optional_u64": (
        Writer.optional_u64,
        Reader.optional_u64,
        st.none() | st.integers(0, 2**64 - 1),
    ),
    "optional_hash": (Writer.optional_hash, Reader.optional_hash, st.none() | hashes),
    "identifiers": (
        Writer.identifiers,
        Reader.identifiers,
        st.sets(identifiers, max_size=5).map(lambda found: tuple(sorted(found))),
    ),
}
records = st.lists(
    st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.tuples(st.just(name), FIELDS[name][2])),
    max_size=8,
)


def write(record: list[tuple[str, Any]], label: bytes = b"") -> bytes:
    writer = Writer(label)
    for name, value in record:
        FIELDS[name][0](writer, value)
    return writer.bytes()


def read(kinds: list[str], data: bytes, label: bytes = b"") -> list[tuple[str, Any]]:
    reader = Reader(data, label)
    record = [(name, FIELDS[name][1](reader)) for name in kinds]
    reader.end()
    return record


@given(records, st.binary(min_size=1, max_size=20))
def test_what_was_written_is_read(record: list[tuple[str, Any]], label: bytes) -> None:
    """decode(encode(x)) == x, for every sequence of fields, with and without a label."""
    kinds = [name for name, _ in record]
    assert read(kinds, write(record)) == record
    assert read(kinds, write(record, label), label) == record


@given(st.lists(st.sampled_from(sorted(FIELDS)), max_size=5), st.binary(max_size=60))
def test_what_is_read_is_what_would_be_written(kinds: list[str], data: bytes) -> None:
    """encode(decode(b)) == b, for all bytes that are accepted at all."""
    try:
        record = read(kinds, data)
    except MalformedError:
        return
    assert write(record) == data


@given(records, st.binary(min_size=1, max_size=3), st.data())
def test_one_byte_more_or_less_is_refused(
    record: list[tuple[str, Any]], extra: bytes, data: st.DataObject
) -> None:
    """Nothing may follow, and nothing may be missing."""
    encoded, kinds = write(record), [name for name, _ in record]
    with pytest.raises(MalformedError, match="after the end"):
        read(kinds, encoded + extra)
    if encoded:
        cut = data.draw(st.integers(0, len(encoded) - 1))
        with pytest.raises(MalformedError):
            read(kinds, encoded[:cut])


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("flag", b"\x02"),
        ("optional_u64", b"\x02" + bytes(8)),
        ("text", b"\x00\x00\x00\x01\xff"),
        ("var", b"\xff\xff\xff\xff"),
        ("identifiers", b"\xff\xff\xff\xff"),
        ("identifiers", b"\x00\x00\x00\x02" + bytes(32)),
        ("identifiers", b"\x00\x00\x00\x02" + b"\x02" * 16 + b"\x01" * 16),
    ],
    ids=["flag", "presence", "utf-8", "length", "count", "repeated", "unsorted"],
)
def test_other_forms_of_a_value_are_refused(kind: str, data: bytes) -> None:
    with pytest.raises(MalformedError):
        read([kind], data)


def test_another_label_is_refused() -> None:
    data = Writer(b"groupseal/v1/one").u8(1).bytes()
    for label in (b"groupseal/v1/two", b"groupseal/v1/on", b"groupseal/v1/one2"):
        with pytest.raises(MalformedError, match="does not begin"):
            Reader(data, label)


def test_a_writer_refuses_what_no_reader_would_accept() -> None:
    """A programmer's mistake is a ValueError at once, not bytes that nobody can read."""
    with pytest.raises(ValueError, match="16 bytes"):
        Writer().identifier(b"short")
    with pytest.raises(ValueError, match="32 bytes"):
        Writer().hash(bytes(31))
    with pytest.raises(ValueError, match="sorted and unique"):
        Writer().identifiers([bytes(16), bytes(16)])
    with pytest.raises(ValueError, match="sorted and unique"):
        require_strictly_ascending([b"b", b"a"])


@given(st.lists(st.binary(max_size=20), max_size=8), st.binary(min_size=1, max_size=3))
def test_byte_strings(values: list[bytes], extra: bytes) -> None:
    encoded = encode_byte_strings(values)
    assert decode_byte_strings(encoded) == values
    for wrong in (encoded + extra, encoded[:-1]):
        with pytest.raises(MalformedError):
            decode_byte_strings(wrong)
