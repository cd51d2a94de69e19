"""Groups as the identity provider wants them, and the mark that one needs reconciling."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError

from directory.errors import NotFoundError, TakenError, VersionMismatchError
from directory.names import name_key
from directory.tenancy import TenantScope, tenant_sql

# One group, unlocked.
_READ = tenant_sql("""
    SELECT id, display_name, external_id, version, created_at, updated_at
    FROM groups WHERE tenant_id = :tenant_id AND id = :id AND deleted_at IS NULL
""")

# The same, locked against every other change of the group.
_LOCK = tenant_sql("""
    SELECT id, display_name, external_id, version, created_at, updated_at
    FROM groups WHERE tenant_id = :tenant_id AND id = :id AND deleted_at IS NULL
    FOR NO KEY UPDATE
""")

# Several groups, tombstones included, in the order in which everybody locks them.
_LOCK_MANY = tenant_sql("""
    SELECT id FROM groups WHERE tenant_id = :tenant_id AND id = ANY(:ids)
    ORDER BY id FOR NO KEY UPDATE
""")

# A new group is dirty from the beginning (desired_version 1, reconciled_version 0).
_INSERT = tenant_sql("""
    INSERT INTO groups (tenant_id, id, display_name, display_name_key, external_id)
    VALUES (:tenant_id, :id, :display_name, :display_name_key, :external_id)
    RETURNING id, display_name, external_id, version, created_at, updated_at
""")

# New names, which the service must hear of.
_RENAME = tenant_sql("""
    UPDATE groups SET display_name = :display_name, display_name_key = :display_name_key,
        external_id = :external_id
    WHERE tenant_id = :tenant_id AND id = :id
""")

# The mark that groups need reconciling, in the transaction of the change itself.
_BUMP = tenant_sql("""
    UPDATE groups SET
        desired_version = desired_version + 1,
        dirty_since = CASE WHEN desired_version > reconciled_version
            THEN coalesce(dirty_since, now()) ELSE now() END,
        next_attempt_at = now(), attempts = 0, reason = NULL
    WHERE tenant_id = :tenant_id AND id = ANY(:ids)
""")

# The same for a change that SCIM clients see too: it gives the group another version.
_TOUCH = tenant_sql("""
    UPDATE groups SET
        version = version + 1, updated_at = now(),
        desired_version = desired_version + 1,
        dirty_since = CASE WHEN desired_version > reconciled_version
            THEN coalesce(dirty_since, now()) ELSE now() END,
        next_attempt_at = now(), attempts = 0, reason = NULL
    WHERE tenant_id = :tenant_id AND id = ANY(:ids)
""")

# The tombstone; the name is free again.
_BURY = tenant_sql("""
    UPDATE groups SET deleted_at = now() WHERE tenant_id = :tenant_id AND id = :id
""")


@dataclass(frozen=True, slots=True)
class Group:
    """A live group without its members."""

    id: UUID
    display_name: str
    external_id: str | None
    version: int
    created_at: datetime
    updated_at: datetime


def group_from(row: Row[Any]) -> Group:
    """From a row with the columns of `Group`."""
    return Group(
        id=row.id,
        display_name=row.display_name,
        external_id=row.external_id,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def read_group(scope: TenantScope, group_id: UUID) -> Group:
    """Raises NotFoundError."""
    return _found(scope.one(_READ, id=group_id), group_id)


def lock_group(scope: TenantScope, group_id: UUID, *, version: int | None = None) -> Group:
    """Locks a live group for a change. `version` is the one that the caller demands.

    Raises NotFoundError or VersionMismatchError.
    """
    group = _found(scope.one(_LOCK, id=group_id), group_id)
    if version is not None and group.version != version:
        raise VersionMismatchError(
            f"the group is at version {group.version}, not {version}: read it again"
        )
    return group


def lock_groups(scope: TenantScope, ids: Sequence[UUID]) -> None:
    """Locks groups, tombstones included, by id."""
    if ids:
        scope.execute(_LOCK_MANY, ids=sorted(ids))


def create_group(scope: TenantScope, display_name: str, external_id: str | None) -> Group:
    """Creates an empty group, dirty. Raises TakenError for a name in use."""
    try:
        row = scope.one(
            _INSERT,
            id=uuid4(),
            display_name=display_name,
            display_name_key=name_key(display_name),
            external_id=external_id,
        )
    except IntegrityError as error:
        raise _translated(error, display_name) from None
    if row is None:
        raise RuntimeError("INSERT … RETURNING gave no row")
    return group_from(row)


def rename_group(
    scope: TenantScope, group: Group, display_name: str, external_id: str | None
) -> bool:
    """Gives a locked group other names; the caller touches it. Costs nothing if they are the same.

    Returns whether anything changed. Raises TakenError.
    """
    if (display_name, external_id) == (group.display_name, group.external_id):
        return False
    try:
        scope.execute(
            _RENAME,
            id=group.id,
            display_name=display_name,
            display_name_key=name_key(display_name),
            external_id=external_id,
        )
    except IntegrityError as error:
        raise _translated(error, display_name) from None
    return True


def bump(scope: TenantScope, ids: Sequence[UUID]) -> None:
    """Marks locked groups as dirty."""
    if ids:
        scope.execute(_BUMP, ids=list(ids))


def touch(scope: TenantScope, ids: Sequence[UUID]) -> None:
    """Marks locked groups as dirty and gives them a new version for SCIM clients."""
    if ids:
        scope.execute(_TOUCH, ids=list(ids))


def bury_group(scope: TenantScope, group_id: UUID) -> None:
    """Makes a locked group a tombstone. Its memberships are ended by the caller."""
    scope.execute(_BURY, id=group_id)


def _found(row: Row[Any] | None, group_id: UUID) -> Group:
    if row is None:
        raise NotFoundError(f"there is no group {group_id}")
    return group_from(row)


def _translated(error: IntegrityError, display_name: str) -> Exception:
    if constraint_of(error) == "groups_display_name_key":
        return TakenError(f"a group is called {display_name!r} already: link or rename that one")
    return error


def constraint_of(error: IntegrityError) -> str | None:
    """Name of the constraint that a statement violated."""
    name = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    return name if isinstance(name, str) else None
