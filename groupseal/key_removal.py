"""A member's own request to remove one of its device keys, signed by one of its bound keys."""

from dataclasses import dataclass

from groupseal.bindings import verify_signature
from groupseal.encoding import Writer
from groupseal.labels import Label


@dataclass(frozen=True, slots=True)
class KeyRemoval:
    """Names the key by its id, which is never bound again: a repeated request does nothing new."""

    organisation: bytes
    member: bytes
    key_id: bytes

    def message(self) -> bytes:
        """The bytes that a bound signing key of the same member signs."""
        writer = Writer(Label.KEY_REMOVAL).identifier(self.organisation)
        return writer.identifier(self.member).hash(self.key_id).bytes()

    def verify(self, signing_public_key: bytes, signature: bytes) -> None:
        """Raises SignatureError."""
        verify_signature(signing_public_key, signature, self.message())
