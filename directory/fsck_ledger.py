"""Verifies the stored log from its first entry and works out what it says."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text

from directory.fsck_findings import Findings
from directory.ledger_changes import identifier
from directory.tenancy import TenantScope, tenant_sql
from groupseal.entries import EpochClosed, GroupNamed, GroupReconciled
from groupseal.errors import ProtocolError
from groupseal.ledger import LedgerVerifier, VerifiedEntry
from groupseal.merkle import CompactRange
from groupseal.parts import PartKind, Parts
from groupseal.projection import Projection

# Entries at a time: their grants are what takes memory.
_PAGE = 50

_TENANT = text("""
    SELECT organisation_id, signing_public_key, ledger_size, ledger_range, ledger_time_ms,
        ledger_head
    FROM tenants WHERE id = :tenant_id
""")

_ENTRIES = tenant_sql("""
    SELECT position, entry, root, group_id FROM ledger_entries
    WHERE tenant_id = :tenant_id AND position >= :first ORDER BY position LIMIT :limit
""")

_PARTS = tenant_sql("""
    SELECT position, kind, body FROM ledger_parts
    WHERE tenant_id = :tenant_id AND position BETWEEN :first AND :last
""")


@dataclass(slots=True)
class Said:
    """What the ledger says."""

    projection: Projection = field(default_factory=Projection)
    # (group, member, key id) -> place of the newest grant: entry's position, index in its batch.
    places: dict[tuple[bytes, bytes, bytes], tuple[int, int]] = field(default_factory=dict)
    # (group, epoch) -> public key and position of the entry that opened it.
    epochs: dict[tuple[bytes, int], tuple[bytes, int]] = field(default_factory=dict)

    def take(self, verified: VerifiedEntry) -> None:
        self.projection.apply(verified)
        body, position = verified.entry.body, verified.entry.position
        if isinstance(body, GroupReconciled):
            if body.opens:
                self.epochs[body.group, body.epoch] = (body.group_public_key, position)
            for index, grant in enumerate(verified.grants):
                self.places[body.group, grant.member, grant.key_id] = (position, index)


def replay(scope: TenantScope, found: Findings) -> Said | None:
    """What the verified log says; None if it is broken, or nothing is there to compare with."""
    tenant = scope.one(_TENANT)
    if tenant is None:
        found.add("tenant_unknown", "tenants", "there is no such tenant")
        return None
    said = Said()
    if tenant.organisation_id is None:
        return said
    verifier = LedgerVerifier(
        tenant.organisation_id.bytes,
        tenant.signing_public_key,
        CompactRange(),
        said.projection.group_state,
    )
    position = 0
    try:
        for row, parts in _entries(scope):
            position = row.position
            verified = verifier.add(row.entry, parts)
            said.take(verified)
            _check_row(row, verified, found)
        position = verifier.range.size
        _check_end(tenant, verifier, found)
    except ProtocolError as error:
        found.add("ledger_invalid", f"ledger entry {position}", f"{error} ({error.reason})")
        return None
    return said


def _entries(scope: TenantScope) -> Iterator[tuple[Row[Any], Parts]]:
    """Every entry with its stored parts, a page at a time."""
    first = 0
    while rows := scope.all(_ENTRIES, first=first, limit=_PAGE):
        last = rows[-1].position
        parts: dict[int, Parts] = {}
        for part in scope.all(_PARTS, first=first, last=last):
            parts.setdefault(part.position, {})[PartKind(part.kind)] = part.body
        for row in rows:
            yield row, parts.get(row.position, {})
        first = last + 1


def _check_row(row: Row[Any], verified: VerifiedEntry, found: Findings) -> None:
    where = f"ledger entry {row.position}"
    found.expect(row.root == verified.root, "root_differs", where, "the stored root is another")
    body = verified.entry.body
    group: UUID | None = None
    if isinstance(body, GroupNamed | EpochClosed | GroupReconciled):
        group = identifier(body.group)
    found.expect(row.group_id == group, "entry_group_differs", where, "it is about another group")


def _check_end(tenant: Row[Any], verifier: LedgerVerifier, found: Findings) -> None:
    size = verifier.range.size
    where = "end of the ledger"
    found.expect(
        tenant.ledger_size == size,
        "size_differs",
        where,
        f"{size} entries are stored, but the tenant is said to hold {tenant.ledger_size}",
    )
    stored = tenant.ledger_range or CompactRange().to_bytes()
    found.expect(
        stored == verifier.range.to_bytes(),
        "range_differs",
        where,
        "the stored compact range is not that of the entries",
    )
    found.expect(
        tenant.ledger_time_ms == verifier.last_time_ms,
        "time_differs",
        where,
        "the stored time is not that of the last entry",
    )
    if tenant.ledger_head or size:
        verifier.accept_head(tenant.ledger_head)
