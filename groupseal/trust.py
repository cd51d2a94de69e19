"""How the service decides whose key a key is and who is in a group: modes and their settings."""

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from groupseal.encoding import Reader, Writer
from groupseal.errors import MalformedError
from groupseal.labels import Label


class TrustMode(IntEnum):
    """How the service decides whose key a key is."""

    # The customer's identity provider vouches for each key.
    OIDC = 1
    # A person inside the customer's walls approves each key.
    APPROVE = 2
    # The first key seen is pinned: the vendor is believed.
    PIN = 3

    @property
    def is_vendor_trusted(self) -> bool:
        return self is TrustMode.PIN


def trust_mode_from(number: int) -> TrustMode:
    """Raises MalformedError."""
    try:
        return TrustMode(number)
    except ValueError as error:
        raise MalformedError(f"no trust mode has the number {number}") from error


class MembershipCheck(IntEnum):
    """Whether the service asks the identity provider itself who is in a group."""

    # The vendor's word decides who is in a group.
    OFF = 1
    # It asks and reports what differs, and grants all the same.
    OBSERVE = 2
    # It grants to those whom the identity provider confirms, and takes back from the others.
    ENFORCE = 3


def membership_check_from(number: int) -> MembershipCheck:
    """Raises MalformedError."""
    try:
        return MembershipCheck(number)
    except ValueError as error:
        raise MalformedError(f"no membership check has the number {number}") from error


@dataclass(frozen=True, slots=True)
class TrustSettings:
    """What a member needs to know of how the organisation decides, as its ledger says it.

    Issuer, client id and claim are empty outside mode `oidc`, the source without a check.
    """

    mode: TrustMode
    # OpenID Connect issuer (RFC 8414), exactly as in its tokens.
    issuer: str = ""
    client_id: str = ""
    # The claim that is the person's id at the membership source, and SCIM externalId.
    subject_claim: str = ""
    membership_check: MembershipCheck = MembershipCheck.OFF
    # `okta`, `entra` or empty.
    membership_source: str = ""

    def write(self, to: Writer) -> None:
        to.u8(self.mode).text(self.issuer).text(self.client_id).text(self.subject_claim)
        to.u8(self.membership_check).text(self.membership_source)

    @classmethod
    def read(cls, of: Reader) -> Self:
        return cls(
            trust_mode_from(of.u8()),
            of.text(),
            of.text(),
            of.text(),
            membership_check_from(of.u8()),
            of.text(),
        )

    def digest(self) -> bytes:
        """SHA-256 over label and settings (32 bytes)."""
        writer = Writer(Label.TRUST_SETTINGS)
        self.write(writer)
        return hashlib.sha256(writer.bytes()).digest()


VENDOR_TRUSTED = TrustSettings(TrustMode.PIN)
