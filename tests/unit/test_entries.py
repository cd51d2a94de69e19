"""Ledger entries: every type survives a round trip; nothing else is read."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupseal.encoding import Writer
from groupseal.entries import (
    Approval,
    Body,
    Entry,
    EntryType,
    EpochClosed,
    Generation,
    GroupNamed,
    GroupReconciled,
    KeyBound,
    KeyKind,
    KeyRefused,
    KeyRotated,
    KeyUnbound,
    OrganisationCreated,
    PolicyChanged,
    TrustChanged,
    TrustMode,
    Unknown,
)
from groupseal.errors import MalformedError, UpgradeNeededError
from groupseal.labels import Label
from groupseal.suites import Suite
from groupseal.trust import MembershipCheck, TrustSettings

ids = st.binary(min_size=16, max_size=16)
hashes = st.binary(min_size=32, max_size=32)
signatures = st.binary(min_size=64, max_size=64)
blobs = st.binary(max_size=40)
texts = st.text(max_size=20)
modes = st.sampled_from(TrustMode)
u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
rosters = st.sets(ids, max_size=4).map(lambda found: tuple(sorted(found)))
bases, optional_hashes = st.none() | u64, st.none() | hashes


@st.composite
def bound_keys(draw: st.DrawFn) -> KeyBound:
    suite = draw(st.sampled_from(Suite))
    key = draw(st.binary(min_size=32, max_size=32)) * (suite.public_key_length // 32)
    endorsing = draw(optional_hashes)
    return KeyBound(
        draw(ids),
        draw(hashes),
        suite,
        key,
        draw(hashes),
        draw(signatures),
        draw(modes),
        replaces=draw(st.booleans()),
        evidence_digest=draw(optional_hashes),
        evidence_time_ms=draw(bases),
        subject_digest=draw(optional_hashes),
        sealed_subject_digest=draw(optional_hashes),
        endorsing_key_id=endorsing,
        endorsement=None if endorsing is None else draw(signatures),
    )


BODIES: dict[type[Body], st.SearchStrategy[Any]] = {
    OrganisationCreated: st.builds(
        OrganisationCreated, hashes, blobs, modes, hashes, hashes, optional_hashes
    ),
    KeyBound: bound_keys(),
    KeyRefused: st.builds(KeyRefused, ids, hashes, texts),
    KeyUnbound: st.builds(KeyUnbound, ids, hashes, texts),
    GroupNamed: st.builds(GroupNamed, ids, bases, hashes),
    EpochClosed: st.builds(EpochClosed, ids, bases, u32, rosters, rosters, hashes),
    GroupReconciled: st.builds(
        GroupReconciled,
        *(ids, bases, u32, st.booleans(), blobs, rosters, rosters, hashes, hashes, u32),
        *(optional_hashes, optional_hashes),
    ),
    PolicyChanged: st.builds(PolicyChanged, hashes),
    KeyRotated: st.builds(KeyRotated, st.sampled_from(KeyKind), blobs, blobs, hashes, blobs, blobs),
    Approval: st.builds(Approval, ids, ids, hashes, hashes, u64, signatures),
    Generation: st.builds(Generation, u32, u64, hashes, blobs),
    TrustChanged: st.builds(
        TrustChanged,
        st.builds(
            TrustSettings, modes, texts, texts, texts, st.sampled_from(MembershipCheck), texts
        ),
    ),
}
entries = st.builds(Entry, ids, u64, u64, st.one_of(*BODIES.values()), st.booleans())


def raw(
    number: int, body: bytes = b"", *, version: int = 1, critical: int = 1, more: bytes = b""
) -> bytes:
    writer = Writer(Label.ENTRY).u8(version).u8(critical).u16(number)
    return writer.identifier(bytes(16)).u64(0).u64(0).var(body).bytes() + more


def test_every_type_is_tried() -> None:
    assert {body.type for body in BODIES} == set(EntryType)


@given(entries)
def test_an_entry_survives_a_round_trip(entry: Entry) -> None:
    assert Entry.from_bytes(entry.to_bytes()) == entry


@given(entries, st.data())
def test_an_accepted_entry_has_one_form(entry: Entry, data: st.DataObject) -> None:
    """Whatever one byte is changed: refused, or another entry with exactly these bytes."""
    encoded = bytearray(entry.to_bytes())
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        other = Entry.from_bytes(bytes(encoded))
    except (MalformedError, UpgradeNeededError):
        return
    assert other != entry
    assert other.to_bytes() == bytes(encoded)


@given(entries, st.data())
def test_a_cut_or_longer_entry_is_refused(entry: Entry, data: st.DataObject) -> None:
    encoded = entry.to_bytes()
    for wrong in (encoded[: data.draw(st.integers(0, len(encoded) - 1))], encoded + b"\x00"):
        with pytest.raises(MalformedError):
            Entry.from_bytes(wrong)


@given(st.integers(len(EntryType) + 1, 2**16 - 1), blobs)
def test_an_unknown_type_is_kept_or_stops(number: int, body: bytes) -> None:
    """Uncritical: kept as it is. Critical: a reader that does not know it may not go on."""
    entry = Entry.from_bytes(raw(number, body, critical=0))
    assert entry.body == Unknown(number, body)
    assert entry.to_bytes() == raw(number, body, critical=0)
    with pytest.raises(UpgradeNeededError):
        Entry.from_bytes(raw(number, body))


@pytest.mark.parametrize("critical", [0, 1])
def test_another_version_stops(critical: int) -> None:
    """Also a critical flag cannot be trusted then, and the rest may have another form."""
    for more in (b"", b"a field that version 1 does not have"):
        with pytest.raises(UpgradeNeededError):
            Entry.from_bytes(raw(8, bytes(32), version=2, critical=critical, more=more))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (EntryType.POLICY_CHANGED, bytes(31)),
        (EntryType.POLICY_CHANGED, bytes(33)),
        (EntryType.KEY_ROTATED, b"\x09" + bytes(48)),
        (EntryType.KEY_REFUSED, bytes(48) + b"\x00\x00\x00\x01\xff"),
        (EntryType.ORGANISATION_CREATED, bytes(36) + b"\x09" + bytes(65)),
        (EntryType.KEY_BOUND, bytes(48) + b"\x00\x09" + bytes(200)),
        (
            EntryType.KEY_BOUND,
            bytes(48) + b"\x00\x02" + b"\x00\x00\x00\x01x" + bytes(96) + b"\x03" + bytes(3),
        ),
    ],
    ids=["short", "long", "key kind", "reason", "trust mode", "suite", "key length"],
)
def test_a_body_with_another_form_is_refused(kind: EntryType, body: bytes) -> None:
    with pytest.raises(MalformedError):
        Entry.from_bytes(raw(kind, body))
