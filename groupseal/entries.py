"""Ledger entries: typed, canonical, versioned.

An entry's bytes are: label, version (u8), critical (flag), type (u16), organisation (16 bytes),
position (u64), time in milliseconds (u64), body (u32 length and bytes). Its leaf hash in the
ledger is that of RFC 9162 over these bytes. Bulky data travels beside an entry as *parts*; the
entry holds their hashes, so that parts can be pruned without breaking the log.
"""

from dataclasses import dataclass

from groupseal.encoding import Reader, Writer
from groupseal.entry_types import EntryType
from groupseal.errors import UpgradeNeededError
from groupseal.group_entries import EpochClosed, GroupNamed, GroupReconciled
from groupseal.key_entries import Approval, KeyBound, KeyRefused, KeyUnbound
from groupseal.labels import Label
from groupseal.organisation_entries import (
    Generation,
    KeyKind,
    KeyRotated,
    OrganisationCreated,
    PolicyChanged,
    TrustChanged,
)
from groupseal.trust import TrustMode

__all__ = [
    "Approval",
    "Body",
    "Entry",
    "EntryType",
    "EpochClosed",
    "Generation",
    "GroupBody",
    "GroupNamed",
    "GroupReconciled",
    "KeyBound",
    "KeyKind",
    "KeyRefused",
    "KeyRotated",
    "KeyUnbound",
    "OrganisationCreated",
    "PolicyChanged",
    "TrustChanged",
    "TrustMode",
    "Unknown",
]

ENTRY_VERSION = 1

Body = (
    OrganisationCreated
    | KeyBound
    | KeyRefused
    | KeyUnbound
    | GroupNamed
    | EpochClosed
    | GroupReconciled
    | PolicyChanged
    | KeyRotated
    | Approval
    | Generation
    | TrustChanged
)
GroupBody = GroupNamed | EpochClosed | GroupReconciled

_BODIES: dict[int, type[Body]] = {
    body.type: body
    for body in (
        OrganisationCreated,
        KeyBound,
        KeyRefused,
        KeyUnbound,
        GroupNamed,
        EpochClosed,
        GroupReconciled,
        PolicyChanged,
        KeyRotated,
        Approval,
        Generation,
        TrustChanged,
    )
}


@dataclass(frozen=True, slots=True)
class Unknown:
    """An uncritical entry of a kind this version does not know: hashed and kept, not projected."""

    number: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry at its place in one organisation's ledger."""

    organisation: bytes
    position: int
    time_ms: int
    body: Body | Unknown
    critical: bool = True

    def to_bytes(self) -> bytes:
        if isinstance(self.body, Unknown):
            number, body = self.body.number, self.body.body
        else:
            writer = Writer()
            self.body.write(writer)
            number, body = self.body.type, writer.bytes()
        return (
            Writer(Label.ENTRY)
            .u8(ENTRY_VERSION)
            .flag(self.critical)
            .u16(number)
            .identifier(self.organisation)
            .u64(self.position)
            .u64(self.time_ms)
            .var(body)
            .bytes()
        )

    @staticmethod
    def from_bytes(data: bytes) -> "Entry":
        """Raises MalformedError, or UpgradeNeededError for an unknown critical kind or version."""
        reader = Reader(data, Label.ENTRY)
        version = reader.u8()
        if version != ENTRY_VERSION:
            # What follows may have another form: read no further.
            raise UpgradeNeededError(f"an entry has version {version}, unknown here")
        critical, number = reader.flag(), reader.u16()
        organisation, position, time_ms = reader.identifier(), reader.u64(), reader.u64()
        content = reader.var()
        reader.end()
        kind = _BODIES.get(number)
        if kind is None:
            if critical:
                raise UpgradeNeededError(f"entry {position} has type {number}, unknown here")
            return Entry(organisation, position, time_ms, Unknown(number, content), critical)
        inner = Reader(content)
        body = kind.read(inner)
        inner.end()
        return Entry(organisation, position, time_ms, body, critical)
