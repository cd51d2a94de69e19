"""Reads on in a tenant's ledger, verifies every byte, and applies it. This is the commit.

Nothing is open in the database while the service is waited for: a chunk is read and verified
first, then applied in one transaction that compares where the copy ends.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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
    """One read of one tenant's ledger to its end."""

    engine: Engine
    tenant: ConnectedTenant
    on_step: Callable[[str], None]
    # States of groups as of the copy's end, where the caller happens to know them.
    known: Mapping[bytes, GroupState]
    _at: LedgerState = field(init=False)

    def run(self, connection: ServiceConnection) -> LedgerState:
        """Applies everything that comes next and returns where the copy ends then.

        Raises ServiceError, a ProtocolError (nothing of that chunk is applied) or
        LedgerMovedOnError.
        """
        self._at = self.tenant.ledger
        try:
            self._read(connection)
        except ProtocolError as error:
            # States that somebody else has moved on meanwhile fit no honest entry.
            with UnitOfWork(self.engine) as work:
                now = ledger_state(TenantScope(work.connection, self.tenant.id))
            if now.size != self._at.size:
                raise LedgerMovedOnError("the ledger copy was moved on by another") from error
            raise
        return self._at

    def _read(self, connection: ServiceConnection) -> None:
        state = self._at
        states = dict(self.known)
        verifier = LedgerVerifier(
            self.tenant.organisation,
            self.tenant.signing_public_key,
            state.past,
            states.get,
            state.last_time_ms,
        )
        messages = connection.read_ledger(state.size, state.head)
        for chunk in chunks(messages):
            self._load_states(chunk, states)
            changes = _verify(verifier, chunk)
            self.on_step("entries_verified")
            after = LedgerState(verifier.range, verifier.last_time_ms, chunk.note)
            self._apply(state, changes, ChunkEnd(after, chunk.acknowledged_size))
            state = self._at = after

    def _load_states(self, chunk: RawChunk, states: dict[bytes, GroupState]) -> None:
        """Looks up the groups that a chunk speaks of, in one query.

        What an earlier chunk of this read has changed, the verifier knows better.
        """
        unknown = _groups_of(chunk) - states.keys()
        if unknown:
            with UnitOfWork(self.engine) as work:
                states |= group_states(TenantScope(work.connection, self.tenant.id), unknown)

    def _apply(self, before: LedgerState, changes: ChunkChanges, end: ChunkEnd) -> None:
        with UnitOfWork(self.engine) as work:
            apply_chunk(TenantScope(work.connection, self.tenant.id), before, changes, end)
            self.on_step("applying")
            work.commit()
        self.on_step("applied")


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
