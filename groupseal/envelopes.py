"""Contexts that sealed bytes are bound to. The format only: sealing and opening live elsewhere."""

from collections.abc import Iterable

from groupseal.encoding import Writer
from groupseal.labels import Label

GROUP_SECRET_LENGTH = 32


def envelope_info(
    organisation: bytes, group: bytes, epoch: int, member: bytes, member_key_id: bytes
) -> bytes:
    """HPKE `info` of an envelope: an envelope opens in this context and in no other."""
    writer = Writer(Label.ENVELOPE).identifier(organisation).identifier(group).u32(epoch)
    return writer.identifier(member).hash(member_key_id).bytes()


def envelope_infos(
    organisation: bytes, group: bytes, epoch: int, keys: Iterable[tuple[bytes, bytes]]
) -> list[bytes]:
    """`envelope_info` for each (member, key id) of an epoch; what all share is encoded once."""
    shared = group_context(Label.ENVELOPE, organisation, group, epoch)
    return [shared + member + key_id for member, key_id in keys]


def group_context(label: Label, organisation: bytes, group: bytes, epoch: int) -> bytes:
    """HKDF `info` of what is derived from a group secret, or associated data of what is sealed."""
    return Writer(label).identifier(organisation).identifier(group).u32(epoch).bytes()


def sealed_secret_context(
    organisation: bytes, group: bytes, epoch: int, key_encryption_key: int
) -> bytes:
    """Associated data of a group secret sealed under the key-encryption key of that version."""
    return (
        group_context(Label.SEALED_SECRET, organisation, group, epoch)
        + Writer().u32(key_encryption_key).bytes()
    )


def item_info(
    organisation: bytes, group: bytes, epoch: int, sender: bytes, sender_key_id: bytes
) -> bytes:
    """HPKE `info` of an item that is shared to a group."""
    writer = Writer(Label.ITEM_ENVELOPE).identifier(organisation).identifier(group).u32(epoch)
    return writer.identifier(sender).hash(sender_key_id).bytes()
