"""Checks everything stored against the signed ledger, from its first entry. Changes nothing.

1. The log: every entry may follow the ones before it, every part and root is right, and the newest
   signed head is over exactly what is held.
2. What is derived: groups, epochs, rosters, grants with their envelopes, keys, trust.
3. What has to be done: `wanted` follows from its parts, and every difference is due.
"""

from uuid import UUID

from sqlalchemy import Connection, text

from directory.fsck_findings import Finding, Findings
from directory.fsck_ledger import replay
from directory.fsck_projection import compare
from directory.fsck_trust import compare_trust
from directory.tenancy import TenantScope

# Everything is compared as of one moment.
_ONE_SNAPSHOT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
_TENANTS = text("SELECT id FROM tenants ORDER BY id")


def check(connection: Connection, tenant_id: UUID | None = None) -> list[Finding]:
    """Checks one tenant, or all of them; ends a transaction that is open on the connection."""
    connection.rollback()
    connection.execute(_ONE_SNAPSHOT)
    tenants = [tenant_id] if tenant_id else list(connection.execute(_TENANTS).scalars())
    found = Findings()
    for one in tenants:
        scope = TenantScope(connection, one)
        found.tenant = str(one)
        said = replay(scope, found)
        if said is not None:
            compare(scope, said, found)
            compare_trust(scope, said, found)
    connection.rollback()
    return found.all


__all__ = ["Finding", "check"]
