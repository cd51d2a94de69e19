"""Tenants: customers of the vendor, each with its own identity provider and encryption service."""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from directory.credentials import create_scim_token
from directory.errors import NotFoundError, TakenError
from directory.tenancy import TenantScope

# These two concern the set of tenants itself.
_INSERT = text("INSERT INTO tenants (id, name) VALUES (:id, :name)")
_FIND = text("SELECT id FROM tenants WHERE name = :text OR CAST(id AS text) = :text")


@dataclass(frozen=True, slots=True)
class NewTenant:
    """A tenant and its first SCIM token, which is seen this one time."""

    tenant_id: UUID
    scim_token: str = field(repr=False)


def create_tenant(connection: Connection, name: str) -> NewTenant:
    """Creates a tenant with a SCIM token. Raises TakenError."""
    tenant_id = uuid4()
    try:
        connection.execute(_INSERT, {"id": tenant_id, "name": name})
    except IntegrityError:
        raise TakenError(f"there is a tenant called {name!r} already") from None
    return NewTenant(tenant_id, create_scim_token(TenantScope(connection, tenant_id)))


def find_tenant(connection: Connection, name_or_id: str) -> UUID:
    """A tenant's id from its id or name. Raises NotFoundError."""
    found = connection.execute(_FIND, {"text": name_or_id}).scalar_one_or_none()
    if not isinstance(found, UUID):
        raise NotFoundError(f"there is no tenant {name_or_id!r}: see `groupseal tenant status`")
    return found
