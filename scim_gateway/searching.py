"""Searches (RFC 7644 §3.4.2, §3.4.3): GET /Users, GET /Groups, and POST to `.search`.

A search costs the same number of statements, whatever it finds.
"""

import time
from collections.abc import Callable, Sequence

from flask import Blueprint, Response, request

from directory.groups import Group
from directory.search_pages import Part, Position, Resource, page_at, page_from
from directory.search_tests import Truth
from directory.users import User
from scim_gateway.cursors import Cursor, cursor_text, parse_cursor, search_digest
from scim_gateway.errors import InvalidCountError
from scim_gateway.filter_sql import condition
from scim_gateway.json_body import json_object
from scim_gateway.projection import Projection
from scim_gateway.representations import groups_json, users_json
from scim_gateway.request_scope import ScimRequest, scim_request
from scim_gateway.responses import list_response
from scim_gateway.search_query import SearchQuery, query_from, query_from_body
from scim_gateway.search_schema import Searched, searched_groups, searched_users
from scim_gateway.sort_order import Sorting, sorting

_Kinds = Sequence[Callable[[str], Searched]]
_USERS: _Kinds = (searched_users,)
_GROUPS: _Kinds = (searched_groups,)


def register(blueprint: Blueprint) -> None:
    """Adds the routes."""
    blueprint.add_url_rule("/Users", "users_find", find_users, methods=["GET"])
    blueprint.add_url_rule("/Users/.search", "users_search", search_users, methods=["POST"])
    blueprint.add_url_rule("/Groups", "groups_find", find_groups, methods=["GET"])
    blueprint.add_url_rule("/Groups/.search", "groups_search", search_groups, methods=["POST"])
    blueprint.add_url_rule("/.search", "search", search_all, methods=["POST"])


def find_users() -> Response:
    """A page of users."""
    return _answer(query_from(request.args), _USERS)


def search_users() -> Response:
    """The same, asked for in a body."""
    return _answer(query_from_body(json_object(request)), _USERS)


def find_groups() -> Response:
    """A page of groups."""
    return _answer(query_from(request.args), _GROUPS)


def search_groups() -> Response:
    """The same, asked for in a body."""
    return _answer(query_from_body(json_object(request)), _GROUPS)


def search_all() -> Response:
    """A page of users and groups."""
    return _answer(query_from_body(json_object(request)), (*_USERS, *_GROUPS))


def _answer(query: SearchQuery, kinds: _Kinds) -> Response:
    call = scim_request()
    searched = [kind(call.base_url) for kind in kinds]
    order = sorting(query.sort_by, query.sort_order, searched)
    parts = [
        Part(kind.fields, _condition(query, kind, searched), key)
        for kind, key in zip(searched, order.keys, strict=True)
    ]
    if query.cursor is not None:
        return _page_by_cursor(call, query, parts, order)
    found = page_at(call.scope, parts, order.order, offset=query.start_index - 1, limit=query.limit)
    resources = _rendered(call, found.resources, query.projection)
    return list_response(resources, found.total, query.start_index)


def _condition(query: SearchQuery, kind: Searched, searched: Sequence[Searched]) -> Truth | None:
    if query.filter is None:
        return None
    return condition(query.filter, kind, [one for one in searched if one is not kind])


def _page_by_cursor(
    call: ScimRequest, query: SearchQuery, parts: Sequence[Part], order: Sorting
) -> Response:
    """RFC 9865. The first page says how many there are; a cursor carries that on."""
    now = time.time()
    digest = search_digest(
        str(call.scope.tenant_id),
        ",".join(part.fields.table.name for part in parts),
        str(query.filter),
        str(query.sort_by).lower(),
        str(order.order.descending),
    )
    cursor = None
    if query.cursor:
        cursor = parse_cursor(query.cursor, digest, now, order.key_type)
        if query.count is not None and query.count != cursor.count:
            raise InvalidCountError(f"count must stay {cursor.count}, as on the first page")
    backwards = cursor is not None and cursor.backwards
    count = query.limit if cursor is None else cursor.count
    found = page_from(
        call.scope,
        parts,
        order.order,
        position=None if cursor is None else cursor.position,
        backwards=backwards,
        limit=count,
        total=None if cursor is None else cursor.total,
    )

    def text(position: Position | None, *, back: bool) -> str | None:
        if position is None:
            return None
        return cursor_text(Cursor(position, back, count, found.total), digest, now)

    is_last = not backwards and not found.more
    is_first = cursor is None or (backwards and not found.more)
    return list_response(
        _rendered(call, found.resources, query.projection),
        found.total,
        nextCursor=None if is_last else text(found.last, back=False),
        previousCursor=None if is_first else text(found.first, back=True),
    )


def _rendered(
    call: ScimRequest, resources: Sequence[Resource], projection: Projection
) -> list[str]:
    """The resources as JSON text, in their order; users and groups are made apart."""
    users = [one for one in resources if isinstance(one, User)]
    groups = [one for one in resources if isinstance(one, Group)]
    of_users = iter(users_json(call, users, projection) if users else ())
    of_groups = iter(groups_json(call, groups, projection) if groups else ())
    return [next(of_users if isinstance(one, User) else of_groups) for one in resources]
