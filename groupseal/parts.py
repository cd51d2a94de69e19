"""Parts: the bulky data beside an entry, and the digests by which the entry commits to them."""

import hashlib
from dataclasses import dataclass
from enum import IntEnum

from groupseal.encoding import Reader, Writer
from groupseal.entries import (
    Body,
    GroupNamed,
    GroupReconciled,
    KeyBound,
    KeyRotated,
    OrganisationCreated,
    Unknown,
)
from groupseal.errors import PartMismatchError
from groupseal.grants import Grant, decode_grants, grants_root
from groupseal.labels import Label

NAME_SALT_LENGTH = 32


class PartKind(IntEnum):
    """Numbers on the wire, the same as in the gRPC contract."""

    GRANTS = 1
    ENVELOPES = 2
    HISTORY_LINK = 3
    SEALED_SECRET = 4
    GROUP_NAME = 5
    SEALED_KEYSET = 6
    SEALED_SUBJECT = 7


# What a restore needs; everything else may be pruned.
NEVER_PRUNED = frozenset(
    {
        PartKind.HISTORY_LINK,
        PartKind.SEALED_SECRET,
        PartKind.GROUP_NAME,
        PartKind.SEALED_KEYSET,
        PartKind.SEALED_SUBJECT,
    }
)
# What may be missing even so: whoever asks for it is erased.
ERASABLE = frozenset({PartKind.SEALED_SUBJECT})
Parts = dict[PartKind, bytes]


def part_digest(kind: PartKind, body: bytes) -> bytes:
    """SHA-256 over label, kind and body."""
    return hashlib.sha256(Writer(Label.PART).u8(kind).bytes() + body).digest()


@dataclass(frozen=True, slots=True)
class GroupNamePart:
    """What a `GroupNamed` entry commits to. The salt keeps others from guessing the name."""

    salt: bytes
    display_name: str
    identity_provider_group_id: str

    def to_bytes(self) -> bytes:
        writer = Writer().fixed(self.salt, NAME_SALT_LENGTH)
        return writer.text(self.display_name).text(self.identity_provider_group_id).bytes()

    @staticmethod
    def from_bytes(data: bytes) -> "GroupNamePart":
        """Raises MalformedError."""
        reader = Reader(data)
        part = GroupNamePart(reader.fixed(NAME_SALT_LENGTH), reader.text(), reader.text())
        reader.end()
        return part


def expected_digests(body: Body | Unknown) -> dict[PartKind, bytes]:
    """The parts, other than grants and envelopes, that an entry commits to."""
    match body:
        case OrganisationCreated() | KeyRotated():
            return {PartKind.SEALED_KEYSET: body.sealed_keyset_digest}
        case GroupNamed():
            return {PartKind.GROUP_NAME: body.name_digest}
        case KeyBound(sealed_subject_digest=bytes(digest)):
            return {PartKind.SEALED_SUBJECT: digest}
        case GroupReconciled():
            digests = {
                PartKind.SEALED_SECRET: body.sealed_secret_digest,
                PartKind.HISTORY_LINK: body.history_link_digest,
            }
            return {kind: digest for kind, digest in digests.items() if digest is not None}
        case _:
            return {}


def verify_parts(body: Body | Unknown, parts: Parts) -> list[Grant]:
    """Checks every part against its entry and returns the batch of grants.

    Envelopes are checked apart (`groupseal.grants.verify_envelopes`), because they may have been
    dropped, and a person may have been erased; any other part that the entry commits to must be
    there, and no part beyond.
    The parts of an unknown entry cannot be checked; whoever keeps it drops them.
    Raises PartMismatchError or MalformedError.
    """
    if isinstance(body, Unknown):
        return []
    expected = expected_digests(body)
    for kind, digest in expected.items():
        if kind not in parts:
            if kind in ERASABLE:
                continue
            raise PartMismatchError(f"the part {kind.name.lower()} is missing")
        if part_digest(kind, parts[kind]) != digest:
            raise PartMismatchError(f"the part {kind.name.lower()} does not match its entry")
    allowed = set(expected)
    grants: list[Grant] = []
    if isinstance(body, GroupReconciled):
        allowed |= {PartKind.GRANTS, PartKind.ENVELOPES}
        encoded = parts.get(PartKind.GRANTS, b"")
        grants = decode_grants(encoded)
        if len(grants) != body.grants_count or grants_root(encoded) != body.grants_root:
            raise PartMismatchError("the grants do not match their entry")
    if not allowed.issuperset(parts):
        raise PartMismatchError("there is a part that the entry does not commit to")
    return grants
