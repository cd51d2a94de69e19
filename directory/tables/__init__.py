"""The vendor's database as SQLAlchemy tables. The tenant is in every primary and foreign key.

The migrations make these tables; a test compares the two. What a database can enforce of the
invariants is a constraint here.
"""

from directory.tables.columns import metadata
from directory.tables.desired_state import (
    deleted_groups,
    groups,
    memberships,
    scim_tokens,
    tenants,
    timeline,
    unresolved_members,
    users,
)
from directory.tables.ledger_copy import (
    epochs,
    grants,
    ledger_entries,
    ledger_parts,
    missing_envelopes,
)
from directory.tables.members import (
    enrolment_codes,
    key_removals,
    member_keys,
    member_sessions,
    shared_items,
)

__all__ = [
    "deleted_groups",
    "enrolment_codes",
    "epochs",
    "grants",
    "groups",
    "key_removals",
    "ledger_entries",
    "ledger_parts",
    "member_keys",
    "member_sessions",
    "memberships",
    "metadata",
    "missing_envelopes",
    "scim_tokens",
    "shared_items",
    "tenants",
    "timeline",
    "unresolved_members",
    "users",
]
