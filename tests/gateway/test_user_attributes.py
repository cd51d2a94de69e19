"""Users in full: what is taken, how it is kept, and what is refused by name (RFC 7643 §4.1)."""

from typing import Any

import pytest

from directory.users import UserContent
from scim_gateway.attributes import PROVISIONING_USER_SCHEMA
from scim_gateway.errors import InvalidSyntaxError, InvalidValueError
from scim_gateway.user_mapping import content_from
from tests.support.scim_client import ScimClient

_USER = "urn:ietf:params:scim:schemas:core:2.0:User"
_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
_OTHER = "urn:example:params:scim:extension:1.0:Badge"
_FULL: dict[str, Any] = {
    "schemas": [_USER, _ENTERPRISE, _OTHER],
    "externalId": "00u1",
    "userName": "ada@example.com",
    "name": {"formatted": "Ada Lovelace", "familyName": "Lovelace", "givenName": "Ada"},
    "displayName": "Ada",
    "nickName": "Countess",
    "profileUrl": "https://example.com/ada",
    "title": "Countess",
    "userType": "Employee",
    "preferredLanguage": "en-GB",
    "locale": "en-GB",
    "timezone": "Europe/London",
    "active": True,
    "emails": [{"value": "ada@example.com", "type": "work", "primary": True, "display": "A"}],
    "phoneNumbers": [{"value": "tel:+44-20-1", "type": "work"}],
    "ims": [{"value": "ada", "type": "xmpp"}],
    "photos": [{"value": "https://example.com/ada.jpg", "type": "photo"}],
    "addresses": [{"streetAddress": "12 Square", "locality": "London", "primary": True}],
    "entitlements": [{"value": "library"}],
    "roles": [{"value": "author", "primary": True}, {"value": "reader", "primary": False}],
    "x509Certificates": [{"value": "MIIDQzCCAqygAwIBAgICEAAwDQYJKoZIhvcNAQEFBQAwTjEL"}],
    _ENTERPRISE: {
        "employeeNumber": "701984",
        "costCenter": "4130",
        "organization": "Engines",
        "division": "Analytical",
        "department": "Notes",
        "manager": {"value": "26118915", "$ref": "../Users/26118915", "displayName": "Charles"},
    },
    _OTHER: {"number": 7, "doors": ["a", "b"], "valid": {"from": "1843-01-01", "always": False}},
}


def test_a_full_user_comes_back_as_it_was_sent(scim: ScimClient) -> None:
    """Every attribute of the schema, the enterprise extension and an unknown one."""
    created = scim.send("POST", "/Users", _FULL)
    assert created.status_code == 201, created.text
    user = scim.send("GET", f"/Users/{created.json['id']}").json
    assert {name: user[name] for name in _FULL if name != "schemas"} == {
        name: value for name, value in _FULL.items() if name != "schemas"
    }
    assert {_USER, _ENTERPRISE, _OTHER} <= set(user["schemas"])
    assert set(user["meta"]) == {"resourceType", "created", "lastModified", "location", "version"}


def test_schemas_are_those_in_the_resource(scim: ScimClient) -> None:
    """An extension without content is in neither place, whatever the client says."""
    body = {"schemas": [_USER, _ENTERPRISE, _OTHER], "userName": "ada", _OTHER: {"n": None}}
    user = scim.send("POST", "/Users", body, excludedAttributes=PROVISIONING_USER_SCHEMA).json
    assert user["schemas"] == [_USER]
    assert _OTHER not in user


def test_what_was_read_can_be_put_back(scim: ScimClient) -> None:
    """With meta, id, groups and both extensions in it; nothing is changed by it."""
    user_id = scim.send("POST", "/Users", _FULL).json["id"]
    scim.create_group("Finance", [user_id])
    read = scim.send("GET", f"/Users/{user_id}")
    assert PROVISIONING_USER_SCHEMA in read.json
    assert read.json["groups"][0]["display"] == "Finance"
    again = scim.send("PUT", f"/Users/{user_id}", read.json)
    assert again.status_code == 200, again.text
    assert again.headers["ETag"] == read.headers["ETag"]
    assert scim.send("GET", f"/Users/{user_id}").json == read.json


def test_put_takes_away_what_it_does_not_have(scim: ScimClient) -> None:
    """The whole object is replaced (RFC 7644 §3.5.1); the externalId and `active` stay."""
    user_id = scim.send("POST", "/Users", _FULL).json["id"]
    user = scim.send("PUT", f"/Users/{user_id}", {"userName": "ada"}).json
    assert (user["userName"], user["externalId"], user["active"]) == ("ada", "00u1", True)
    assert not {"title", "emails", "name", _ENTERPRISE, _OTHER} & user.keys()


def test_ones_and_trues_are_told_apart(scim: ScimClient) -> None:
    """Of an attribute that no schema describes, too."""
    user_id = scim.create_user("ada", **{_OTHER: {"number": 1}})
    user = scim.send("PUT", f"/Users/{user_id}", {"userName": "ada", _OTHER: {"number": True}}).json
    assert user[_OTHER] == {"number": True}
    assert user["meta"]["version"] == 'W/"2"'


def content(**given: Any) -> UserContent:
    """What is kept of a user with these attributes."""
    return content_from({"userName": "ada", **given})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"TITLE": "x", "Name": {"GIVENNAME": "A"}}, {"title": "x", "name": {"givenName": "A"}}),
        ({"title": None, "name": None, "addresses": None, "roles": [], _OTHER: None}, {}),
        ({"name": {"givenName": None}, "phoneNumbers": [None, {}], _ENTERPRISE: {}}, {}),
        ({"roles": {"value": "a"}}, {"roles": [{"value": "a"}]}),
        ({"roles": "a"}, {"roles": [{"value": "a"}]}),
        ({"roles": ["a", {"value": "b"}]}, {"roles": [{"value": "a"}, {"value": "b"}]}),
        (
            {"roles": [{"Value": "a", "Primary": "True"}]},
            {"roles": [{"value": "a", "primary": True}]},
        ),
        (
            {"roles": [{"value": "a", "primary": "false", "colour": "red"}]},
            {"roles": [{"value": "a", "primary": False, "colour": "red"}]},
        ),
        ({"manager": None}, {}),
        ({"manager": "1"}, {_ENTERPRISE: {"manager": {"value": "1"}}}),
        ({_ENTERPRISE: {"manager": [{"value": "1"}]}}, {_ENTERPRISE: {"manager": {"value": "1"}}}),
        ({_ENTERPRISE: {"manager": ""}}, {}),
        ({_ENTERPRISE.upper().replace("URN", "urn"): {"Department": "x"}}, None),
        ({"favouriteColour": "red"}, {"favouriteColour": "red"}),
        ({"id": "x", "meta": {"version": 7}, "groups": "x", "schemas": "x"}, {}),
        ({PROVISIONING_USER_SCHEMA: {"state": "x"}}, {}),
        ({"password": "x", "PASSWORD": "y"}, {}),
    ],
)
def test_what_clients_send_is_kept_in_one_form(
    given: dict[str, Any], kept: dict[str, Any] | None
) -> None:
    """In the schema's spelling and types; without null, what is readOnly, and passwords."""
    expected = {_ENTERPRISE: {"department": "x"}} if kept is None else kept
    assert content(**given).attributes == expected


@pytest.mark.parametrize("emails", [{"value": "a@example.com"}, "a@example.com"])
def test_one_address_is_a_list_of_one(emails: Any) -> None:
    """As an object or as text."""
    assert content(emails=emails).emails == [{"value": "a@example.com"}]


@pytest.mark.parametrize("active", [False, "False", "false", "FALSE"])
def test_active_may_be_text(active: Any) -> None:
    """As Entra ID sends it; a new user is active unless it says otherwise."""
    assert content(active=active).active is False
    assert content().active is True
    assert content(active=None).active is True


_NESTED: Any = {"a": 1}
for _ in range(9):
    _NESTED = {"a": [_NESTED]}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"userName": ""}, "userName"),
        ({"userName": None}, "userName"),
        ({"userName": 7}, "userName"),
        ({"userName": "x" * 401}, "userName"),
        ({"externalId": 7}, "externalId"),
        ({"displayName": ["x"]}, "displayName"),
        ({"title": 7}, "title"),
        ({"title": True}, "title"),
        ({"profileUrl": {}}, "profileUrl"),
        ({"active": "perhaps"}, "active"),
        ({"active": 1}, "active"),
        ({"name": "Ada"}, "name"),
        ({"name": {"GivenName": 7}}, "name.givenName"),
        ({"emails": 7}, "emails"),
        ({"emails": [7]}, "emails"),
        ({"emails": [{"value": 7}]}, "emails.value"),
        ({"emails": [{"value": "x" * 321}]}, "emails.value"),
        ({"emails": [{"value": "x", "type": "y" * 41}]}, "emails.type"),
        ({"emails": [{"value": "x", "primary": "perhaps"}]}, "emails.primary"),
        ({"emails": [{"value": "x", "primary": True}] * 2}, "emails"),
        ({"roles": [{"value": str(n)} for n in range(101)]}, "roles"),
        ({"addresses": ["London"]}, "addresses"),
        ({"x509Certificates": [{"value": 7}]}, "x509Certificates.value"),
        ({_ENTERPRISE: "x"}, _ENTERPRISE),
        ({_ENTERPRISE: {"department": 7}}, f"{_ENTERPRISE}:department"),
        ({_ENTERPRISE: {"manager": {"value": 7}}}, "manager.value"),
        ({_OTHER: ["x"]}, _OTHER),
        ({_OTHER: {"deep": _NESTED}}, f"{_OTHER}:deep"),
        ({"deep": _NESTED}, "deep"),
        ({_USER: {"title": "x"}}, _USER),
        ({"urn:ietf:params:scim:schemas:core:2.0:Group": {"displayName": "x"}}, "Group"),
        ({_OTHER: {"long": "x" * 70_000}}, "65536"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(given: dict[str, Any], named: str) -> None:
    """invalidValue, with the attribute in the text."""
    with pytest.raises(InvalidValueError, match=named.replace(".", r"\.")):
        content(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"title": "x", "Title": "y"},
        {"emails": [{"value": "x", "VALUE": "y"}]},
        {_ENTERPRISE: {"department": "x"}, _ENTERPRISE.upper().replace("URN", "urn"): {"a": "y"}},
        {_OTHER: {"a": 1, "A": 2}},
    ],
)
def test_a_name_twice_is_refused(given: dict[str, Any]) -> None:
    """Names are compared without case (RFC 7643 §2.1): which of the two is meant?"""
    with pytest.raises(InvalidSyntaxError):
        content(**given)


def test_none_match_spares_a_client_what_it_has(scim: ScimClient) -> None:
    """304 without a body while nothing has changed (RFC 7644 §3.14)."""
    user = scim.send("POST", "/Users", {"userName": "ada"}).json
    path, version = f"/Users/{user['id']}", {"If-None-Match": user["meta"]["version"]}
    unchanged = scim.send("GET", path, headers=version)
    assert (unchanged.status_code, unchanged.text) == (304, "")
    scim.patch(path, {"op": "replace", "path": "title", "value": "x"})
    assert scim.send("GET", path, headers=version).status_code == 200


def test_a_projection_that_is_refused_changes_nothing(scim: ScimClient) -> None:
    """Both parameters at once are refused before the user is created or changed."""
    both: dict[str, Any] = {"attributes": "userName", "excludedAttributes": "name"}
    assert scim.send("POST", "/Users", {"userName": "ada"}, **both).status_code == 400
    user_id = scim.create_user("ada")
    for method, body in (
        ("PUT", {"userName": "grace"}),
        ("PATCH", {"Operations": [{"op": "add", "path": "userName", "value": "grace"}]}),
    ):
        assert scim.send(method, f"/Users/{user_id}", body, **both).status_code == 400
    assert scim.send("GET", f"/Users/{user_id}").json["userName"] == "ada"


def test_attributes_choose_what_a_change_answers(scim: ScimClient) -> None:
    """Also of POST, PUT and PATCH (RFC 7644 §3.9)."""
    answer = scim.send("POST", "/Users", _FULL, attributes="userName,emails.value")
    assert set(answer.json) == {"schemas", "id", "userName", "emails"}
    assert answer.json["emails"] == [{"value": "ada@example.com"}]
    assert answer.headers["Location"].endswith(f"/Users/{answer.json['id']}")
