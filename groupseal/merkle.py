"""Merkle trees of RFC 9162 §2.1 (SHA-256), for the ledger and for each batch of grants.

The two are kept apart by the labels inside their leaves. `CompactRange` is what an append-only
log needs to know of its past: the roots of its perfect subtrees, O(log n) hashes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from groupseal.encoding import HASH_LENGTH
from groupseal.errors import MalformedError, ProofError

EMPTY_ROOT = hashlib.sha256(b"").digest()
LEAF_PREFIX, _NODE_PREFIX = b"\x00", b"\x01"


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(LEAF_PREFIX + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE_PREFIX + left + right).digest()


@dataclass(frozen=True, slots=True)
class CompactRange:
    """Perfect subtrees of a log's first `size` leaves, largest first. Immutable."""

    size: int = 0
    subtrees: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if len(self.subtrees) != self.size.bit_count():
            raise ValueError("a compact range has one subtree for each bit set in its size")

    def append(self, leaf: bytes) -> "CompactRange":
        """With one more leaf hash at the end."""
        node, subtrees, size = leaf, self.subtrees, self.size
        while size & 1:
            node = node_hash(subtrees[-1], node)
            subtrees, size = subtrees[:-1], size >> 1
        return CompactRange(self.size + 1, (*subtrees, node))

    @property
    def root(self) -> bytes:
        """Root hash of all leaves so far (RFC 9162 §2.1.1)."""
        if not self.subtrees:
            return EMPTY_ROOT
        node = self.subtrees[-1]
        for subtree in reversed(self.subtrees[:-1]):
            node = node_hash(subtree, node)
        return node

    def to_bytes(self) -> bytes:
        return self.size.to_bytes(8, "big") + b"".join(self.subtrees)

    @staticmethod
    def from_bytes(data: bytes) -> "CompactRange":
        """Raises MalformedError."""
        size, hashes = int.from_bytes(data[:8], "big"), data[8:]
        if len(data) != 8 + HASH_LENGTH * size.bit_count():
            raise MalformedError("a compact range has one hash for each bit set in its size")
        steps = range(0, len(hashes), HASH_LENGTH)
        return CompactRange(size, tuple(hashes[i : i + HASH_LENGTH] for i in steps))


class MerkleTree:
    """A whole small tree in memory, for the proofs of one batch."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        # A batch has thousands of nodes: `node_hash` without a call for each.
        sha256, prefix = hashlib.sha256, _NODE_PREFIX
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            level = self._levels[-1]
            pairs = zip(level[::2], level[1::2], strict=False)  # the last may have no partner
            paired = [sha256(prefix + left + right).digest() for left, right in pairs]
            self._levels.append(paired + level[len(level) & ~1 :])

    @property
    def root(self) -> bytes:
        return self._levels[-1][0] if self._levels[0] else EMPTY_ROOT

    def inclusion_proof(self, index: int) -> list[bytes]:
        """Path from leaf `index` to the root (RFC 9162 §2.1.3.1), lowest sibling first."""
        if not 0 <= index < len(self._levels[0]):
            raise ValueError(f"no leaf has the index {index}")
        path = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                path.append(level[sibling])
            index >>= 1
        return path


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Checks that `leaf` is at `index` of the tree of `size` leaves (RFC 9162 §2.1.3.2).

    Raises ProofError.
    """
    if not 0 <= index < size:
        raise ProofError("the index lies outside the tree")
    node, position, last = leaf, index, size - 1
    for sibling in path:
        if len(sibling) != HASH_LENGTH:
            raise ProofError("a proof consists of 32-byte hashes")
        if last == 0:
            raise ProofError("the proof is too long")
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofError("the proof is too short")
    if node != root:
        raise ProofError("the proof leads to another root")
