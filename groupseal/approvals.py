"""What an approver signs: that one key of one member may enter one group, up to a date."""

from dataclasses import dataclass

from groupseal.bindings import verify_signature
from groupseal.encoding import Writer
from groupseal.labels import Label


@dataclass(frozen=True, slots=True)
class ApprovalStatement:
    """Bound to organisation, group, member and key id; worth nothing after `expires_ms`.

    `group` None: the key itself may be bound to the member (trust mode `approve`).
    """

    organisation: bytes
    group: bytes | None
    member: bytes
    key_id: bytes
    # Milliseconds since the Unix epoch.
    expires_ms: int

    def message(self) -> bytes:
        """The bytes that an approver's Ed25519 key signs."""
        label = Label.KEY_APPROVAL if self.group is None else Label.GROUP_APPROVAL
        writer = Writer(label).identifier(self.organisation)
        if self.group is not None:
            writer.identifier(self.group)
        return writer.identifier(self.member).hash(self.key_id).u64(self.expires_ms).bytes()

    def verify(self, approver_key: bytes, signature: bytes) -> None:
        """Raises SignatureError."""
        verify_signature(approver_key, signature, self.message())
