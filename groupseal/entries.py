"""Ledger entries: typed, canonical, versioned.

An entry's bytes are: label, version (u8), critical (flag), type (u16), organisation (16 bytes),
position (u64), time in milliseconds (u64), body (u32 length and bytes). Its leaf hash in the
ledger is that of RFC 9162 over these bytes. Bulky data travels beside an entry as *parts*; the
entry holds their hashes, so that parts can be pruned without breaking the log.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

from groupseal.encoding import Reader, Writer
from groupseal.errors import MalformedError, UpgradeNeededError
from groupseal.labels import Label
from groupseal.suites import SIGNATURE_LENGTH, SIGNING_KEY_LENGTH, suite_from

ENTRY_VERSION = 1


class EntryType(IntEnum):
    """Numbers on the wire; never used again for something else."""

    ORGANISATION_CREATED = 1
    KEY_BOUND = 2
    KEY_REFUSED = 3
    KEY_UNBOUND = 4
    GROUP_NAMED = 5
    EPOCH_CLOSED = 6
    GROUP_RECONCILED = 7
    POLICY_CHANGED = 8
    KEY_ROTATED = 9
    APPROVAL = 10
    GENERATION = 11


class TrustMode(IntEnum):
    """How the service decides whose key a key is."""

    OIDC = 1
    APPROVE = 2
    PIN = 3  # vendor-trusted


def _trust_mode(number: int) -> TrustMode:
    try:
        return TrustMode(number)
    except ValueError as error:
        raise MalformedError(f"no trust mode has the number {number}") from error


@dataclass(frozen=True, slots=True)
class OrganisationCreated:
    """First entry of every ledger. Part: the sealed keyset."""

    type: ClassVar = EntryType.ORGANISATION_CREATED
    signing_public_key: bytes
    evidence_public_key: bytes
    trust_mode: TrustMode
    trust_settings_digest: bytes
    sealed_keyset_digest: bytes
    # Of the offline key that must co-sign a change of the signing key.
    recovery_key_digest: bytes | None = None

    def write(self, to: Writer) -> None:
        to.fixed(self.signing_public_key, SIGNING_KEY_LENGTH).var(self.evidence_public_key)
        to.u8(self.trust_mode).hash(self.trust_settings_digest).hash(self.sealed_keyset_digest)
        to.optional_hash(self.recovery_key_digest)

    @classmethod
    def read(cls, of: Reader) -> Self:
        return cls(
            of.fixed(SIGNING_KEY_LENGTH),
            of.var(),
            _trust_mode(of.u8()),
            of.hash(),
            of.hash(),
            of.optional_hash(),
        )


@dataclass(frozen=True, slots=True)
class KeyBound:
    """A member's device key that the service will seal to, and by which evidence."""

    type: ClassVar = EntryType.KEY_BOUND
    member: bytes
    key_id: bytes
    suite: int
    hpke_public_key: bytes
    signing_public_key: bytes
    possession_proof: bytes
    trust_mode: TrustMode
    evidence_digest: bytes | None = None
    # Salted hash of (issuer, subject).
    subject_digest: bytes | None = None
    endorsing_key_id: bytes | None = None

    def write(self, to: Writer) -> None:
        to.identifier(self.member).hash(self.key_id).u16(self.suite)
        to.var(self.hpke_public_key).fixed(self.signing_public_key, SIGNING_KEY_LENGTH)
        to.fixed(self.possession_proof, SIGNATURE_LENGTH).u8(self.trust_mode)
        to.optional_hash(self.evidence_digest).optional_hash(self.subject_digest)
        to.optional_hash(self.endorsing_key_id)

    @classmethod
    def read(cls, of: Reader) -> Self:
        entry = cls(
            of.identifier(),
            of.hash(),
            suite_from(of.u16()),
            of.var(),
            of.fixed(SIGNING_KEY_LENGTH),
            of.fixed(SIGNATURE_LENGTH),
            _trust_mode(of.u8()),
            of.optional_hash(),
            of.optional_hash(),
            of.optional_hash(),
        )
        if len(entry.hpke_public_key) != suite_from(entry.suite).public_key_length:
            raise MalformedError("the public key has another length than its suite's")
        return entry


@dataclass(frozen=True, slots=True)
class KeyRefused:
    """A key that was offered for a member and not bound: visible for ever."""

    type: ClassVar = EntryType.KEY_REFUSED
    member: bytes
    key_id: bytes
    reason: str

    def write(self, to: Writer) -> None:
        to.identifier(self.member).hash(self.key_id).text(self.reason)

    @classmethod
    def read(cls, of: Reader) -> Self:
        return cls(of.identifier(), of.hash(), of.text())


@dataclass(frozen=True, slots=True)
class KeyUnbound:
    """A key that is no longer sealed to. Every group that was granted to it rotates."""

    type: ClassVar = EntryType.KEY_UNBOUND
    member: bytes
    key_id: bytes
    reason: str

    def write(self, to: Writer) -> None:
        to.identifier(self.member).hash(self.key_id).text(self.reason)

    @classmethod
    def read(cls, of: Reader) -> Self:
        return cls(of.identifier(), of.hash(), of.text())


@dataclass(frozen=True, slots=True)
class GroupNamed:
    """The group's name and its id at the identity provider.

    Part: salt, name and id. The entry holds only their hash, because everyone in the organisation
    may read entries, and a group's name concerns its members.
    """

    type: ClassVar = EntryType.GROUP_NAMED
    group: bytes
    base: int | None
    name_digest: bytes

    def write(self, to: Writer) -> None:
        to.identifier(self.group).optional_u64(self.base).hash(self.name_digest)

    @classmethod
    def read(cls, of: Reader) -> Self:
        return cls(of.identifier(), of.optional_u64(), of.hash())


@dataclass(frozen=True, slots=True)
class EpochClosed:
    """Somebody left: from here on nothing may be written under this epoch."""

    type: ClassVar = EntryType.EPOCH_CLOSED
    group: bytes
    # Position of the group's entry before this one.
    base: int | None
    epoch: int
    joined: tuple[bytes, ...]
    left: tuple[bytes, ...]
    roster_digest: bytes

    def write(self, to: Writer) -> None:
        to.identifier(self.group).optional_u64(self.base).u32(self.epoch)
        to.identifiers(self.joined).identifiers(self.left).hash(self.roster_digest)

    @classmethod
    def read(cls, of: Reader) -> Self:
        return cls(
            of.identifier(),
            of.optional_u64(),
            of.u32(),
            of.identifiers(),
            of.identifiers(),
            of.hash(),
        )


@dataclass(frozen=True, slots=True)
class GroupReconciled:
    """A change of a group's roster and a batch of grants of one epoch, possibly a new one.

    Parts: the grants, their envelopes, and where the entry opens an epoch its sealed secret and,
    after the first, the history link.
    """

    type: ClassVar = EntryType.GROUP_RECONCILED
    group: bytes
    base: int | None
    epoch: int
    # This entry opens the epoch.
    opens: bool
    group_public_key: bytes
    joined: tuple[bytes, ...]
    left: tuple[bytes, ...]
    roster_digest: bytes
    grants_root: bytes
    grants_count: int
    sealed_secret_digest: bytes | None = None
    history_link_digest: bytes | None = None

    def write(self, to: Writer) -> None:
        to.identifier(self.group).optional_u64(self.base).u32(self.epoch).flag(self.opens)
        to.var(self.group_public_key).identifiers(self.joined).identifiers(self.left)
        to.hash(self.roster_digest).hash(self.grants_root).u32(self.grants_count)
        to.optional_hash(self.sealed_secret_digest).optional_hash(self.history_link_digest)

    @classmethod
    def read(cls, of: Reader) -> Self:
        return cls(
            of.identifier(),
            of.optional_u64(),
            of.u32(),
            of.flag(),
            of.var(),
            of.identifiers(),
            of.identifiers(),
            of.hash(),
            of.hash(),
            of.u32(),
            of.optional_hash(),
            of.optional_hash(),
        )


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """The customer's policy is another one from here on."""

    type: ClassVar = EntryType.POLICY_CHANGED
    policy_digest: bytes

    def write(self, to: Writer) -> None:
        to.hash(self.policy_digest)

    @classmethod
    def read(cls, of: Reader) -> Self:
        return cls(of.hash())


class KeyKind(IntEnum):
    """Which of the organisation's keys a `KeyRotated` is about."""

    SIGNING = 1
    EVIDENCE = 2
    KEY_ENCRYPTION = 3


@dataclass(frozen=True, slots=True)
class KeyRotated:
    """One of the organisation's own keys was replaced. Part: the sealed keyset."""

    type: ClassVar = EntryType.KEY_ROTATED
    kind: KeyKind
    old_key: bytes
    new_key: bytes
    sealed_keyset_digest: bytes
    # By the old signing key and by the offline recovery key, where the kind demands them.
    signature: bytes
    cosignature: bytes

    def write(self, to: Writer) -> None:
        to.u8(self.kind).var(self.old_key).var(self.new_key).hash(self.sealed_keyset_digest)
        to.var(self.signature).var(self.cosignature)

    @classmethod
    def read(cls, of: Reader) -> Self:
        number = of.u8()
        try:
            kind = KeyKind(number)
        except ValueError as error:
            raise MalformedError(f"no kind of key has the number {number}") from error
        return cls(kind, of.var(), of.var(), of.hash(), of.var(), of.var())


@dataclass(frozen=True, slots=True)
class Approval:
    """An approver's signature that lets one key of one member into one protected group."""

    type: ClassVar = EntryType.APPROVAL
    group: bytes
    member: bytes
    key_id: bytes
    approver_key: bytes
    expires_ms: int
    signature: bytes

    def write(self, to: Writer) -> None:
        to.identifier(self.group).identifier(self.member).hash(self.key_id)
        to.fixed(self.approver_key, SIGNING_KEY_LENGTH).u64(self.expires_ms)
        to.fixed(self.signature, SIGNATURE_LENGTH)

    @classmethod
    def read(cls, of: Reader) -> Self:
        return cls(
            of.identifier(),
            of.identifier(),
            of.hash(),
            of.fixed(SIGNING_KEY_LENGTH),
            of.u64(),
            of.fixed(SIGNATURE_LENGTH),
        )


@dataclass(frozen=True, slots=True)
class Generation:
    """The service was restored; from here on its history continues from this head."""

    type: ClassVar = EntryType.GENERATION
    number: int
    previous_size: int
    previous_root: bytes
    cosignature: bytes

    def write(self, to: Writer) -> None:
        to.u32(self.number).u64(self.previous_size).hash(self.previous_root)
        to.var(self.cosignature)

    @classmethod
    def read(cls, of: Reader) -> Self:
        return cls(of.u32(), of.u64(), of.hash(), of.var())


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
