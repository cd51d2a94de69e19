"""The request to bind a member's device key, and the proof that the asker holds it."""

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from groupseal.encoding import Writer
from groupseal.errors import MalformedError, SignatureError
from groupseal.identifiers import member_key_id
from groupseal.labels import Label
from groupseal.suites import SIGNATURE_LENGTH, SIGNING_KEY_LENGTH, Suite


@dataclass(frozen=True, slots=True)
class BindingRequest:
    """A device's two public keys, offered for one member of one organisation."""

    organisation: bytes
    member: bytes
    suite: Suite
    hpke_public_key: bytes
    signing_public_key: bytes
    # Every other key of the member shall be removed: a lost device.
    replaces: bool = False

    def __post_init__(self) -> None:
        if len(self.hpke_public_key) != self.suite.public_key_length:
            raise MalformedError(
                f"hpke_public_key must have {self.suite.public_key_length} bytes for this suite"
            )
        if len(self.signing_public_key) != SIGNING_KEY_LENGTH:
            raise MalformedError(f"signing_public_key must have {SIGNING_KEY_LENGTH} bytes")

    @property
    def key_id(self) -> bytes:
        return member_key_id(self.suite, self.hpke_public_key, self.signing_public_key)

    def message(self, label: Label | None = None) -> bytes:
        """The bytes that the new signing key signs (or, under another label, a bound one).

        A replacement has labels of its own: nobody can make one of a request to add a device.
        """
        if label is None:
            label = Label.REPLACEMENT_REQUEST if self.replaces else Label.BINDING_REQUEST
        writer = Writer(label).identifier(self.organisation).identifier(self.member)
        writer.u16(self.suite).var(self.hpke_public_key)
        return writer.fixed(self.signing_public_key, SIGNING_KEY_LENGTH).bytes()

    def endorsement_message(self) -> bytes:
        """The bytes that a bound key of the same member signs to vouch for this one."""
        replaces = self.replaces
        return self.message(Label.REPLACEMENT_ENDORSEMENT if replaces else Label.ENDORSEMENT)

    def verify_possession(self, proof: bytes) -> None:
        """Raises SignatureError unless the offered signing key signed this request."""
        verify_signature(self.signing_public_key, proof, self.message())

    def verify_endorsement(self, endorser_public_key: bytes, endorsement: bytes) -> None:
        """Raises SignatureError unless the bound key signed this request."""
        verify_signature(endorser_public_key, endorsement, self.endorsement_message())


def verify_signature(public_key: bytes, signature: bytes, message: bytes) -> None:
    """Ed25519 (RFC 8032). Raises SignatureError."""
    if len(signature) != SIGNATURE_LENGTH:
        raise SignatureError(f"a signature has {SIGNATURE_LENGTH} bytes")
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("the signature does not verify") from error
