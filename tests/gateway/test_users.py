"""Users: both dialects, look-ups, and what (de)activation does."""

from typing import Any

import pytest

from scim_gateway.attributes import PROVISIONING_USER_SCHEMA
from tests.support.scim_client import ScimClient, values

_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
_OKTA_USER = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
    "userName": "Ada@Example.com",
    "name": {"givenName": "Ada", "familyName": "Lovelace"},
    "emails": [{"primary": True, "value": "Ada.L@Example.com", "type": "work"}],
    "displayName": "Ada Lovelace",
    "locale": "en-GB",
    "externalId": "00u1",
    "groups": [],
    "password": "placeholder-1",
    "active": True,
}


def test_a_user_is_created_and_read_without_the_password(scim: ScimClient) -> None:
    """201 with id, meta, ETag and Location; what was sent comes back, the password never."""
    created = scim.send("POST", "/Users", _OKTA_USER)
    assert created.status_code == 201
    user = created.json
    assert created.headers["Location"] == user["meta"]["location"]
    assert created.headers["Content-Type"] == "application/scim+json"
    assert created.headers["ETag"] == user["meta"]["version"] == 'W/"1"'
    assert user["name"] == _OKTA_USER["name"]
    assert "password" not in user
    assert _read(scim, user["id"]) == user
    assert scim.rows("SELECT 1 FROM users WHERE CAST(users AS text) LIKE '%placeholder%'") == []


@pytest.mark.parametrize(
    "filter_",
    [
        'userName eq "ada@example.com"',
        'USERNAME EQ "ADA@EXAMPLE.COM"',
        'email eq "ada.l@example.com"',
        'emails eq "ada.l@example.com"',
        'emails.value eq "ada.l@example.com"',
        'emails[type eq "work"].value eq "ada.l@example.com"',
        'externalId eq "00u1"',
        'userName eq "ada@example.com" and active eq true',
        'urn:ietf:params:scim:schemas:core:2.0:User:userName eq "ada@example.com"',
    ],
)
def test_a_user_is_found(scim: ScimClient, filter_: str) -> None:
    """Every filter by which identity providers look for a user, in any case."""
    scim.create_user("other@example.com")
    user_id = scim.send("POST", "/Users", _OKTA_USER).json["id"]
    found = scim.send("GET", "/Users", filter=filter_, startIndex="1", count="100").json
    assert [one["id"] for one in found["Resources"]] == [user_id]
    assert (found["totalResults"], found["itemsPerPage"], found["startIndex"]) == (1, 1, 1)


def test_a_user_is_found_by_id(scim: ScimClient) -> None:
    """As Entra ID checks references."""
    user_id = scim.create_user("ada@example.com")
    found = scim.send("GET", "/Users", filter=f'id eq "{user_id}"', attributes="id").json
    assert found["Resources"] == [
        {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": user_id}
    ]


@pytest.mark.parametrize(
    "filter_",
    [
        'externalId eq "00U1"',
        'emails[type eq "home"].value eq "ada.l@example.com"',
        'userName eq "ada@example.com" and active eq false',
        'id eq "ada"',
        'userName eq "a\\"b"',
    ],
)
def test_nothing_found_is_an_empty_list(scim: ScimClient, filter_: str) -> None:
    """externalId is compared exactly; 200 with an empty list, never 404."""
    scim.send("POST", "/Users", _OKTA_USER)
    response = scim.send("GET", "/Users", filter=filter_)
    assert response.status_code == 200
    assert response.json["totalResults"] == 0


@pytest.mark.parametrize(
    "filter_",
    [
        "",
        "userName",
        "userName eq ada",
        'password eq "x"',
        'nickname2 eq "x"',
        'userName eq "a" or',
        "active gt true",
        'userName eq "a" and',
        'userName eq "a',
        'emails[type eq "work"] eq "a"  and',
        "x" * 3000,
        'userName eq "\\u0000"',
        "userName eq 7",
    ],
)
def test_a_filter_that_is_not_understood_is_refused(scim: ScimClient, filter_: str) -> None:
    """400 invalidFilter: never everybody instead."""
    scim.create_user("ada@example.com")
    response = scim.send("GET", "/Users", filter=filter_)
    assert response.status_code == 400
    assert response.json["scimType"] == "invalidFilter"


def test_pages_are_stable_and_count_what_they_hold(scim: ScimClient) -> None:
    """1-based paging; itemsPerPage is what is there; beyond the end is an empty page."""
    ids = scim.create_users(5)
    seen = []
    for first in (1, 3, 5):
        page = scim.send("GET", "/Users", startIndex=str(first), count="2").json
        assert page["totalResults"] == 5
        assert page["startIndex"] == first
        assert page["itemsPerPage"] == len(page["Resources"])
        seen += [one["id"] for one in page["Resources"]]
    assert seen == ids
    for start, count, items in (("101", "100", 0), ("1", "0", 0), ("0", "9" * 30, 5)):
        page = scim.send("GET", "/Users", startIndex=start, count=count).json
        assert (page["totalResults"], page["itemsPerPage"]) == (5, items)
    assert scim.send("GET", "/Users", startIndex="x").status_code == 400


def test_put_takes_back_what_was_read(scim: ScimClient) -> None:
    """Okta sends our own object, readOnly attributes included, with its changes."""
    user = scim.send("POST", "/Users", _OKTA_USER).json
    changed = user | {"displayName": "Ada", "nickName": "Countess"}
    response = scim.send("PUT", f"/Users/{user['id']}", changed)
    assert response.status_code == 200
    assert response.json["nickName"] == "Countess"
    assert response.json["externalId"] == "00u1"
    again = scim.send("PUT", f"/Users/{user['id']}", response.json)
    assert again.headers["ETag"] == response.headers["ETag"] == 'W/"2"'


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "value": {"active": False}},
        {"op": "replace", "value": {"active": "False"}},
        {"op": "Replace", "path": "active", "value": "False"},
        {"op": "replace", "path": "active", "value": False},
        {"op": "add", "path": "active", "value": "false"},
        {"op": "replace", "value": {"id": "x", "active": False}},
    ],
)
def test_patch_deactivates_and_activates(scim: ScimClient, operation: dict[str, Any]) -> None:
    """200 with the user; his memberships are not wanted from then on, and wanted again later."""
    user_id = scim.create_user("ada@example.com")
    group = scim.create_group("Finance", [user_id])
    before = _desired_version(scim, group)
    response = scim.patch(f"/Users/{user_id}", operation)
    assert response.status_code == 200
    assert response.json["active"] is False
    assert scim.wanted(group) == set()
    assert scim.members(group) == {user_id}, "the identity provider still has him there"
    assert _desired_version(scim, group) == before + 1
    scim.patch(f"/Users/{user_id}", {"op": "replace", "value": {"active": True}})
    assert scim.wanted(group) == {user_id}
    assert _desired_version(scim, group) == before + 2


def test_put_deactivates(scim: ScimClient) -> None:
    """The wizard's dialect; a group change meanwhile does not let him in."""
    user = scim.send("POST", "/Users", _OKTA_USER).json
    group = scim.create_group("Finance", [user["id"]])
    response = scim.send("PUT", f"/Users/{user['id']}", user | {"active": False})
    assert response.json["active"] is False
    assert scim.wanted(group) == set()
    scim.put_group(group, "Finance", [])
    scim.put_group(group, "Finance", [user["id"]])
    assert scim.wanted(group) == set()


def test_leaving_active_out_lets_nobody_in(scim: ScimClient) -> None:
    """A PUT that does not mention active keeps it."""
    user_id = scim.create_user("ada@example.com", active=False)
    response = scim.send("PUT", f"/Users/{user_id}", {"userName": "ada@example.com"})
    assert response.json["active"] is False


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (
            {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "new@example.com"},
            {"emails": [{"primary": True, "value": "new@example.com", "type": "work"}]},
        ),
        (
            {"op": "Add", "path": 'phoneNumbers[type eq "mobile"].value', "value": "+1"},
            {"phoneNumbers": [{"type": "mobile", "value": "+1"}]},
        ),
        ({"op": "add", "path": "name.middleName", "value": "K"}, {"middle": "K"}),
        (
            {"op": "replace", "value": {"name.givenName": "A", f"{_ENTERPRISE}:department": "X"}},
            {"given": "A", _ENTERPRISE: {"department": "X"}},
        ),
        (
            {"op": "add", "path": f"{_ENTERPRISE}:manager", "value": "boss"},
            {_ENTERPRISE: {"manager": {"value": "boss"}}},
        ),
        (
            {"op": "add", "value": {_ENTERPRISE: {"employeeNumber": "7"}}},
            {_ENTERPRISE: {"employeeNumber": "7"}},
        ),
        ({"op": "remove", "path": "displayName"}, {"displayName": None}),
        ({"op": "remove", "path": 'emails[type eq "work"]'}, {"emails": None}),
        ({"op": "replace", "path": "Title", "value": "Countess"}, {"title": "Countess"}),
    ],
)
def test_patch_changes_attributes(
    scim: ScimClient, operation: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Filtered paths, dotted and URN names, and values that are not there yet."""
    user_id = scim.send("POST", "/Users", _OKTA_USER).json["id"]
    response = scim.patch(f"/Users/{user_id}", operation)
    assert response.status_code == 200, response.text
    user = response.json
    shown = user | {
        "given": user["name"].get("givenName"),
        "middle": user["name"].get("middleName"),
    }
    assert {name: shown.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "userName", "value": ""},
        {"op": "remove", "path": "userName"},
        {"op": "remove", "path": "active"},
        {"op": "replace", "path": "active", "value": "perhaps"},
        {"op": "replace", "path": "id", "value": "x"},
        {"op": "replace", "path": "emails", "value": "x" * 400},
        {"op": "replace", "path": "emails[", "value": "x"},
        {"op": "replace", "value": "x"},
        {"op": "replace", "path": 'name[type eq "x"].value', "value": "x"},
        {"op": "move", "path": "title", "value": "x"},
    ],
)
def test_what_is_not_understood_changes_nothing(
    scim: ScimClient, operation: dict[str, Any]
) -> None:
    """400 for the whole request, valid operations before included."""
    user = scim.send("POST", "/Users", _OKTA_USER).json
    valid = {"op": "replace", "path": "title", "value": "Countess"}
    assert scim.patch(f"/Users/{user['id']}", valid, operation).status_code == 400
    assert _read(scim, user["id"]) == user


def test_conflicts(scim: ScimClient) -> None:
    """409 uniqueness for userName in any case, and for an active user's externalId."""
    scim.send("POST", "/Users", _OKTA_USER)
    other = scim.create_user("grace@example.com", externalId="00u2")
    conflicting = [
        scim.send("POST", "/Users", {"userName": "ADA@EXAMPLE.COM"}),
        scim.send("POST", "/Users", {"userName": "new@example.com", "externalId": "00u1"}),
        scim.send("PUT", f"/Users/{other}", {"userName": "ada@example.com"}),
        scim.patch(f"/Users/{other}", {"op": "replace", "path": "externalId", "value": "00u1"}),
    ]
    for response in conflicting:
        assert response.status_code == 409
        assert response.json["scimType"] == "uniqueness"
    assert scim.send("GET", "/Users").json["totalResults"] == 2


def test_an_inactive_user_is_taken_back_by_external_id(scim: ScimClient) -> None:
    """Exactly the same externalId and inactive: the same person again, memberships and all.

    200, since nothing was created, with Location and the resource.
    """
    user_id = scim.send("POST", "/Users", _OKTA_USER).json["id"]
    group = scim.create_group("Finance", [user_id])
    scim.patch(f"/Users/{user_id}", {"op": "replace", "value": {"active": False}})
    response = scim.send("POST", "/Users", _OKTA_USER | {"userName": "ada.new@example.com"})
    assert response.status_code == 200
    assert response.headers["Location"] == response.json["meta"]["location"]
    assert response.json["id"] == user_id
    assert response.json["userName"] == "ada.new@example.com"
    assert scim.wanted(group) == {user_id}


def test_an_inactive_user_is_not_taken_back_by_name(scim: ScimClient) -> None:
    """The same userName alone proves nothing."""
    scim.create_user("ada@example.com", externalId="00u1", active=False)
    response = scim.send("POST", "/Users", {"userName": "ada@example.com", "externalId": "00u9"})
    assert response.status_code == 409


def test_a_deleted_user_is_unknown_and_in_no_group(scim: ScimClient) -> None:
    """204, then 404; out of lists and groups; the name is free, for another person."""
    user_id = scim.send("POST", "/Users", _OKTA_USER).json["id"]
    group = scim.create_group("Finance", [user_id])
    assert scim.send("DELETE", f"/Users/{user_id}").status_code == 204
    assert scim.send("GET", f"/Users/{user_id}").status_code == 404
    assert scim.send("DELETE", f"/Users/{user_id}").status_code == 404
    assert scim.send("GET", "/Users").json["totalResults"] == 0
    assert scim.members(group) == scim.wanted(group) == set()
    assert scim.send("POST", "/Users", _OKTA_USER).json["id"] != user_id
    removal = {"op": "remove", "path": f'members[value eq "{user_id}"]'}
    assert scim.patch(f"/Groups/{group}", removal).status_code == 204
    scim.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": values([user_id])})
    assert scim.wanted(group) == set()


def test_if_match_guards_a_user(scim: ScimClient) -> None:
    """412 with an old version, nothing changed."""
    user = scim.send("POST", "/Users", _OKTA_USER).json
    path = f"/Users/{user['id']}"
    old = user["meta"]["version"]
    scim.patch(path, {"op": "replace", "path": "title", "value": "x"})
    for response in (
        scim.patch(path, {"op": "replace", "value": {"active": False}}, **{"If-Match": old}),
        scim.send("PUT", path, user, headers={"If-Match": old}),
        scim.send("DELETE", path, headers={"If-Match": old}),
        scim.send("DELETE", path, headers={"If-Match": '"nonsense"'}),
    ):
        assert response.status_code == 412
    assert scim.send("GET", path).json["active"] is True


def _read(scim: ScimClient, user_id: str) -> Any:
    """The user without what is derived of his memberships, which a change does not answer."""
    path = f"/Users/{user_id}"
    return scim.send("GET", path, excludedAttributes=PROVISIONING_USER_SCHEMA).json


def _desired_version(scim: ScimClient, group: str) -> int:
    (row,) = scim.rows("SELECT desired_version FROM groups WHERE id = :id", id=group)
    return int(row.desired_version)
