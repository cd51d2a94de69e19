"""Reads on in a tenant's ledger, verifies every byte, and applies it. This is the commit.

Nothing is open in the database while the service is waited for: a chunk is read and verified
first, then applied in one transaction that compares where the copy ends.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from sqlalchemy import Engine

from directory.due_work import ConnectedTenant
from directory.ledger_changes import ChunkChanges
from directory.ledger_copy import (
    ChunkEnd,
    LedgerMovedOnError,
    LedgerState,
    apply_chunk,
    group_states,
    ledger_state,
)
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from groupseal.entries import Entry, EpochClosed, GroupNamed, GroupReconciled
from groupseal.errors import ProtocolError
from groupseal.ledger import GroupState, LedgerVerifier
from worker.ledger_stream import RawChunk, chunks
from worker.service_client import ServiceConnection


@dataclass(slots=True)
class CatchUp:
    """One read of one tenant's ledger to its end.

    While a chunk is applied, the next one is read and verified: at most two are in memory.
    """

    engine: Engine
    tenant: ConnectedTenant
    on_step: Callable[[str], None]
    # States of groups as of the copy's end, where the caller happens to know them.
    known: Mapping[bytes, GroupState]
    # How far the service has changed its holds, by the newest head; 0 before it was read.
    holds_version: int = field(default=0, init=False)
    # Keys were unbound: holds are to be listed from the first.
    unbound_keys: bool = field(default=False, init=False)

    def run(self, connection: ServiceConnection) -> LedgerState:
        """Applies everything that comes next and returns where the copy ends then.

        Raises ServiceError, a ProtocolError (nothing of that chunk is applied) or
        LedgerMovedOnError.
        """
        with _Applier(self.engine, self.tenant, self.on_step) as applier:
            try:
                self._read(connection, applier)
            except ProtocolError as error:
                applier.settle()
                # States that somebody else has moved on meanwhile fit no honest entry.
                with UnitOfWork(self.engine) as work:
                    now = ledger_state(TenantScope(work.connection, self.tenant.id))
                if now.size != applier.at.size:
                    raise LedgerMovedOnError("the ledger copy was moved on by another") from error
                raise
        return applier.at

    def _read(self, connection: ServiceConnection, applier: "_Applier") -> None:
        start = self.tenant.ledger
        states = dict(self.known)
        verifier = LedgerVerifier(
            self.tenant.organisation,
            self.tenant.signing_public_key,
            start.past,
            states.get,
            start.last_time_ms,
        )
        for chunk in chunks(connection.read_ledger(start.size, start.head)):
            self._load_states(chunk, states)
            changes = _verify(verifier, chunk)
            self.on_step("entries_verified")
            self.holds_version = chunk.holds_version
            self.unbound_keys |= changes.unbinds_keys
            after = LedgerState(verifier.range, verifier.last_time_ms, chunk.note)
            applier.apply(
                changes, ChunkEnd(after, chunk.acknowledged_size), is_last=chunk.is_newest
            )

    def _load_states(self, chunk: RawChunk, states: dict[bytes, GroupState]) -> None:
        """Looks up the groups that a chunk speaks of, in one query.

        What an earlier chunk of this read has changed, applied or not, the verifier knows better.
        """
        unknown = _groups_of(chunk) - states.keys()
        if unknown:
            with UnitOfWork(self.engine) as work:
                states |= group_states(TenantScope(work.connection, self.tenant.id), unknown)


class _Applier:
    """Applies chunks one after another, each in a transaction of its own."""

    def __init__(
        self, engine: Engine, tenant: ConnectedTenant, on_step: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._tenant_id = tenant.id
        self._on_step = on_step
        self._pool: ThreadPoolExecutor | None = None
        self._pending: Future[LedgerState] | None = None
        # Where the copy ends, as far as this reader has brought it.
        self.at = tenant.ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)

    def apply(self, changes: ChunkChanges, end: ChunkEnd, *, is_last: bool) -> None:
        """Applies a chunk, after the one before it. The last one is applied on return."""
        self.settle()
        if is_last:
            self.at = self._apply(self.at, changes, end)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="apply")
        self._pending = self._pool.submit(self._apply, self.at, changes, end)

    def settle(self) -> None:
        """Waits for the chunk under way. Raises what applying it raised."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self.at = pending.result()

    def _apply(self, before: LedgerState, changes: ChunkChanges, end: ChunkEnd) -> LedgerState:
        with UnitOfWork(self._engine) as work:
            apply_chunk(TenantScope(work.connection, self._tenant_id), before, changes, end)
            self._on_step("applying")
            work.commit()
        self._on_step("applied")
        return end.state


def _verify(verifier: LedgerVerifier, chunk: RawChunk) -> ChunkChanges:
    """Everything is verified, the head last, before anything is believed."""
    changes = ChunkChanges()
    for data, parts in chunk.entries:
        changes.add(verifier.add(data, parts))
    verifier.accept_head(chunk.note)
    return changes


def _groups_of(chunk: RawChunk) -> set[bytes]:
    """Ids of the groups in a chunk; what cannot be read is left to the verifier to refuse."""
    groups = set()
    for data, _ in chunk.entries:
        try:
            body = Entry.from_bytes(data).body
        except ProtocolError:
            continue
        if isinstance(body, GroupNamed | EpochClosed | GroupReconciled):
            groups.add(body.group)
    return groups
