"""What requests cost, in statements: the same for one as for two hundred, and never many.

The bounds are what requests take at present, so that one more statement is a decision. They hold
for a token whose last use was noted a moment ago: the first statement looks the token up, and
noting its use costs one more, once a minute.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import event

from tests.support.scim_client import Answer, ScimClient, values

_MANY = 200
_EFFECT = "urn:groupseal:params:scim:schemas:extension:provisioning:1.0:"
_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


@contextmanager
def counted(scim: ScimClient) -> Iterator[list[str]]:
    """The statements that the gateway sends meanwhile."""
    statements: list[str] = []

    def note(*args: Any) -> None:
        statements.append(args[2])

    event.listen(scim.wiring.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(scim.wiring.engine, "before_cursor_execute", note)


@dataclass(frozen=True)
class Stage:
    """A tenant whose first group has every one of `users`, and every group the first of them.

    Every group awaits one more.
    """

    scim: ScimClient
    users: list[str]
    groups: list[str]
    others: list[str]  # members of none


def _stage(scim: ScimClient, size: int) -> Stage:
    """`size` members, groups and others; straight into the database."""
    parameters = {"tenant": scim.tenant_id, "size": size}
    scim.execute(
        """
        INSERT INTO users (tenant_id, id, external_id, user_name, user_name_key, display_name)
        SELECT :tenant, gen_random_uuid(), 'ext' || n, 'user' || n, 'user' || n, 'user' || n
        FROM generate_series(1, 2 * :size) n
        """,
        **parameters,
    )
    scim.execute(
        """
        INSERT INTO groups (tenant_id, id, display_name, display_name_key)
        SELECT :tenant, gen_random_uuid(), 'group' || n, 'group' || n
        FROM generate_series(1, :size) n
        """,
        **parameters,
    )
    scim.execute(
        """
        INSERT INTO memberships (tenant_id, group_id, user_id, desired, wanted, desired_at,
            desired_version, display)
        SELECT u.tenant_id, g.id, u.id, true, true, now(), 1, u.display_name
        FROM users u JOIN groups g ON g.tenant_id = u.tenant_id
            AND (u.user_name = 'user1' OR g.display_name = 'group1')
        WHERE u.tenant_id = :tenant AND CAST(substr(u.user_name, 5) AS int) <= :size
        """,
        **parameters,
    )
    scim.execute(
        """
        INSERT INTO unresolved_members (tenant_id, group_id, value)
        SELECT tenant_id, id, 'awaited' FROM groups WHERE tenant_id = :tenant
        """,
        **parameters,
    )
    rows = scim.rows(
        "SELECT id, CAST(substr(user_name, 5) AS int) AS n FROM users WHERE tenant_id = :tenant",
        tenant=scim.tenant_id,
    )
    groups = scim.rows(
        "SELECT id FROM groups WHERE tenant_id = :tenant ORDER BY display_name",
        tenant=scim.tenant_id,
    )
    return Stage(
        scim,
        [str(row.id) for row in sorted(rows, key=lambda row: row.n) if row.n <= size],
        [str(row.id) for row in groups],
        [str(row.id) for row in rows if row.n > size],
    )


def _put(stage: Stage, members: list[str]) -> Answer:
    return stage.scim.put_group(stage.groups[0], "renamed", members)


def _patch(stage: Stage, *operations: dict[str, Any]) -> Answer:
    return stage.scim.patch(f"/Groups/{stage.groups[0]}", *operations)


def _all(op: str, ids: list[str]) -> dict[str, Any]:
    return {"op": op, "path": "members", "value": values(ids)}


def _each(ids: list[str]) -> list[dict[str, Any]]:
    return [{"op": "remove", "path": f'members[value eq "{one}"]'} for one in ids]


def _search(stage: Stage, path: str, **body: object) -> Answer:
    schema = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
    return stage.scim.send("POST", f"{path}/.search", {"schemas": [schema], "count": 1000, **body})


def _user_body(stage: Stage) -> dict[str, Any]:
    return {
        "userName": "new@example.com",
        "emails": [{"value": f"{n}@example.com", "type": f"kind{n}"} for n in range(40)],
        _ENTERPRISE: {"manager": {"value": stage.users[0]}},
    }


# A request, the status it must have, and the statements it may cost.
REQUESTS: dict[str, tuple[Callable[[Stage], Answer], int, int]] = {
    "list users": (lambda s: s.scim.send("GET", "/Users", count="1000"), 200, 3),
    "list users without groups": (
        lambda s: s.scim.send("GET", "/Users", count="1000", excludedAttributes="groups"),
        200,
        2,
    ),
    "list users by cursor": (
        lambda s: s.scim.send("GET", "/Users", cursor="", count="1000"),
        200,
        3,
    ),
    "list users sorted": (
        lambda s: s.scim.send("GET", "/Users", count="1000", sortBy="userName"),
        200,
        3,
    ),
    "find a user": (lambda s: s.scim.send("GET", "/Users", filter='userName eq "user1"'), 200, 3),
    "search users": (lambda s: _search(s, "/Users", filter="active eq true"), 200, 3),
    "read a user": (lambda s: s.scim.send("GET", f"/Users/{s.users[0]}"), 200, 5),
    "create a user": (lambda s: s.scim.send("POST", "/Users", _user_body(s)), 201, 4),
    "create a user whom groups await": (
        lambda s: s.scim.send("POST", "/Users", {"userName": "late", "externalId": "awaited"}),
        201,
        10,
    ),
    "replace a user": (
        lambda s: s.scim.send("PUT", f"/Users/{s.users[0]}", _user_body(s)),
        200,
        4,
    ),
    "change a user": (
        lambda s: s.scim.patch(
            f"/Users/{s.users[0]}", {"op": "replace", "path": "title", "value": "x"}
        ),
        200,
        4,
    ),
    "deactivate a user": (
        lambda s: s.scim.patch(
            f"/Users/{s.users[0]}", {"op": "replace", "value": {"active": False}}
        ),
        200,
        9,
    ),
    "delete a user": (lambda s: s.scim.send("DELETE", f"/Users/{s.users[0]}"), 204, 8),
    "list groups": (lambda s: s.scim.send("GET", "/Groups", count="1000"), 200, 3),
    "list groups without members": (
        lambda s: s.scim.send("GET", "/Groups", count="1000", excludedAttributes="members"),
        200,
        2,
    ),
    "find a group": (
        lambda s: s.scim.send("GET", "/Groups", filter='displayName eq "group1"'),
        200,
        3,
    ),
    "is a member": (
        lambda s: s.scim.send(
            "GET",
            "/Groups",
            filter=f'id eq "{s.groups[0]}" and members eq "{s.users[0]}"',
            attributes="id",
        ),
        200,
        2,
    ),
    "search groups": (lambda s: _search(s, "/Groups", excludedAttributes=["members"]), 200, 2),
    "read a group": (lambda s: s.scim.send("GET", f"/Groups/{s.groups[0]}"), 200, 5),
    "read a group without members": (
        lambda s: s.scim.send("GET", f"/Groups/{s.groups[0]}", excludedAttributes="members"),
        200,
        2,
    ),
    "search everything": (lambda s: _search(s, ""), 200, 6),
    "what is in effect for a group, member by member": (
        lambda s: s.scim.send(
            "GET", f"/Groups/{s.groups[0]}", attributes=f"{_EFFECT}Group:members"
        ),
        200,
        5,
    ),
    "what is in effect for groups": (
        lambda s: s.scim.send("GET", "/Groups", count="1000", attributes=f"{_EFFECT}Group"),
        200,
        4,
    ),
    "what is in effect for groups, member by member": (
        lambda s: s.scim.send("GET", "/Groups", count="1000", attributes=f"{_EFFECT}Group:members"),
        200,
        5,
    ),
    "what is in effect for users": (
        lambda s: s.scim.send("GET", "/Users", count="1000", attributes=f"{_EFFECT}User"),
        200,
        4,
    ),
    "what is in effect for users, group by group": (
        lambda s: s.scim.send(
            "GET", "/Users", count="1000", attributes=f"{_EFFECT}User:memberships"
        ),
        200,
        5,
    ),
    "create a group": (
        lambda s: s.scim.send(
            "POST", "/Groups", {"displayName": "new", "members": values(s.users)}
        ),
        201,
        5,
    ),
    "replace all members": (lambda s: _put(s, s.others), 200, 12),
    "replace nobody": (lambda s: _put(s, s.users), 200, 9),
    "empty a group": (lambda s: _put(s, []), 200, 10),
    "add members": (lambda s: _patch(s, _all("add", s.others)), 204, 5),
    "add them again": (lambda s: _patch(s, _all("add", s.users)), 204, 4),
    "add unknown members": (
        lambda s: _patch(s, _all("add", [f"unknown-{n}" for n, _ in enumerate(s.others)])),
        204,
        7,
    ),
    "remove members": (lambda s: _patch(s, _all("remove", s.users)), 204, 5),
    "remove members, an operation each": (lambda s: _patch(s, *_each(s.users)), 204, 5),
    "remove and add": (lambda s: _patch(s, *_each(s.users), _all("add", s.others)), 204, 6),
    "replace members": (lambda s: _patch(s, _all("replace", s.others)), 204, 9),
    "rename a group": (
        lambda s: _patch(s, {"op": "replace", "path": "displayName", "value": "renamed"}),
        204,
        4,
    ),
    "delete a group": (lambda s: s.scim.send("DELETE", f"/Groups/{s.groups[0]}"), 204, 7),
    "what the server can do": (lambda s: s.scim.send("GET", "/ServiceProviderConfig"), 200, 1),
    "resource types": (lambda s: s.scim.send("GET", "/ResourceTypes"), 200, 1),
    "schemas": (lambda s: s.scim.send("GET", "/Schemas"), 200, 1),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_number_of_statements_does_not_grow(
    scim: ScimClient, other_scim: ScimClient, name: str
) -> None:
    """One user, group and member, or two hundred of each: as many statements, within the bound."""
    request, status, bound = REQUESTS[name]
    counts = []
    for client, size in ((scim, 1), (other_scim, _MANY)):
        stage = _stage(client, size)
        client.send("GET", "/ServiceProviderConfig")  # notes that the token is used
        with counted(client) as statements:
            answer = request(stage)
        assert answer.status_code == status, answer.text[:500]
        counts.append(statements)
    small, large = counts
    assert len(small) == len(large), json.dumps([small, large], indent=1)
    assert len(large) <= bound, json.dumps(large, indent=1)


def test_every_route_is_counted(scim: ScimClient) -> None:
    """A route that is added later must be added above, too."""
    uncounted = {"/Me", "/Bulk", "/ResourceTypes/<name>", "/Schemas/<urn>"}  # no data of a tenant
    routes = {
        (method, rule.rule.removeprefix("/scim/v2"))
        for rule in scim._app.url_map.iter_rules()
        if rule.rule.startswith("/scim/v2/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {path for _, path in routes} - uncounted <= {
        *("/Users", "/Users/<user_id>", "/Users/.search"),
        *("/Groups", "/Groups/<group_id>", "/Groups/.search"),
        *("/.search", "/ServiceProviderConfig", "/ResourceTypes", "/Schemas"),
    }
