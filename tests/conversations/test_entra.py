"""Entra ID: one-member PATCHes, capitalised operations, booleans as text."""

import json
from uuid import uuid4

from tests.support.scim_client import ScimClient

_ENTRA_GROUP = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"


def test_the_connection_is_tested(scim: ScimClient) -> None:
    """A look-up of a random value, without Content-Type: 200 and an empty list."""
    response = scim.send("GET", "/Users", filter=f'userName eq "{uuid4()}"')
    assert response.status_code == 200
    assert response.json["totalResults"] == 0


def test_users_and_a_group(scim: ScimClient) -> None:
    """Nulls in a create, groups without members, then one member per PATCH, ending with DELETE."""
    body = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "externalId": "ada",
        "userName": "ada@example.com",
        "active": True,
        "addresses": None,
        "manager": None,
        "roles": [],
        "emails": [{"type": "work", "value": "ada@example.com", "primary": True}],
        "meta": {"resourceType": "User"},
    }
    created = scim.send("POST", "/Users", body)
    assert created.status_code == 201
    assert "null" not in json.dumps(created.json)
    ada = created.json["id"]
    group = scim.send(
        "POST",
        "/Groups",
        {"schemas": [_ENTRA_GROUP], "externalId": "g1", "displayName": "Finance"},
    ).json["id"]
    found = scim.send(
        "GET", "/Groups", filter='externalId eq "g1"', excludedAttributes="members"
    ).json
    assert [one["id"] for one in found["Resources"]] == [group]

    add = {"op": "Add", "path": "members", "value": [{"$ref": None, "value": ada}]}
    assert scim.patch(f"/Groups/{group}", add).status_code == 204
    check = scim.send(
        "GET", "/Groups", filter=f'id eq "{group}" and members eq "{ada}"', attributes="id"
    ).json
    assert check["totalResults"] == 1

    disable = {"op": "Replace", "path": "active", "value": "False"}
    assert scim.patch(f"/Users/{ada}", disable).json["active"] is False
    assert scim.wanted(group) == set()
    shown = scim.send("GET", "/Users", filter='userName eq "ada@example.com"').json
    assert shown["Resources"][0]["active"] is False

    assert scim.send("DELETE", f"/Users/{ada}").status_code == 204
    remove = {"op": "Remove", "path": "members", "value": [{"value": ada}]}
    assert scim.patch(f"/Groups/{group}", remove).status_code == 204
    assert scim.send("DELETE", f"/Groups/{group}").status_code == 204
