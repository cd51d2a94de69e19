"""Pages of users and groups in a stable order, narrowed by criteria that indexes answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Table, and_, exists, false, func, select

from directory.groups import Group, group_from
from directory.memberships import canonical_uuid
from directory.names import name_key
from directory.tables import groups, memberships, users
from directory.tenancy import TenantScope, tenant_sql
from directory.users import User, typed_email_key, user_from

# The members of several groups, each as one JSON array.
_MEMBERS = tenant_sql("""
    SELECT group_id,
        json_agg(json_build_object('value', user_id, 'display', display) ORDER BY user_id)::text
            AS members
    FROM memberships WHERE tenant_id = :tenant_id AND group_id = ANY(:ids) AND desired
    GROUP BY group_id
""")


class Field(Enum):
    """What can be searched for."""

    ID = auto()
    EXTERNAL_ID = auto()
    USER_NAME = auto()
    PRIMARY_EMAIL = auto()
    ANY_EMAIL = auto()
    TYPED_EMAIL = auto()
    ACTIVE = auto()
    DISPLAY_NAME = auto()
    MEMBER = auto()


@dataclass(frozen=True, slots=True)
class Criterion:
    """A field that must equal a value. `qualifier` is the type of a TYPED_EMAIL."""

    field: Field
    value: str | bool
    qualifier: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Up to `limit` rows after the first `offset`."""

    offset: int
    limit: int


def list_users(
    scope: TenantScope, criteria: Sequence[Criterion], page: Page
) -> tuple[list[User], int]:
    """A page of live users, oldest first, and how many there are in all."""
    query = scope.select(users).where(
        users.c.deleted_at.is_(None), *(_user_condition(one) for one in criteria)
    )
    rows, total = _page(scope, query, users, page)
    return [user_from(row) for row in rows], total


def list_groups(
    scope: TenantScope, criteria: Sequence[Criterion], page: Page
) -> tuple[list[Group], int]:
    """A page of live groups, oldest first, and how many there are in all."""
    query = scope.select(groups).where(
        groups.c.deleted_at.is_(None), *(_group_condition(one) for one in criteria)
    )
    rows, total = _page(scope, query, groups, page)
    return [group_from(row) for row in rows], total


def members_json_by_group(scope: TenantScope, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The members of each group that has some, as the text of a JSON array."""
    rows = scope.all(_MEMBERS, ids=list(ids))
    return {row.group_id: row.members for row in rows}


def _page(
    scope: TenantScope, query: Select[Any], table: Table, page: Page
) -> tuple[Sequence[Any], int]:
    rows: Sequence[Any] = []
    if page.limit > 0:
        ordered = query.order_by(table.c.created_at, table.c.id)
        limited = ordered.offset(page.offset).limit(page.limit)
        rows = scope.connection.execute(limited).all()
    if rows and len(rows) < page.limit:
        return rows, page.offset + len(rows)  # the last page: nothing to count
    if page.offset == 0 and page.limit > 0 and not rows:
        return rows, 0
    count = query.with_only_columns(func.count(), maintain_column_froms=True)
    return rows, int(scope.connection.execute(count).scalar_one())


def _user_condition(criterion: Criterion) -> ColumnElement[bool]:
    condition = _USER_CONDITIONS.get(criterion.field)
    return false() if condition is None else condition(criterion)


def _typed_email(criterion: Criterion) -> ColumnElement[bool]:
    key = typed_email_key(criterion.qualifier, str(criterion.value))
    return users.c.email_keys.contains([key])


def _external_id(criterion: Criterion) -> ColumnElement[bool]:
    return and_(users.c.external_id == str(criterion.value), users.c.external_id.is_not(None))


_USER_CONDITIONS: dict[Field, Callable[[Criterion], ColumnElement[bool]]] = {
    Field.ID: lambda c: _is_id(users, c.value),
    Field.EXTERNAL_ID: _external_id,
    Field.USER_NAME: lambda c: users.c.user_name_key == name_key(str(c.value)),
    Field.PRIMARY_EMAIL: lambda c: users.c.primary_email_key == name_key(str(c.value)),
    Field.ANY_EMAIL: lambda c: users.c.email_keys.contains([name_key(str(c.value))]),
    Field.TYPED_EMAIL: _typed_email,
    Field.ACTIVE: lambda c: users.c.active.is_(bool(c.value)),
    Field.DISPLAY_NAME: lambda c: func.lower(users.c.display_name) == str(c.value).lower(),
}


def _group_condition(criterion: Criterion) -> ColumnElement[bool]:
    value = criterion.value
    match criterion.field:
        case Field.ID:
            return _is_id(groups, value)
        case Field.EXTERNAL_ID:
            return groups.c.external_id == str(value)
        case Field.DISPLAY_NAME:
            return groups.c.display_name_key == name_key(str(value))
        case Field.MEMBER:
            canonical = canonical_uuid(str(value))
            if canonical is None:
                return false()
            return exists(
                select(memberships.c.user_id).where(
                    memberships.c.tenant_id == groups.c.tenant_id,
                    memberships.c.group_id == groups.c.id,
                    memberships.c.user_id == UUID(canonical),
                    memberships.c.desired,
                )
            )
        case _:
            return false()


def _is_id(table: Table, value: object) -> ColumnElement[bool]:
    canonical = canonical_uuid(str(value))
    return false() if canonical is None else table.c.id == UUID(canonical)
