"""Follows the service's holds: why members on a roster are not granted, and are shown as waiting.

The ledger's newest head says how far the service has changed them. Only what is not newer than
that head is taken over: it concerns members whom the copy of the ledger knows. A worker that dies
in between leaves a version from which the next one goes on.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine

from directory.ledger_changes import identifier
from directory.service_holds import HoldsMovedOnError, follow_holds, forget_holds
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from encryption_api import encryption_pb2 as pb
from groupseal.reasons import Reason
from worker.commands import known_reason
from worker.errors import ServiceError
from worker.service_client import ServiceConnection

_CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Holds to write, and the version up to which nothing is missing after it."""

    held: dict[tuple[UUID, UUID], str]
    version: int


@dataclass(frozen=True, slots=True)
class HoldsFollower:
    """One tenant's reasons, from a version on."""

    engine: Engine
    tenant_id: UUID

    def follow(self, connection: ServiceConnection, before: int, newest: int) -> None:
        """Takes over what has changed since `before`, up to the newest head's version.

        Raises ServiceError. Another reader that was faster is let go on alone.
        """
        if newest == before:
            return
        try:
            if newest < before:
                before = self._forget(before)
            if newest:
                self._take_over(connection, before, newest)
        except HoldsMovedOnError:
            return

    def _forget(self, before: int) -> int:
        """The service was restored: its count is another one now."""
        with UnitOfWork(self.engine) as work:
            forget_holds(TenantScope(work.connection, self.tenant_id), before)
            work.commit()
        return 0

    def _take_over(self, connection: ServiceConnection, before: int, newest: int) -> None:
        for chunk in _chunks(connection.list_holds(before), before, newest):
            with UnitOfWork(self.engine) as work:
                scope = TenantScope(work.connection, self.tenant_id)
                follow_holds(scope, before, chunk.version, chunk.held)
                work.commit()
            before = chunk.version


def _chunks(holds: Iterable[pb.ListHoldsResponse], before: int, newest: int) -> Iterator[_Chunk]:
    """Chunks of bounded size; the last one leads to `newest`.

    Many holds may have one version: a chunk that ends among them leads to the one before. Raises
    ServiceError for holds out of order.
    """
    held: dict[tuple[UUID, UUID], str] = {}
    last = before
    for hold in holds:
        if hold.version < last or hold.version <= before:
            raise ServiceError(Reason.MALFORMED, "the service lists holds out of their order")
        if hold.version > newest:
            break
        if len(held) >= _CHUNK:
            # The last version seen may go on in the next chunk.
            done = last if hold.version > last else last - 1
            yield _Chunk(held, max(before, done))
            held = {}
        last = hold.version
        held[identifier(hold.group_id), identifier(hold.member_id)] = known_reason(hold.reason)
    yield _Chunk(held, newest)
