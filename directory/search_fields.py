"""The searched attributes of users and groups, by lower-case SCIM name, and where each is held."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    FromClause,
    Select,
    Table,
    Text,
    cast,
    exists,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from directory.memberships import canonical_uuid
from directory.names import folded, name_key
from directory.search_sources import (
    BooleanColumn,
    Condition,
    Elements,
    IdColumn,
    TextColumn,
    TimeColumn,
    Values,
    json_elements,
)
from directory.search_tests import Expression, Truth, bound_text
from directory.tables import groups, memberships, users
from directory.users import typed_email_key

# The manager's id, as the index `users_manager_idx` has it.
MANAGER = users.c.attributes.op("#>>", return_type=Text())(
    literal_column("'{urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,manager,value}'")
)


@dataclass(frozen=True, slots=True)
class Fields:
    """What one kind of resource is searched by.

    `columns` by attribute or attribute.sub-attribute, `elements` by attribute; whatever else there
    is stands in `document`. `id_text` tells resources apart whose sort keys are the same.
    """

    table: Table
    columns: Mapping[str, Values]
    elements: Mapping[str, Elements]
    document: Expression | None = None

    @property
    def id_text(self) -> Expression:
        """As the listings' indexes have it: they must not serve look-ups by id."""
        return cast(self.table.c.id, Text)


def user_fields(base_url: str, schemas: Expression) -> Fields:
    """Those of users. `schemas` is the JSON list of the URNs that a user's resource names."""
    return Fields(
        users,
        columns={
            **_common(users, base_url, "User"),
            "username": TextColumn(users.c.user_name_key, _folded, _keyed),
            "displayname": TextColumn(func.lower(users.c.display_name), _lowered),
            "active": BooleanColumn(users.c.active),
            # Okta's name for the address that identifies a user.
            "email": TextColumn(users.c.primary_email_key, _folded, _keyed),
        },
        elements={
            "schemas": json_elements(schemas),
            "meta": _meta(users, "User"),
            "emails": Elements(
                json_elements(users.c.emails).some,
                users.c.emails,
                quick={"value": _with_address},
                typed=_with_typed_address,
            ),
            "groups": Elements(
                lambda condition: _groups(base_url, condition), quick={"value": _in_group}
            ),
        },
        document=users.c.attributes,
    )


def group_fields(base_url: str, schemas: Expression) -> Fields:
    """Those of groups."""
    return Fields(
        groups,
        columns={
            **_common(groups, base_url, "Group"),
            "displayname": TextColumn(groups.c.display_name_key, _folded, _keyed),
        },
        elements={
            "schemas": json_elements(schemas),
            "meta": _meta(groups, "Group"),
            "members": Elements(
                lambda condition: _members(base_url, condition), quick={"value": _with_member}
            ),
        },
    )


def _common(table: Table, base_url: str, kind: str) -> dict[str, Values]:
    """What every resource has (RFC 7643 §3.1)."""
    version = func.concat('W/"', cast(table.c.version, Text), '"')
    location = func.concat(bound_text(f"{base_url}/{kind}s/"), cast(table.c.id, Text))
    return {
        "id": IdColumn(table.c.id),
        "externalid": TextColumn(table.c.external_id, bound_text),
        "meta.resourcetype": TextColumn(bound_text(kind), bound_text),
        "meta.created": TimeColumn(table.c.created_at),
        "meta.lastmodified": TimeColumn(table.c.updated_at),
        "meta.version": TextColumn(version, bound_text),
        "meta.location": TextColumn(location, bound_text),
    }


def _meta(table: Table, kind: str) -> Elements:
    """Asked whether it is there; what is in it has columns."""
    return json_elements(
        func.jsonb_build_object("resourceType", kind, "created", table.c.created_at, type_=JSONB())
    )


def _folded(text: str) -> Expression:
    return bound_text(folded(text))


def _keyed(text: str) -> Expression:
    return bound_text(name_key(text))


def _lowered(text: str) -> Expression:
    return func.lower(bound_text(text))


def _with_address(address: str) -> Truth | None:
    key = name_key(address)
    # A key with a blank may be that of an address behind its type.
    return None if " " in key or not key else users.c.email_keys.contains([key])


def _with_typed_address(kind: str, address: str) -> Truth | None:
    if " " in kind.strip() or " " in address.strip() or not address.strip():
        return None
    return users.c.email_keys.contains([typed_email_key(kind, address)])


def _in_group(value: str) -> Truth | None:
    canonical = canonical_uuid(value)
    if canonical is None:
        return None
    return _membership(
        memberships.join(
            groups,
            (groups.c.tenant_id == memberships.c.tenant_id)
            & (groups.c.id == memberships.c.group_id),
        ),
        memberships.c.user_id == users.c.id,
        memberships.c.tenant_id == users.c.tenant_id,
        memberships.c.group_id == UUID(canonical),
        groups.c.deleted_at.is_(None),
    )


def _groups(base_url: str, condition: Condition) -> Truth:
    """Whether one of a user's groups, as an element of `groups`, meets the condition."""
    of_user = groups.alias()
    element = func.jsonb_build_object(
        *("value", memberships.c.group_id),
        *("display", of_user.c.display_name),
        *("type", "direct"),
        *("$ref", func.concat(f"{base_url}/Groups/", cast(memberships.c.group_id, Text))),
        type_=JSONB(),
    )
    return _membership(
        memberships.join(
            of_user,
            (of_user.c.tenant_id == memberships.c.tenant_id)
            & (of_user.c.id == memberships.c.group_id),
        ),
        memberships.c.tenant_id == users.c.tenant_id,
        memberships.c.user_id == users.c.id,
        of_user.c.deleted_at.is_(None),
        condition(element),
    )


def _with_member(value: str) -> Truth | None:
    canonical = canonical_uuid(value)
    if canonical is None:
        return None
    return _membership(
        memberships,
        memberships.c.tenant_id == groups.c.tenant_id,
        memberships.c.group_id == groups.c.id,
        memberships.c.user_id == UUID(canonical),
    )


def _members(base_url: str, condition: Condition) -> Truth:
    """Whether one of a group's members, as an element of `members`, meets the condition."""
    element = func.jsonb_build_object(
        *("value", memberships.c.user_id),
        *("display", memberships.c.display),
        *("type", "User"),
        *("$ref", func.concat(f"{base_url}/Users/", cast(memberships.c.user_id, Text))),
        type_=JSONB(),
    )
    return _membership(
        memberships,
        memberships.c.tenant_id == groups.c.tenant_id,
        memberships.c.group_id == groups.c.id,
        condition(element),
    )


def _membership(source: FromClause, *conditions: Truth) -> Truth:
    inner: Select[Any] = (
        select(literal(1))
        .select_from(source)
        .where(memberships.c.desired, *conditions)
        .correlate_except(source)
    )
    return exists(inner)
