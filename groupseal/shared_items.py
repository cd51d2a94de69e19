"""What is shared to a group: sealed to the group's public key and signed by its sender."""

from dataclasses import dataclass

from groupseal.encoding import Reader, Writer
from groupseal.labels import Label
from groupseal.suites import SIGNATURE_LENGTH


@dataclass(frozen=True, slots=True)
class SharedItem:
    """An item as the vendor stores it. HPKE alone proves no sender; the signature does."""

    organisation: bytes
    group: bytes
    epoch: int
    group_public_key: bytes
    sender: bytes
    sender_key_id: bytes
    ciphertext: bytes
    signature: bytes = b""

    def message(self) -> bytes:
        """The bytes that the sender signs: everything but the signature."""
        writer = Writer(Label.SHARED_ITEM).identifier(self.organisation).identifier(self.group)
        writer.u32(self.epoch).var(self.group_public_key).identifier(self.sender)
        return writer.hash(self.sender_key_id).var(self.ciphertext).bytes()

    def to_bytes(self) -> bytes:
        return self.message() + Writer().fixed(self.signature, SIGNATURE_LENGTH).bytes()

    @staticmethod
    def from_bytes(data: bytes) -> "SharedItem":
        """Parses; verifies nothing. Raises MalformedError."""
        reader = Reader(data, Label.SHARED_ITEM)
        item = SharedItem(
            reader.identifier(),
            reader.identifier(),
            reader.u32(),
            reader.var(),
            reader.identifier(),
            reader.hash(),
            reader.var(),
            reader.fixed(SIGNATURE_LENGTH),
        )
        reader.end()
        return item
