"""The Merkle trees of the batches that were asked for last."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from groupseal.grants import GRANT_LENGTH
from groupseal.merkle import MerkleTree

# A tree of 5,000 grants takes about a megabyte.
_MOST = 32


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch's tree and how many grants it has."""

    tree: MerkleTree
    size: int

    @staticmethod
    def of(tree: MerkleTree, part: bytes) -> "Batch":
        """For the encoded batch that the tree was made from."""
        return Batch(tree, len(part) // GRANT_LENGTH)


class ProofCache:
    """Bounded, by tenant and position; a batch at a position never changes."""

    def __init__(self) -> None:
        self._batches: OrderedDict[tuple[UUID, int], Batch] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, tenant_id: UUID, position: int) -> Batch | None:
        """The batch, if it was asked for lately."""
        with self._lock:
            batch = self._batches.get((tenant_id, position))
            if batch is not None:
                self._batches.move_to_end((tenant_id, position))
            return batch

    def put(self, tenant_id: UUID, position: int, batch: Batch) -> Batch:
        """Keeps a batch, and drops the one that was not asked for the longest."""
        with self._lock:
            self._batches[(tenant_id, position)] = batch
            if len(self._batches) > _MOST:
                self._batches.popitem(last=False)
        return batch
