"""Why members on a roster are not granted, as the encryption service lists it (ListHolds).

The service numbers the changes of its holds. `tenants.holds_version` says up to which of them
`memberships.reason` follows; both are written in one transaction, by compare and set. A hold ends
with a grant or with leaving, which the ledger says.
"""

from collections.abc import Mapping
from uuid import UUID

from directory.groups import lock_groups
from directory.tenancy import TenantScope, tenant_sql

# Compare and set: a later reader finds the version moved on and drops what it read.
_MOVE_ON = tenant_sql("""
    UPDATE tenants SET holds_version = :after
    WHERE id = :tenant_id AND holds_version = :before
    RETURNING id
""")

# Only rows that differ are written. Not for those who hold the open epoch: the hold is an older
# one. Their grant is looked up for each row by its key, whatever the planner may think of joins.
_HOLD_MEMBERS = tenant_sql("""
    UPDATE memberships m SET reason = s.reason
    FROM unnest(CAST(:groups AS uuid[]), CAST(:users AS uuid[]), CAST(:reasons AS text[]))
        AS s (group_id, user_id, reason)
    JOIN groups g ON g.tenant_id = :tenant_id AND g.id = s.group_id
    WHERE m.tenant_id = :tenant_id AND m.group_id = s.group_id AND m.user_id = s.user_id
        AND m.rostered AND m.reason IS DISTINCT FROM s.reason
        AND (m.grant_key_id IS NULL OR NOT g.epoch_open OR g.epoch > (
            SELECT r.epoch FROM grants r
            WHERE r.tenant_id = :tenant_id AND r.group_id = m.group_id
                AND r.member_id = m.user_id AND r.key_id = m.grant_key_id))
""")

_GROUPS_WITH_REASONS = tenant_sql("""
    SELECT DISTINCT group_id FROM memberships
    WHERE tenant_id = :tenant_id AND rostered AND reason IS NOT NULL
""")

# Everything is listed anew after it.
_FORGET = tenant_sql("""
    UPDATE memberships SET reason = NULL
    WHERE tenant_id = :tenant_id AND rostered AND reason IS NOT NULL
""")

Held = Mapping[tuple[UUID, UUID], str]


class HoldsMovedOnError(Exception):
    """Somebody else has followed the holds meanwhile."""


def follow_holds(scope: TenantScope, before: int, after: int, held: Held) -> None:
    """Writes (group, member) -> reason code, the holds of the versions in (before, after].

    Three statements, however many they are. The caller commits. Raises HoldsMovedOnError if the
    reasons do not follow up to `before` any more.
    """
    lock_groups(scope, list({group for group, _ in held}))
    _move_on(scope, before, after)
    if held:
        scope.execute(
            _HOLD_MEMBERS,
            groups=[group for group, _ in held],
            users=[user for _, user in held],
            reasons=list(held.values()),
        )


def forget_holds(scope: TenantScope, before: int) -> None:
    """Begins anew: the service was restored and counts from an earlier version.

    The caller commits. Raises HoldsMovedOnError, as `follow_holds` does.
    """
    lock_groups(scope, scope.values(_GROUPS_WITH_REASONS))
    _move_on(scope, before, 0)
    scope.execute(_FORGET)


def _move_on(scope: TenantScope, before: int, after: int) -> None:
    if scope.one(_MOVE_ON, before=before, after=after) is None:
        raise HoldsMovedOnError(f"the holds are no longer followed up to version {before}")
