"""Bodies of ledger entries about the organisation itself: its keys, trust and policy."""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

from groupseal.encoding import Reader, Writer
from groupseal.entry_types import EntryType
from groupseal.errors import MalformedError
from groupseal.suites import SIGNING_KEY_LENGTH
from groupseal.trust import TrustMode, TrustSettings, trust_mode_from


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
            trust_mode_from(of.u8()),
            of.hash(),
            of.hash(),
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


@dataclass(frozen=True, slots=True)
class TrustChanged:
    """From here on the service decides by these settings. The first one follows the first entry."""

    type: ClassVar = EntryType.TRUST_CHANGED
    settings: TrustSettings

    def write(self, to: Writer) -> None:
        self.settings.write(to)

    @classmethod
    def read(cls, of: Reader) -> Self:
        return cls(TrustSettings.read(of))
