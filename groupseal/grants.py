"""Grants: who was given an epoch's secret, for which key, in which envelope.

A batch of grants is sorted by (member, key), unique, and committed to by the Merkle root over it,
so that one grant can be proven without the others.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from groupseal.encoding import HASH_LENGTH, ID_LENGTH, decode_byte_strings
from groupseal.errors import MalformedError, PartMismatchError
from groupseal.labels import Label
from groupseal.merkle import EMPTY_ROOT, LEAF_PREFIX, MerkleTree, leaf_hash

GRANT_LENGTH = ID_LENGTH + 2 * HASH_LENGTH
# Most grants in one entry. A larger group takes several entries of the same epoch, so that
# neither side ever holds more than this many envelopes in memory.
MAX_BATCH = 5_000


class Grant(NamedTuple):
    """One row of a batch: member (16 bytes), key id (32) and SHA-256 of the envelope (32)."""

    member: bytes
    key_id: bytes
    envelope_hash: bytes

    def to_bytes(self) -> bytes:
        return b"".join(self)


def envelope_hash(envelope: bytes) -> bytes:
    return hashlib.sha256(envelope).digest()


def grant_leaf(grant: bytes) -> bytes:
    """Leaf hash of an encoded grant."""
    return leaf_hash(Label.GRANT + grant)


def encode_grants(grants: Sequence[Grant]) -> bytes:
    """The grants one after another, 80 bytes each."""
    return b"".join(grant.to_bytes() for grant in grants)


def decode_grants(part: bytes) -> list[Grant]:
    """The inverse of `encode_grants`. Raises MalformedError unless sorted and unique."""
    if len(part) % GRANT_LENGTH:
        raise MalformedError(f"grants have {GRANT_LENGTH} bytes each")
    grants: list[Grant] = []
    previous = b""
    for at in range(0, len(part), GRANT_LENGTH):
        key = part[at : at + ID_LENGTH + HASH_LENGTH]
        if key <= previous:
            raise MalformedError("grants are not sorted and unique by member and key")
        previous = key
        grants.append(
            Grant(
                key[:ID_LENGTH],
                key[ID_LENGTH:],
                part[at + ID_LENGTH + HASH_LENGTH : at + GRANT_LENGTH],
            )
        )
    return grants


def grants_tree(part: bytes) -> MerkleTree:
    """The batch's tree, for inclusion proofs."""
    # A batch has thousands of grants: `grant_leaf` without a call for each.
    sha256, prefix = hashlib.sha256, LEAF_PREFIX + Label.GRANT
    steps = range(0, len(part), GRANT_LENGTH)
    return MerkleTree([sha256(prefix + part[i : i + GRANT_LENGTH]).digest() for i in steps])


def grants_root(part: bytes) -> bytes:
    """Merkle root over an encoded batch."""
    return grants_tree(part).root if part else EMPTY_ROOT


def verify_envelopes(grants: Sequence[Grant], part: bytes) -> list[bytes]:
    """Takes the envelopes part apart and checks each against its grant, in the batch's order.

    Raises PartMismatchError or MalformedError.
    """
    envelopes = decode_byte_strings(part)
    if len(envelopes) != len(grants):
        raise PartMismatchError("there is not one envelope for each grant")
    sha256 = hashlib.sha256
    for grant, envelope in zip(grants, envelopes, strict=True):
        if sha256(envelope).digest() != grant.envelope_hash:
            raise PartMismatchError("an envelope is not the one its grant names")
    return envelopes
