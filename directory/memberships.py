"""Who is desired in a group: set-based changes that touch only the rows that differ.

A group's memberships change under the lock of its row. A user's row is locked (FOR SHARE) before
he is added, so that deactivating him, which locks it for update, comes before or after as a whole.

A reason that the service gave stays for as long as the member is on its roster, wanted or not: the
service gives it again only when it changes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from directory.errors import TooManyUnresolvedError
from directory.tenancy import TenantScope, tenant_sql

MAX_UNRESOLVED = 10_000
# A pattern, because making ten thousand UUID objects costs more than everything around it.
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)

# Users to be added, by id; locked against deactivation, in the order in which everybody locks.
_LOCK_BY_ID = tenant_sql("""
    SELECT id::text FROM users
    WHERE tenant_id = :tenant_id AND id = ANY(CAST(:values AS uuid[])) AND deleted_at IS NULL
    ORDER BY id FOR SHARE
""")

# The same by externalId, for values that are no ids of ours.
_LOCK_BY_EXTERNAL_ID = tenant_sql("""
    SELECT external_id, id FROM users
    WHERE tenant_id = :tenant_id AND external_id = ANY(:values) AND external_id IS NOT NULL
        AND deleted_at IS NULL
    ORDER BY id FOR SHARE
""")

# How a pushed list differs from the present members. A member who is held counts as missing: the
# new push confirms him.
_DIFFERENCE = tenant_sql("""
    SELECT pushed.id AS missing, present.user_id AS surplus
    FROM unnest(CAST(:ids AS uuid[])) AS pushed (id)
    FULL JOIN (
        SELECT user_id, held_reason FROM memberships
        WHERE tenant_id = :tenant_id AND group_id = :group_id AND desired
    ) AS present ON present.user_id = pushed.id
    WHERE pushed.id IS NULL OR present.user_id IS NULL OR present.held_reason IS NOT NULL
""")

# Members who are not in the group yet, or held; their events in the same statement. OFFSET 0 makes
# the database look each user up by key: one new member must not cost a walk through all users.
_ADD = tenant_sql("""
    WITH changed AS (
        INSERT INTO memberships AS m (tenant_id, group_id, user_id, desired, wanted, desired_at,
            desired_version, display)
        SELECT :tenant_id, :group_id, pushed.id, true, u.active, now(),
            (SELECT desired_version + 1 FROM groups
                WHERE tenant_id = :tenant_id AND id = :group_id),
            coalesce(pushed.display, u.display_name, u.user_name)
        FROM unnest(CAST(:ids AS uuid[]), CAST(:displays AS text[])) AS pushed (id, display)
        CROSS JOIN LATERAL (
            SELECT active, display_name, user_name FROM users
            WHERE tenant_id = :tenant_id AND id = pushed.id OFFSET 0
        ) AS u
        ON CONFLICT (tenant_id, group_id, user_id) DO UPDATE SET
            desired = true, wanted = excluded.wanted, held_reason = NULL,
            reason = CASE WHEN m.rostered THEN m.reason END,
            desired_at = excluded.desired_at, desired_version = excluded.desired_version,
            display = excluded.display
        WHERE NOT m.desired OR m.held_reason IS NOT NULL
        RETURNING user_id
    ), noted AS (
        INSERT INTO timeline (tenant_id, kind, group_id, user_id)
        SELECT :tenant_id, 'pushed_add', :group_id, user_id FROM changed
    )
    SELECT count(*) FROM changed
""")

# One user into several groups, which awaited him; the events in the same statement.
_JOIN = tenant_sql("""
    WITH changed AS (
        INSERT INTO memberships AS m (tenant_id, group_id, user_id, desired, wanted, desired_at,
            desired_version, display)
        SELECT g.tenant_id, g.id, u.id, true, u.active, now(), g.desired_version + 1,
            coalesce(u.display_name, u.user_name)
        FROM groups g JOIN users u ON u.tenant_id = g.tenant_id AND u.id = :user_id
        WHERE g.tenant_id = :tenant_id AND g.id = ANY(:group_ids)
        ON CONFLICT (tenant_id, group_id, user_id) DO UPDATE SET
            desired = true, wanted = excluded.wanted, held_reason = NULL,
            reason = CASE WHEN m.rostered THEN m.reason END,
            desired_at = excluded.desired_at, desired_version = excluded.desired_version,
            display = excluded.display
        WHERE NOT m.desired OR m.held_reason IS NOT NULL
        RETURNING group_id, user_id
    )
    INSERT INTO timeline (tenant_id, kind, group_id, user_id)
    SELECT :tenant_id, 'pushed_add', group_id, user_id FROM changed ORDER BY group_id
""")

# Members who leave; their rows stay until the ledger has let them go.
_REMOVE = tenant_sql("""
    WITH changed AS (
        UPDATE memberships m SET desired = false, wanted = false, held_reason = NULL,
            reason = CASE WHEN m.rostered THEN m.reason END,
            desired_at = now(), desired_version = g.desired_version + 1
        FROM groups g
        WHERE g.tenant_id = :tenant_id AND g.id = :group_id AND m.tenant_id = :tenant_id
            AND m.group_id = :group_id AND m.user_id = ANY(CAST(:ids AS uuid[])) AND m.desired
        RETURNING m.user_id
    ), noted AS (
        INSERT INTO timeline (tenant_id, kind, group_id, user_id)
        SELECT :tenant_id, 'pushed_remove', :group_id, user_id FROM changed
    )
    SELECT count(*) FROM changed
""")

# Everybody leaves.
_REMOVE_ALL = tenant_sql("""
    WITH changed AS (
        UPDATE memberships m SET desired = false, wanted = false, held_reason = NULL,
            reason = CASE WHEN m.rostered THEN m.reason END,
            desired_at = now(), desired_version = g.desired_version + 1
        FROM groups g
        WHERE g.tenant_id = :tenant_id AND g.id = :group_id AND m.tenant_id = :tenant_id
            AND m.group_id = :group_id AND m.desired
        RETURNING m.user_id
    ), noted AS (
        INSERT INTO timeline (tenant_id, kind, group_id, user_id)
        SELECT :tenant_id, 'pushed_remove', :group_id, user_id FROM changed
    )
    SELECT count(*) FROM changed
""")

# Creating a user waits for a push that finds him missing, and the other way round: without this
# lock, each could overlook the other. Pushes share it. Values are locked in order, and there are 64
# locks for a tenant, as many as PostgreSQL sets aside for a transaction: one for each of ten
# thousand unknown values would leave none to anybody else.
_LOCK_VALUES = tenant_sql("""
    SELECT count(
        CASE WHEN :shared THEN pg_advisory_xact_lock_shared(number)
        ELSE pg_advisory_xact_lock(number) END
    )
    FROM (
        SELECT DISTINCT hashtextextended(
            CAST(:tenant_id AS text), hashtextextended(value, 0) & 63
        ) AS number
        FROM unnest(CAST(:values AS text[])) AS value ORDER BY number
    ) AS numbers
""")

# Keeps values that name nobody yet.
_KEEP_UNRESOLVED = tenant_sql("""
    INSERT INTO unresolved_members (tenant_id, group_id, value)
    SELECT :tenant_id, :group_id, value FROM unnest(CAST(:values AS text[])) AS value
    ON CONFLICT DO NOTHING
""")

_COUNT_UNRESOLVED = tenant_sql("""
    SELECT count(*) FROM unresolved_members
    WHERE tenant_id = :tenant_id AND group_id = :group_id
""")

_DROP_UNRESOLVED = tenant_sql("""
    DELETE FROM unresolved_members
    WHERE tenant_id = :tenant_id AND group_id = :group_id AND value = ANY(:values)
""")

# A whole list was pushed: what it does not name is not awaited any more.
_DROP_OTHER_UNRESOLVED = tenant_sql("""
    DELETE FROM unresolved_members
    WHERE tenant_id = :tenant_id AND group_id = :group_id AND NOT value = ANY(:values)
""")

_GROUPS_AWAITING = tenant_sql("""
    SELECT DISTINCT group_id FROM unresolved_members
    WHERE tenant_id = :tenant_id AND value = ANY(:values)
""")

_TAKE_AWAITED = tenant_sql("""
    DELETE FROM unresolved_members
    WHERE tenant_id = :tenant_id AND value = ANY(:values) AND group_id = ANY(:group_ids)
    RETURNING group_id
""")


@dataclass(frozen=True, slots=True)
class Difference:
    """How a pushed list differs from the present members."""

    missing: frozenset[UUID]
    surplus: frozenset[UUID]


def lock_users(scope: TenantScope, values: Iterable[str]) -> dict[str, UUID]:
    """Finds live users by id or else externalId, and locks them against deactivation.

    Returns the user of each value that names one. Values that are not known are locked against
    the creation of such a user until the transaction ends.
    """
    values = set(values)
    if not values:
        return {}
    found = _find_by_id(scope, values)
    rest = sorted(values - found.keys())
    if rest:
        found |= _find_by_external_id(scope, rest)
        unknown = [value for value in rest if value not in found]
        if unknown:
            scope.execute(_LOCK_VALUES, values=unknown, shared=True)
            found |= _find_by_external_id(scope, unknown)
    return found


def lock_users_by_id(scope: TenantScope, ids: Iterable[UUID]) -> None:
    """Locks live users against deactivation."""
    scope.execute(_LOCK_BY_ID, values=sorted(str(id_) for id_ in ids))


def lock_values(scope: TenantScope, values: Sequence[str]) -> None:
    """Before a user comes to be known by these values: waits for pushes that name them."""
    scope.execute(_LOCK_VALUES, values=list(values), shared=False)


def difference(scope: TenantScope, group_id: UUID, ids: Iterable[str]) -> Difference:
    """Compares a pushed list of ids (any UUIDs) with the members, in the database."""
    rows = scope.all(_DIFFERENCE, group_id=group_id, ids=list(ids))
    return Difference(
        frozenset(row.missing for row in rows if row.missing is not None),
        frozenset(row.surplus for row in rows if row.missing is None),
    )


def add_members(scope: TenantScope, group_id: UUID, members: Mapping[UUID, str | None]) -> int:
    """Adds locked users to a locked group; returns how many were not in it, or held."""
    if not members:
        return 0
    result = scope.execute(
        _ADD, group_id=group_id, ids=list(members), displays=list(members.values())
    )
    return int(result.scalar_one())


def join_groups(scope: TenantScope, user_id: UUID, group_ids: Sequence[UUID]) -> None:
    """Adds a locked user to locked groups; those that have him already stay as they are."""
    scope.execute(_JOIN, user_id=user_id, group_ids=list(group_ids))


def remove_members(scope: TenantScope, group_id: UUID, ids: Iterable[UUID]) -> int:
    """Removes users from a locked group; returns how many were in it."""
    ids = list(ids)
    if not ids:
        return 0
    return int(scope.execute(_REMOVE, group_id=group_id, ids=ids).scalar_one())


def remove_all_members(scope: TenantScope, group_id: UUID) -> int:
    """Empties a locked group; returns how many were in it."""
    return int(scope.execute(_REMOVE_ALL, group_id=group_id).scalar_one())


def keep_unresolved(scope: TenantScope, group_id: UUID, values: Iterable[str]) -> None:
    """Keeps unknown values of a locked group. Raises TooManyUnresolvedError."""
    values = list(values)
    if not values:
        return
    scope.execute(_KEEP_UNRESOLVED, group_id=group_id, values=values)
    count = scope.execute(_COUNT_UNRESOLVED, group_id=group_id).scalar_one()
    if count > MAX_UNRESOLVED:
        raise TooManyUnresolvedError(
            f"the group would await {count} members that are not known, and may await "
            f"{MAX_UNRESOLVED}: push the users first"
        )


def drop_unresolved(scope: TenantScope, group_id: UUID, values: Iterable[str]) -> None:
    """Awaits these values no longer."""
    values = list(values)
    if values:
        scope.execute(_DROP_UNRESOLVED, group_id=group_id, values=values)


def drop_unresolved_except(scope: TenantScope, group_id: UUID, values: Iterable[str]) -> None:
    """Awaits nothing but these values."""
    scope.execute(_DROP_OTHER_UNRESOLVED, group_id=group_id, values=list(values))


def groups_awaiting(scope: TenantScope, values: Sequence[str]) -> list[UUID]:
    """The groups that await one of these values, unlocked."""
    return scope.values(_GROUPS_AWAITING, values=list(values))


def take_awaited(scope: TenantScope, values: Sequence[str], group_ids: list[UUID]) -> list[UUID]:
    """Which of these locked groups await one of the values; they do so no longer."""
    return sorted(set(scope.values(_TAKE_AWAITED, values=list(values), group_ids=group_ids)))


def _find_by_id(scope: TenantScope, values: set[str]) -> dict[str, UUID]:
    """Locks the users whose ids are among the values."""
    ids = {value: canonical for value in values if (canonical := canonical_uuid(value))}
    if not ids:
        return {}
    known = {text: UUID(text) for text in scope.values(_LOCK_BY_ID, values=sorted(ids.values()))}
    return {value: known[text] for value, text in ids.items() if text in known}


def _find_by_external_id(scope: TenantScope, values: Sequence[str]) -> dict[str, UUID]:
    rows = scope.all(_LOCK_BY_EXTERNAL_ID, values=list(values))
    return {row.external_id: row.id for row in rows}


def canonical_uuid(value: str) -> str | None:
    """The canonical text of a UUID in its usual form (RFC 9562 §4), None for anything else."""
    lower = value.lower()
    return lower if _UUID.fullmatch(lower) else None
