"""Bodies of ledger entries about a member's device keys."""

from dataclasses import dataclass
from typing import ClassVar, Self

from groupseal.encoding import Reader, Writer
from groupseal.entry_types import EntryType
from groupseal.errors import MalformedError
from groupseal.suites import SIGNATURE_LENGTH, SIGNING_KEY_LENGTH, suite_from
from groupseal.trust import TrustMode, trust_mode_from


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
    # The member's other keys were unbound for this one.
    replaces: bool = False
    # Of the evidence document, or of the approvers' signatures.
    evidence_digest: bytes | None = None
    # `iat` of the ID token: no older evidence of this subject is taken, for ever.
    evidence_time_ms: int | None = None
    # Salted hash of (issuer, subject).
    subject_digest: bytes | None = None
    # Of the part that holds salt, issuer and subject, sealed for the service alone.
    sealed_subject_digest: bytes | None = None
    # The bound key of the same member that endorsed this one, and its signature.
    endorsing_key_id: bytes | None = None
    endorsement: bytes | None = None

    def write(self, to: Writer) -> None:
        to.identifier(self.member).hash(self.key_id).u16(self.suite)
        to.var(self.hpke_public_key).fixed(self.signing_public_key, SIGNING_KEY_LENGTH)
        to.fixed(self.possession_proof, SIGNATURE_LENGTH).u8(self.trust_mode).flag(self.replaces)
        to.optional_hash(self.evidence_digest).optional_u64(self.evidence_time_ms)
        to.optional_hash(self.subject_digest).optional_hash(self.sealed_subject_digest)
        to.optional_hash(self.endorsing_key_id)
        if self.endorsing_key_id is not None:
            to.fixed(self.endorsement or b"", SIGNATURE_LENGTH)

    @classmethod
    def read(cls, of: Reader) -> Self:
        entry = cls(
            member=of.identifier(),
            key_id=of.hash(),
            suite=suite_from(of.u16()),
            hpke_public_key=of.var(),
            signing_public_key=of.fixed(SIGNING_KEY_LENGTH),
            possession_proof=of.fixed(SIGNATURE_LENGTH),
            trust_mode=trust_mode_from(of.u8()),
            replaces=of.flag(),
            evidence_digest=of.optional_hash(),
            evidence_time_ms=of.optional_u64(),
            subject_digest=of.optional_hash(),
            sealed_subject_digest=of.optional_hash(),
            endorsing_key_id=(endorser := of.optional_hash()),
            endorsement=None if endorser is None else of.fixed(SIGNATURE_LENGTH),
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
