"""Tenants never meet (I12): ids, tokens and ETags of one are worth nothing at another."""

from typing import Any

import pytest

from directory.tenancy import tenant_sql
from tests.support.scim_client import ScimClient, values

_USER = {"userName": "ada@example.com", "externalId": "00u1"}


def _requests(user: str, group: str) -> list[tuple[str, str, Any]]:
    rename = {"op": "replace", "path": "displayName", "value": "Taken over"}
    patch = {"Operations": [rename]}
    return [
        ("GET", f"/Users/{user}", None),
        ("PUT", f"/Users/{user}", {"userName": "taken-over"}),
        ("PATCH", f"/Users/{user}", patch),
        ("DELETE", f"/Users/{user}", None),
        ("GET", f"/Groups/{group}", None),
        ("PUT", f"/Groups/{group}", {"displayName": "Taken over", "members": []}),
        ("PATCH", f"/Groups/{group}", patch),
        ("DELETE", f"/Groups/{group}", None),
    ]


def test_ids_of_another_tenant_are_unknown(scim: ScimClient, other_scim: ScimClient) -> None:
    """404 on every endpoint, and nothing changed."""
    user_id = scim.send("POST", "/Users", _USER).json["id"]
    group_id = scim.create_group("Finance", [user_id])
    user = scim.send("GET", f"/Users/{user_id}").json
    group = scim.send("GET", f"/Groups/{group_id}").json
    for method, path, body in _requests(user_id, group_id):
        assert other_scim.send(method, path, body).status_code == 404, (method, path)
    assert scim.send("GET", f"/Users/{user_id}").json == user
    assert scim.send("GET", f"/Groups/{group_id}").json == group


def test_searches_find_one_s_own_only(scim: ScimClient, other_scim: ScimClient) -> None:
    """Lists and filters of another tenant are empty; names and externalIds are free there."""
    user = scim.send("POST", "/Users", _USER).json["id"]
    scim.create_group("Finance", [user])
    for path, filter_ in (
        ("/Users", None),
        ("/Users", 'userName eq "ada@example.com"'),
        ("/Users", f'id eq "{user}"'),
        ("/Users", 'externalId eq "00u1"'),
        ("/Groups", None),
        ("/Groups", 'displayName eq "Finance"'),
        ("/Groups", f'members eq "{user}"'),
    ):
        for client, expected in ((scim, 1), (other_scim, 0)):
            if filter_ is None:
                found = client.send("GET", path).json
            else:
                found = client.send("GET", path, filter=filter_).json
            assert found["totalResults"] == expected
    assert other_scim.send("POST", "/Users", _USER).status_code == 201
    other_scim.create_group("Finance")


@pytest.mark.parametrize("dialect", ["post", "patch", "put"])
def test_a_member_of_another_tenant_is_unknown(
    scim: ScimClient, other_scim: ScimClient, dialect: str
) -> None:
    """His id and externalId name nobody here, now or later."""
    user = scim.send("POST", "/Users", _USER).json["id"]
    named = [user, "00u1"]
    group = other_scim.create_group("Finance", named if dialect == "post" else [])
    if dialect == "patch":
        add = {"op": "add", "path": "members", "value": values(named)}
        assert other_scim.patch(f"/Groups/{group}", add).status_code == 204
    if dialect == "put":
        assert other_scim.put_group(group, "Finance", named).status_code == 200
    assert other_scim.members(group) == other_scim.wanted(group) == set()


def test_a_statement_without_a_tenant_is_refused() -> None:
    """It fails when the module is imported, not when it leaks."""
    with pytest.raises(ValueError, match="tenant_id"):
        tenant_sql("SELECT id FROM users")
