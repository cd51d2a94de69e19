"""Deleted groups: what is kept of them, and how an operator brings one back.

Deleting ends every membership at once; the rows go as soon as the ledger has let the members go.
What the group held is kept beside it as one row, for as long as it can be restored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError

from directory.errors import ContendedError, NotFoundError, NotRestorableError, TakenError
from directory.groups import constraint_of, touch
from directory.memberships import keep_unresolved, lock_users, lock_users_by_id
from directory.names import name_key
from directory.tenancy import TenantScope, tenant_sql
from directory.timeline import Kind, note

RESTORABLE_FOR = timedelta(days=30)

# Before the memberships are ended. What is too old to be restored goes in the same statement.
_KEEP = tenant_sql("""
    WITH outdated AS (
        DELETE FROM deleted_groups
        WHERE tenant_id = :tenant_id AND group_id <> :group_id
            AND deleted_at < now() - CAST(:restorable AS interval)
    )
    INSERT INTO deleted_groups (tenant_id, group_id, members, displays, held, unresolved)
    SELECT :tenant_id, :group_id,
        coalesce(array_agg(user_id ORDER BY user_id), '{}'),
        coalesce(array_agg(display ORDER BY user_id), '{}'),
        coalesce(array_agg(held_reason ORDER BY user_id), '{}'),
        (SELECT coalesce(array_agg(value ORDER BY value), '{}') FROM unresolved_members
            WHERE tenant_id = :tenant_id AND group_id = :group_id)
    FROM memberships WHERE tenant_id = :tenant_id AND group_id = :group_id AND desired
""")

# Tombstones, newest first. One that only the ledger knows has no name and nothing kept.
_LIST = tenant_sql("""
    SELECT g.id, g.display_name, g.external_id, g.deleted_at,
        coalesce(cardinality(d.members), 0) AS members,
        coalesce(cardinality(d.unresolved), 0) AS unresolved,
        d.deleted_at + CAST(:restorable AS interval) AS restorable_until
    FROM groups g
    JOIN deleted_groups d ON d.tenant_id = g.tenant_id AND d.group_id = g.id
        AND d.deleted_at >= now() - CAST(:restorable AS interval)
    WHERE g.tenant_id = :tenant_id AND g.deleted_at IS NOT NULL
    ORDER BY g.deleted_at DESC, g.id
""")

_READ = tenant_sql("""
    SELECT g.id, g.display_name, g.deleted_at, d.members, d.displays, d.held, d.unresolved,
        d.deleted_at >= now() - CAST(:restorable AS interval) AS restorable
    FROM groups g
    LEFT JOIN deleted_groups d ON d.tenant_id = g.tenant_id AND d.group_id = g.id
    WHERE g.tenant_id = :tenant_id AND g.id = :group_id
""")

# The tombstone, locked against another restore; none if it is one no longer.
_LOCK = tenant_sql("""
    SELECT id FROM groups
    WHERE tenant_id = :tenant_id AND id = :group_id AND deleted_at = :deleted_at
    FOR NO KEY UPDATE
""")

_REVIVE = tenant_sql("""
    UPDATE groups SET deleted_at = NULL, display_name = :display_name,
        display_name_key = :display_name_key
    WHERE tenant_id = :tenant_id AND id = :group_id
""")

# The members as they were; who is inactive or held is desired and not wanted. Their rows may still
# be there, if the ledger has not let them go yet.
_REJOIN = tenant_sql("""
    WITH changed AS (
        INSERT INTO memberships AS m (tenant_id, group_id, user_id, desired, wanted, held_reason,
            desired_at, desired_version, display)
        SELECT :tenant_id, :group_id, u.id, true, u.active AND kept.held IS NULL, kept.held, now(),
            (SELECT desired_version + 1 FROM groups
                WHERE tenant_id = :tenant_id AND id = :group_id),
            coalesce(kept.display, u.display_name, u.user_name)
        FROM unnest(CAST(:ids AS uuid[]), CAST(:displays AS text[]), CAST(:held AS text[]))
            AS kept (id, display, held)
        JOIN users u ON u.tenant_id = :tenant_id AND u.id = kept.id AND u.deleted_at IS NULL
        ON CONFLICT (tenant_id, group_id, user_id) DO UPDATE SET
            desired = true, wanted = excluded.wanted, held_reason = excluded.held_reason,
            reason = CASE WHEN m.rostered THEN m.reason END, desired_at = excluded.desired_at,
            desired_version = excluded.desired_version, display = excluded.display
        RETURNING user_id
    ), noted AS (
        INSERT INTO timeline (tenant_id, kind, group_id, user_id)
        SELECT :tenant_id, 'group_restored', :group_id, user_id FROM changed
    )
    SELECT count(*) FROM changed
""")

_FORGET = tenant_sql("""
    DELETE FROM deleted_groups WHERE tenant_id = :tenant_id AND group_id = :group_id
""")


@dataclass(frozen=True, slots=True)
class DeletedGroup:
    """A group that can be restored, and until when."""

    id: UUID
    display_name: str
    external_id: str | None
    deleted_at: datetime
    restorable_until: datetime
    members: int
    unresolved: int


@dataclass(frozen=True, slots=True)
class Restored:
    """A group that is back; `gone` counts members who are users no longer."""

    id: UUID
    display_name: str
    members: int
    gone: int
    unresolved: int


def keep_roster(scope: TenantScope, group_id: UUID) -> None:
    """Before a locked group's memberships are ended: keeps what a restore needs."""
    scope.execute(_KEEP, group_id=group_id, restorable=RESTORABLE_FOR)


def deleted_groups(scope: TenantScope) -> list[DeletedGroup]:
    """The groups that can be restored, the last deleted first."""
    rows = scope.all(_LIST, restorable=RESTORABLE_FOR)
    return [
        DeletedGroup(
            row.id,
            row.display_name,
            row.external_id,
            row.deleted_at,
            row.restorable_until,
            row.members,
            row.unresolved,
        )
        for row in rows
    ]


def restore_group(scope: TenantScope, group_id: UUID, name: str | None = None) -> Restored:
    """Brings a deleted group back under its id, dirty, with the members whom it had.

    `name` replaces its own. Raises NotFoundError, NotRestorableError, TakenError, or
    ContendedError: then roll back and call again.
    """
    kept = _readable(scope.one(_READ, group_id=group_id, restorable=RESTORABLE_FOR), group_id)
    lock_users_by_id(scope, kept.members)
    found = lock_users(scope, kept.unresolved)
    if scope.one(_LOCK, group_id=group_id, deleted_at=kept.deleted_at) is None:
        raise ContendedError("the group is being restored by somebody else")
    name = name or kept.display_name
    _revive(scope, group_id, name)
    count = _rejoin(scope, group_id, kept, found)
    unresolved = [value for value in kept.unresolved if value not in found]
    keep_unresolved(scope, group_id, unresolved)
    touch(scope, [group_id])
    scope.execute(_FORGET, group_id=group_id)
    note(scope, Kind.GROUP_RESTORED, group_id=group_id)
    everybody = {*kept.members, *found.values()}
    return Restored(group_id, name, count, len(everybody) - count, len(unresolved))


def _readable(row: Row[Any] | None, group_id: UUID) -> Row[Any]:
    if row is None:
        raise NotFoundError(f"there is no group {group_id}, and there was none")
    if row.deleted_at is None:
        raise NotRestorableError(f"the group {group_id} is not deleted: there is nothing to do")
    if not row.restorable:
        raise NotRestorableError(
            f"the group {group_id} was deleted on {row.deleted_at:%Y-%m-%d}; its members are kept "
            f"for {RESTORABLE_FOR.days} days only: push it again as a new group"
        )
    return row


def _revive(scope: TenantScope, group_id: UUID, name: str) -> None:
    try:
        scope.execute(
            _REVIVE, group_id=group_id, display_name=name, display_name_key=name_key(name)
        )
    except IntegrityError as error:
        if constraint_of(error) != "groups_display_name_key":
            raise
        raise TakenError(
            f"another group is called {name!r} now: rename or delete that one, "
            "or restore this one with --as NAME"
        ) from None


def _rejoin(scope: TenantScope, group_id: UUID, kept: Row[Any], resolved: dict[str, UUID]) -> int:
    """Who was awaited then and is known by now joins with the members."""
    members: Sequence[UUID] = kept.members
    arrived = sorted(set(resolved.values()) - set(members))
    return int(
        scope.execute(
            _REJOIN,
            group_id=group_id,
            ids=[*members, *arrived],
            displays=[*kept.displays, *(None for _ in arrived)],
            held=[*kept.held, *(None for _ in arrived)],
        ).scalar_one()
    )
