"""Releases memberships that were held after a restore, on an operator's word."""

from uuid import UUID

from directory.groups import bump, lock_groups
from directory.tenancy import TenantScope, tenant_sql

# Everybody who is held, or only those of one group or user.
_HELD = tenant_sql("""
    SELECT group_id, user_id FROM memberships
    WHERE tenant_id = :tenant_id AND held_reason IS NOT NULL
        AND (CAST(:group_id AS uuid) IS NULL OR group_id = :group_id)
        AND (CAST(:user_id AS uuid) IS NULL OR user_id = :user_id)
""")

# Against deactivation in between.
_LOCK_USERS = tenant_sql("""
    SELECT id FROM users WHERE tenant_id = :tenant_id AND id = ANY(:ids) ORDER BY id FOR SHARE
""")

_RELEASE = tenant_sql("""
    WITH changed AS (
        UPDATE memberships m SET held_reason = NULL, wanted = m.desired AND u.active
        FROM users u
        WHERE m.tenant_id = :tenant_id AND m.held_reason IS NOT NULL
            AND m.group_id = ANY(:group_ids) AND m.user_id = ANY(:user_ids)
            AND (CAST(:group_id AS uuid) IS NULL OR m.group_id = :group_id)
            AND (CAST(:user_id AS uuid) IS NULL OR m.user_id = :user_id)
            AND u.tenant_id = :tenant_id AND u.id = m.user_id
        RETURNING m.group_id, m.user_id
    ), noted AS (
        INSERT INTO timeline (tenant_id, kind, group_id, user_id)
        SELECT :tenant_id, 'released', group_id, user_id FROM changed
    )
    SELECT group_id FROM changed
""")


def release(
    scope: TenantScope, *, group_id: UUID | None = None, user_id: UUID | None = None
) -> int:
    """Lets held members in again, all or those of one group or user; returns how many."""
    held = scope.all(_HELD, group_id=group_id, user_id=user_id)
    users = sorted({row.user_id for row in held})
    groups = sorted({row.group_id for row in held})
    scope.execute(_LOCK_USERS, ids=users)
    lock_groups(scope, groups)
    released = scope.values(
        _RELEASE, group_id=group_id, user_id=user_id, group_ids=groups, user_ids=users
    )
    bump(scope, sorted(set(released)))
    return len(released)
