"""Evidence: an ID token by which the customer's identity provider vouches for a device's keys.

The idea is that of OpenPubkey: the token's `nonce` is a hash over the keys, so that whoever holds
the token can prove to whom the keys belong, and nobody can use it for other keys. The document
travels through the vendor sealed to the organisation's evidence key (HPKE base mode, X-Wing).
"""

import base64
import hashlib
from dataclasses import dataclass, field

from groupseal.bindings import BindingRequest
from groupseal.encoding import HASH_LENGTH, Reader, Writer
from groupseal.errors import MalformedError
from groupseal.labels import Label
from groupseal.suites import SIGNING_KEY_LENGTH

EVIDENCE_SALT_LENGTH = 32
# Longest sealed evidence that anybody keeps or opens, in bytes.
MAX_SEALED_EVIDENCE = 16 * 1024


@dataclass(frozen=True, slots=True)
class Evidence:
    """The salt of the nonce and the ID token (JWS compact serialisation, RFC 7515)."""

    salt: bytes
    id_token: str = field(repr=False)

    def to_bytes(self) -> bytes:
        writer = Writer(Label.EVIDENCE).fixed(self.salt, EVIDENCE_SALT_LENGTH)
        return writer.text(self.id_token).bytes()

    @staticmethod
    def from_bytes(data: bytes) -> "Evidence":
        """Raises MalformedError."""
        reader = Reader(data, Label.EVIDENCE)
        evidence = Evidence(reader.fixed(EVIDENCE_SALT_LENGTH), reader.text())
        reader.end()
        if not evidence.id_token.isascii():
            raise MalformedError("an ID token consists of ASCII characters")
        return evidence

    def digest(self) -> bytes:
        """SHA-256 over the document: what the ledger keeps of it."""
        return hashlib.sha256(self.to_bytes()).digest()


def evidence_nonce(
    organisation_key: bytes, issuer: str, client_id: str, request: BindingRequest, salt: bytes
) -> str:
    """The `nonce` of the authorisation request: base64url of a SHA-256, without padding.

    It commits to everything that the token shall vouch for. A replacement has another label, so
    that a token asked for to add a device removes none.
    """
    label = Label.REPLACEMENT_NONCE if request.replaces else Label.EVIDENCE_NONCE
    writer = Writer(label).fixed(organisation_key, SIGNING_KEY_LENGTH)
    writer.text(issuer).text(client_id).u16(request.suite).var(request.hpke_public_key)
    writer.fixed(request.signing_public_key, SIGNING_KEY_LENGTH).fixed(salt, EVIDENCE_SALT_LENGTH)
    digest = hashlib.sha256(writer.bytes()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def evidence_info(organisation: bytes, member: bytes, key_id: bytes) -> bytes:
    """HPKE `info` of the sealed document: for this organisation, member and key alone."""
    return (
        Writer(Label.SEALED_EVIDENCE)
        .identifier(organisation)
        .identifier(member)
        .hash(key_id)
        .bytes()
    )


@dataclass(frozen=True, slots=True)
class Subject:
    """A person at an identity provider, and the salt under which the ledger names it."""

    issuer: str
    # Value of the claim that `TrustSettings.subject_claim` names.
    subject: str
    salt: bytes

    def digest(self) -> bytes:
        """Salted SHA-256; without the salt it tells nothing, so a person can be erased."""
        return hashlib.sha256(self._encoded(Label.SUBJECT)).digest()

    def to_bytes(self) -> bytes:
        return self._encoded(Label.SEALED_SUBJECT)

    @staticmethod
    def from_bytes(data: bytes) -> "Subject":
        """Raises MalformedError."""
        reader = Reader(data, Label.SEALED_SUBJECT)
        salt = reader.fixed(HASH_LENGTH)
        subject = Subject(reader.text(), reader.text(), salt)
        reader.end()
        return subject

    def _encoded(self, label: Label) -> bytes:
        writer = Writer(label).fixed(self.salt, HASH_LENGTH)
        return writer.text(self.issuer).text(self.subject).bytes()


def sealed_subject_context(organisation: bytes, member: bytes) -> bytes:
    """Associated data of a subject sealed under the key-encryption key."""
    return Writer(Label.SEALED_SUBJECT).identifier(organisation).identifier(member).bytes()
