"""Tenants never meet (I12): every route × every kind of identifier of another tenant.

The routes come from the application's own table. A route that this file knows nothing about fails
here, until somebody says what another tenant's identifiers could do to it.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from werkzeug.routing import Rule

from directory.credentials import create_session
from directory.group_restore import restore_group
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from scim_gateway.app import create_app
from scim_gateway.settings import GatewaySettings
from scim_gateway.wiring import Wiring, wire
from tests.support.scim_client import ScimClient, values

_SCIM = "/scim/v2"
_SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
_PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
# In attributes of the other tenant that no request here ever sends: seen in no answer.
_CANARY = "canary-of-the-other-tenant"


@dataclass(frozen=True)
class Foreign:
    """One of everything that names something at the other tenant."""

    user: str
    gone_user: str
    group: str
    gone_group: str
    restored_group: str
    user_cursor: str
    group_cursor: str
    etag: str
    user_external_id: str = "00u-foreign"
    group_external_id: str = "00g-foreign"
    user_name: str = "ada@foreign.example.com"
    group_name: str = "Foreign group"

    @property
    def in_paths(self) -> list[str]:
        """What could stand in an address."""
        return [
            *(self.user, self.gone_user, self.group, self.gone_group, self.restored_group),
            *(self.user.upper(), self.user_external_id, self.group_external_id, self.user_name),
        ]

    @property
    def as_members(self) -> list[str]:
        """What could stand as a member's value."""
        return [self.user, self.gone_user, self.group, self.user_external_id, self.user_name]

    @property
    def user_filters(self) -> list[str]:
        """What could find a user."""
        return [
            *(f'id eq "{one}"' for one in (self.user, self.gone_user)),
            f'externalId eq "{self.user_external_id}"',
            f'userName eq "{self.user_name.upper()}"',
            f'userName sw "{self.user_name[:5]}"',
            f'emails.value eq "{self.user_name}"',
            'emails[type eq "work" and value co "foreign"]',
            f'displayName co "{_CANARY}"',
            f'groups.value eq "{self.group}"',
            f'not (userName eq "nobody") and externalId eq "{self.user_external_id}"',
        ]

    @property
    def group_filters(self) -> list[str]:
        """What could find a group."""
        groups = (self.group, self.gone_group, self.restored_group)
        return [
            *(f'id eq "{one}"' for one in groups),
            f'externalId eq "{self.group_external_id}"',
            f'displayName eq "{self.group_name}"',
            f'members eq "{self.user}"',
            f'members[value eq "{self.user}"]',
            f'id eq "{self.group}" and members eq "{self.user}"',
        ]


def _table() -> list[Rule]:
    wiring = wire(GatewaySettings(database_url="postgresql://nobody@127.0.0.1:1/nothing"))
    rules = list(create_app(wiring).url_map.iter_rules())
    wiring.close()
    return rules


_TABLE = _table()


@dataclass(frozen=True)
class Route:
    """One address and one method of the application."""

    endpoint: str
    address: str
    arguments: frozenset[str]
    method: str

    def at(self, **arguments: str) -> str:
        """The address with its arguments; those not given stay as they are."""
        path = self.address
        for name, value in arguments.items():
            path = path.replace(f"<{name}>", value)
        return path


def _routes(prefix: str) -> list[Route]:
    """Each route below this address, HEAD included."""
    return [
        Route(rule.endpoint, rule.rule, frozenset(rule.arguments), method)
        for rule in _TABLE
        for method in sorted((rule.methods or set()) - {"OPTIONS"})
        if rule.rule.startswith(prefix)
    ]


def _attributes(endpoint: str, foreign: Foreign) -> Any:
    """A body that this route takes, naming the other tenant's things wherever it can."""
    members = values(foreign.as_members)
    user = {"id": foreign.user, "userName": "own@example.com", "groups": values([foreign.group])}
    group = {"id": foreign.group, "displayName": "Own group", "members": members}
    rename = {"op": "replace", "value": {"id": foreign.group, "displayName": "Taken over"}}
    add = {"op": "add", "path": "members", "value": members}
    removals = [
        {"op": "remove", "path": f'members[value eq "{one}"]'} for one in foreign.as_members
    ]
    bodies: dict[str, Any] = {
        "scim.users_create": user | {"externalId": foreign.user_external_id},
        "scim.users_replace": user,
        "scim.users_patch": {
            "schemas": [_PATCH],
            "Operations": [{"op": "replace", "value": {"displayName": "Taken over"}}],
        },
        "scim.groups_create": group,
        "scim.groups_replace": group,
        "scim.groups_patch": {"schemas": [_PATCH], "Operations": [rename, add, *removals]},
        "members.items_create": {"item": "AAAA"},
        "members.devices_create": {"request": "AAAA", "platform": "x"},
    }
    return bodies.get(endpoint)


# What a path's argument names; None: nothing of a tenant, but a schema or a resource type.
_ARGUMENTS: dict[str, str | None] = {
    "user_id": "a user",
    "group_id": "a group",
    "key_id": "a member's key",
    "name": None,
    "urn": None,
}
# Routes without an argument: which of the checks below asks them.
_CHECKED = {
    "scim.users_find": "search",
    "scim.users_search": "search",
    "scim.groups_find": "search",
    "scim.groups_search": "search",
    "scim.search": "search",
    "scim.users_create": "create",
    "scim.groups_create": "create",
    "scim.me": "nothing of a tenant",
    "scim.bulk": "nothing of a tenant",
    "scim.resource_types": "nothing of a tenant",
    "scim.schemas": "nothing of a tenant",
    "scim.service_provider_config": "nothing of a tenant",
    "healthz": "open",
    "readyz": "open",
    "members.health": "open",
    "members.sessions_create": "code",
    "members.groups": "session",
    "members.ledger": "session",
    "members.organisation": "session",
    "members.devices_create": "session",
    "members.devices_list": "session",
}


@pytest.fixture
def foreign(other_scim: ScimClient) -> Iterator[Foreign]:
    """The other tenant's data, which must be the same after the test."""
    names = Foreign("", "", "", "", "", "", "", "")
    user = other_scim.create_user(
        names.user_name,
        externalId=names.user_external_id,
        displayName=_CANARY,
        emails=[{"type": "work", "value": names.user_name, "primary": True}],
    )
    gone_user, other = (other_scim.create_user(f"{name}-{_CANARY}") for name in ("gone", "other"))
    groups = [other_scim.create_group(f"{number}-{_CANARY}", [user, other]) for number in range(2)]
    body = {
        "displayName": names.group_name,
        "externalId": names.group_external_id,
        "members": values([user]),
    }
    group = str(other_scim.send("POST", "/Groups", body).json["id"])
    other_scim.send("DELETE", f"/Users/{gone_user}")
    for one in groups:
        other_scim.send("DELETE", f"/Groups/{one}")
    with UnitOfWork(other_scim.wiring.engine) as uow:
        restore_group(TenantScope(uow.connection, other_scim.tenant_id), UUID(groups[1]))
        uow.commit()
    pages = [
        other_scim.send("GET", path, cursor="", count="1").json["nextCursor"]
        for path in ("/Users", "/Groups")
    ]
    etag = other_scim.send("GET", f"/Groups/{group}").headers["ETag"]
    before = _everything(other_scim)
    yield Foreign(user, gone_user, group, groups[0], groups[1], pages[0], pages[1], etag)
    assert _everything(other_scim) == before


def _everything(scim: ScimClient) -> Any:
    """All that a tenant sees of itself, and what its members have."""
    seen = [scim.send("GET", path).json["Resources"] for path in ("/Users", "/Groups")]
    return seen, [scim.wanted(group["id"]) for group in seen[1]]


def test_every_route_is_known_here() -> None:
    """Say of a new one what its arguments name, or which check asks it."""
    for rule in _TABLE:
        if rule.arguments:
            assert rule.arguments <= _ARGUMENTS.keys(), rule
        else:
            assert rule.endpoint in _CHECKED, rule


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_an_address_names_nothing_of_another_tenant(
    scim: ScimClient, foreign: Foreign, method: str
) -> None:
    """404 for every kind of identifier, with or without the right ETag."""
    headers: list[dict[str, str]] = [
        {},
        {"If-Match": foreign.etag},
        {"If-None-Match": foreign.etag},
    ]
    for route in _routes(_SCIM):
        if not route.arguments or route.method != method:
            continue
        (argument,) = route.arguments
        for identifier in foreign.in_paths:
            path = route.at(**{argument: identifier}).removeprefix(_SCIM)
            body = _attributes(route.endpoint, foreign)
            for one in headers:
                answer = scim.send(method, path, body, headers=one)
                assert answer.status_code == 404, (route, identifier, answer.text)
                assert _CANARY not in answer.text


def test_a_search_finds_nothing_of_another_tenant(scim: ScimClient, foreign: Foreign) -> None:
    """No filter and no cursor; what cannot be searched is refused."""
    filters = [*foreign.user_filters, *foreign.group_filters, "id pr", "displayName pr"]
    queries: list[dict[str, Any]] = [{"filter": one} for one in filters]
    queries += [{"cursor": one} for one in (foreign.user_cursor, foreign.group_cursor)]
    queries += [{"sortBy": "id"}, {"startIndex": "1", "count": "1000"}]
    asked = [one for one in _routes(_SCIM) if _CHECKED.get(one.endpoint) == "search"]
    for route, query in itertools.product(asked, queries):
        path = route.address.removeprefix(_SCIM)
        if route.method == "POST":
            answer = scim.send("POST", path, {"schemas": [_SEARCH], **query})
        else:
            answer = scim.send(route.method, path, **query)
        assert _CANARY not in answer.text
        assert answer.status_code in ({400} if "cursor" in query else {200, 400}), (route, query)
        if answer.json is not None and answer.status_code == 200:
            assert answer.json["totalResults"] == 0, (route, query)
            assert answer.json.get("Resources", []) == []


def test_the_same_searches_find_one_s_own(other_scim: ScimClient, foreign: Foreign) -> None:
    """What the test above asks would find something, if tenants met."""
    for path, filters in (("/Users", foreign.user_filters), ("/Groups", foreign.group_filters)):
        found = [other_scim.send("GET", path, filter=one) for one in filters]
        assert {answer.status_code for answer in found} <= {200, 400}
        counts = [one.json["totalResults"] for one in found if one.status_code == 200]
        assert sum(count > 0 for count in counts) >= len(counts) - 2  # two ids are of deleted ones
        assert len(counts) >= len(filters) - 1


def test_what_is_created_is_one_s_own(scim: ScimClient, foreign: Foreign) -> None:
    """Another tenant's ids and names are neither taken over nor in the way."""
    own = set()
    for route in _routes(_SCIM):
        if _CHECKED.get(route.endpoint) != "create":
            continue
        path = route.address.removeprefix(_SCIM)
        answer = scim.send(route.method, path, _attributes(route.endpoint, foreign))
        assert answer.status_code == 201, answer.text
        assert answer.json["id"] not in {foreign.user, foreign.group}
        assert _CANARY not in answer.text
        own.add(answer.json["id"])
        members = {member["value"] for member in answer.json.get("members", [])}
        assert members <= own  # the user who has that externalId here, at most
        assert scim.send("GET", f"{path}/{answer.json['id']}").status_code == 200


def test_one_s_own_resource_takes_nothing_of_another_tenant(
    scim: ScimClient, other_scim: ScimClient, foreign: Foreign
) -> None:
    """Members of another tenant stay unresolved, now and after any change over there."""
    asked = [one for one in _routes(_SCIM) if one.arguments & {"user_id", "group_id"}]
    for number, route in enumerate(asked):
        user = scim.create_user(f"{number}@example.com")
        group = scim.create_group(f"Group {number}", [user])
        path = route.at(user_id=user, group_id=group).removeprefix(_SCIM)
        answer = scim.send(route.method, path, _attributes(route.endpoint, foreign))
        assert 200 <= answer.status_code < 300, (route, answer.text)
        assert _CANARY not in answer.text
        later = other_scim.create_user("later@example.com", externalId=user)
        shown = scim.send("GET", f"/Groups/{group}").json
        members = {member["value"] for member in shown.get("members", [])}
        assert members | scim.wanted(group) <= {user}, route
        for path in (f"/Users/{user}", f"/Groups/{group}"):
            scim.send("DELETE", path)
        other_scim.send("DELETE", f"/Users/{later}")


def test_a_token_opens_one_api_only(scim: ScimClient, gateway_wiring: Wiring) -> None:
    """401 on each for the other's token, for none and for half of one; probes need none."""
    settings = gateway_wiring.settings.model_copy(update={"gateway_rate_failures_per_minute": 0})
    client = create_app(replace(gateway_wiring, settings=settings)).test_client()
    user = scim.create_user("grace@example.com")
    session = _session(scim, user)
    for route in _routes("/"):
        if _CHECKED.get(route.endpoint) == "open":
            continue
        wrong = scim.token if route.address.startswith("/member/") else session
        path = route.at(user_id=user, group_id=user, key_id=user, name="User", urn="x")
        for token in (wrong, "", "gs_scim_", f"{wrong}x"):
            answer = client.open(
                path,
                method=route.method,
                json={"code": wrong, "item": "AAAA"},
                headers={"Authorization": f"Bearer {token}"} if token else {},
            )
            assert answer.status_code == 401, (route, answer.text)
            assert wrong not in answer.text


def test_a_member_sees_no_group_of_another_tenant(
    app: Flask, scim: ScimClient, foreign: Foreign
) -> None:
    """404; or 409 as long as the member's organisation has no service, 400 for what he sends."""
    session = _session(scim, scim.create_user("grace@example.com"))
    for route in _routes("/member/"):
        for identifier in foreign.in_paths if route.arguments else []:
            answer = app.test_client().open(
                route.at(group_id=identifier, key_id=identifier),
                method=route.method,
                json=_attributes(route.endpoint, foreign),
                query_string={"key_id": "0" * 64},
                headers={"Authorization": f"Bearer {session}"},
            )
            checks_first = {"members.items_create", "members.devices_remove"}
            expected = {400, 404} if route.endpoint in checks_first else {404, 409}
            assert answer.status_code in expected, (route, answer.text)
            assert _CANARY not in answer.text


def _session(scim: ScimClient, user: str) -> str:
    """A member's token."""
    with UnitOfWork(scim.wiring.engine) as uow:
        scope = TenantScope(uow.connection, scim.tenant_id)
        session = create_session(scope, UUID(user), timedelta(hours=1))
        uow.commit()
    return session
