"""Pages of what a search finds, in a stable order, at a cost that does not grow with the place.

A page by number is counted from the nearer end; a page by position (RFC 9865) begins at its key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Row,
    Select,
    and_,
    false,
    func,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.types import TypeEngine

from directory.groups import Group, group_from
from directory.search_fields import Fields
from directory.search_tests import Expression, Truth
from directory.tables import groups, users
from directory.tenancy import TenantScope
from directory.users import User, user_from

Resource = User | Group


@dataclass(frozen=True, slots=True)
class Part:
    """The resources of one kind that are looked for, and what orders them."""

    fields: Fields
    condition: Truth | None
    sort_key: Expression


@dataclass(frozen=True, slots=True)
class Order:
    """`nullable` unless every resource has the key; those without come last, descending first."""

    key_type: TypeEngine[Any]
    nullable: bool = True
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """The place of a resource in an order."""

    key: object
    id: str


@dataclass(frozen=True, slots=True)
class Found:
    """A page. `first` and `last` are the places of its ends; `more` is whether others follow in
    the direction in which it was read."""

    resources: list[Resource]
    total: int
    first: Position | None = None
    last: Position | None = None
    more: bool = False


def page_at(
    scope: TenantScope, parts: Sequence[Part], order: Order, *, offset: int, limit: int
) -> Found:
    """Up to `limit` resources after the first `offset`, and how many there are in all."""
    listing = _Listing(scope, parts, order)
    if offset == 0 and limit > 0:
        rows = listing.rows(order.descending, limit)
        total = len(rows) if len(rows) < limit else listing.count()
        return listing.found(rows, total)
    total = listing.count()
    taken = min(limit, total - offset)
    if taken <= 0:
        return Found([], total)
    behind = total - offset - taken
    if behind < offset:  # counted from the end
        rows = listing.rows(not order.descending, taken, behind)[::-1]
    else:
        rows = listing.rows(order.descending, taken, offset)
    return listing.found(rows, total)


def page_from(
    scope: TenantScope,
    parts: Sequence[Part],
    order: Order,
    *,
    position: Position | None,
    backwards: bool,
    limit: int,
    total: int | None,
) -> Found:
    """Up to `limit` resources after a position, or before it; counted unless `total` is known."""
    listing = _Listing(scope, parts, order)
    descending = order.descending != backwards
    rows = listing.rows(descending, limit + 1, position=position) if limit > 0 else []
    if total is None:
        whole = position is None and len(rows) <= limit and limit > 0
        total = len(rows) if whole else listing.count()
    more = len(rows) > limit
    rows = rows[:limit]
    return listing.found(rows[::-1] if backwards else rows, total, more=more)


class _Listing:
    """What is looked for: of one kind the rows themselves, of several their keys first."""

    def __init__(self, scope: TenantScope, parts: Sequence[Part], order: Order) -> None:
        self._scope = scope
        self._order = order
        self._parts = parts
        if len(parts) == 1:
            part = parts[0]
            self._key: ColumnElement[Any] = part.sort_key
            self._id: ColumnElement[Any] = part.fields.id_text
            self._query = self._narrowed(part, part.fields.table)
        else:
            union = union_all(*(self._keys(part) for part in parts)).subquery()
            self._key, self._id = union.c.sort_key, union.c.sort_id
            self._query = select(union)

    def rows(
        self,
        descending: bool,
        limit: int,
        offset: int = 0,
        position: Position | None = None,
    ) -> list[Row[Any]]:
        query = self._query
        if len(self._parts) == 1:
            query = query.add_columns(self._key.label("sort_key"), self._id.label("sort_id"))
        if position is not None:
            query = query.where(self._follows(position, descending))
        by = [self._key, self._id]
        query = query.order_by(*(one.desc() if descending else one.asc() for one in by))
        return list(self._scope.connection.execute(query.offset(offset).limit(limit)))

    def count(self) -> int:
        query = self._query.with_only_columns(func.count(), maintain_column_froms=True)
        return int(self._scope.connection.execute(query).scalar_one())

    def found(self, rows: Sequence[Row[Any]], total: int, *, more: bool = False) -> Found:
        if not rows:
            return Found([], total)
        first, last = (Position(row.sort_key, row.sort_id) for row in (rows[0], rows[-1]))
        return Found(self._resources(rows), total, first, last, more)

    def _narrowed(self, part: Part, *columns: Any) -> Select[Any]:
        table = part.fields.table
        query = self._scope.select(table, *columns).where(table.c.deleted_at.is_(None))
        return query if part.condition is None else query.where(part.condition)

    def _keys(self, part: Part) -> Select[Any]:
        table = part.fields.table
        return self._narrowed(
            part,
            literal(table.name).label("kind"),
            table.c.id.label("id"),
            part.sort_key.label("sort_key"),
            part.fields.id_text.label("sort_id"),
        )

    def _resources(self, rows: Sequence[Row[Any]]) -> list[Resource]:
        if len(self._parts) == 1:
            made = user_from if self._parts[0].fields.table is users else group_from
            return [made(row) for row in rows]
        held: dict[tuple[str, object], Resource] = {}
        for table, made in ((users, user_from), (groups, group_from)):
            ids = [row.id for row in rows if row.kind == table.name]
            if ids:
                query = self._scope.select(table).where(table.c.id.in_(ids))
                for row in self._scope.connection.execute(query):
                    held[table.name, row.id] = made(row)
        return [held[row.kind, row.id] for row in rows if (row.kind, row.id) in held]

    def _follows(self, position: Position, descending: bool) -> Truth:
        """Whether a row comes after the position, in this direction. NULL is the greatest key."""
        key, identifier = self._key, self._id
        at: BindParameter[Any] = literal(position.id)
        if position.key is None:
            beyond = and_(key.is_(None), identifier < at if descending else identifier > at)
            return or_(beyond, key.is_not(None) if descending else false())
        here = tuple_(literal(position.key, self._order.key_type), at)
        row = tuple_(key, identifier)
        if descending:
            return row < here
        return or_(row > here, key.is_(None)) if self._order.nullable else row > here
