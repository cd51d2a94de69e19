"""Users and groups by what an operator calls them: an id, or else the name."""

from uuid import UUID

from directory.errors import NotFoundError
from directory.memberships import canonical_uuid
from directory.names import name_key
from directory.tenancy import TenantScope, tenant_sql

_USER_BY_ID = tenant_sql("""
    SELECT id FROM users WHERE tenant_id = :tenant_id AND id = :id AND deleted_at IS NULL
""")

_USER_BY_NAME = tenant_sql("""
    SELECT id FROM users
    WHERE tenant_id = :tenant_id AND user_name_key = :key AND deleted_at IS NULL
""")

_GROUP_BY_ID = tenant_sql("""
    SELECT id FROM groups WHERE tenant_id = :tenant_id AND id = :id AND deleted_at IS NULL
""")

_GROUP_BY_NAME = tenant_sql("""
    SELECT id FROM groups
    WHERE tenant_id = :tenant_id AND display_name_key = :key AND deleted_at IS NULL
""")


def find_user(scope: TenantScope, name_or_id: str) -> UUID:
    """The id of a live user by id or userName. Raises NotFoundError."""
    canonical = canonical_uuid(name_or_id)
    if canonical is not None:
        found = scope.values(_USER_BY_ID, id=canonical)
    else:
        found = scope.values(_USER_BY_NAME, key=name_key(name_or_id))
    return _one(found, f"there is no user {name_or_id!r} in this tenant: push it first")


def find_group(scope: TenantScope, name_or_id: str) -> UUID:
    """The id of a live group by id or displayName. Raises NotFoundError."""
    canonical = canonical_uuid(name_or_id)
    if canonical is not None:
        found = scope.values(_GROUP_BY_ID, id=canonical)
    else:
        found = scope.values(_GROUP_BY_NAME, key=name_key(name_or_id))
    return _one(found, f"there is no group {name_or_id!r} in this tenant")


def _one(found: list[UUID], otherwise: str) -> UUID:
    if not found:
        raise NotFoundError(otherwise)
    return found[0]
