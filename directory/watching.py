"""Whose ledgers are watched, and what news of one leads to: that it is due to be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from directory.tenancy import TenantScope

# These concern the set of tenants itself.
_WATCHABLE = text("""
    SELECT id, service_address, identity_document FROM tenants
    WHERE state = 'connected' AND halted_reason IS NULL
    ORDER BY id LIMIT :most
""")

# A tenant whose copy has caught up meanwhile is left as it is.
_NEWS = text("""
    UPDATE tenants SET ledger_read_at = NULL
    WHERE id = :tenant_id AND state = 'connected' AND halted_reason IS NULL
        AND (ledger_size < :size OR holds_version < :holds_version)
    RETURNING id
""")


@dataclass(frozen=True, slots=True)
class WatchableTenant:
    """A connected tenant, and how its encryption service is found and recognised."""

    id: UUID
    service_address: str
    identity_document: str


def watchable_tenants(connection: Connection, most: int) -> Sequence[WatchableTenant]:
    """Connected tenants that are not halted, up to so many, the same ones each time."""
    rows = connection.execute(_WATCHABLE, {"most": most})
    return [WatchableTenant(row.id, row.service_address, row.identity_document) for row in rows]


def note_news(scope: TenantScope, *, size: int, holds_version: int) -> bool:
    """The service's ledger is this far: makes the copy due to be read if it is not. Tells whether.

    The caller commits.
    """
    return scope.one(_NEWS, size=size, holds_version=holds_version) is not None
