"""Searching: what is found, in which order, and what of it is returned."""

from typing import Any

import pytest

from scim_gateway.attributes import PROVISIONING_USER_SCHEMA
from tests.support.scim_client import ScimClient

_SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
_CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def _found(scim: ScimClient, path: str = "/Users", **query: str) -> list[Any]:
    answer = scim.send("GET", path, headers={}, **query)
    assert answer.status_code == 200, answer.text
    assert answer.json["itemsPerPage"] == len(answer.json["Resources"])
    return list(answer.json["Resources"])


def _names(scim: ScimClient, **query: str) -> list[str]:
    return [one["userName"] for one in _found(scim, **query)]


@pytest.fixture
def people(scim: ScimClient) -> dict[str, str]:
    """Three users; their ids by name."""
    ada = scim.create_user(
        "Ada",
        displayName="Zed",
        name={"familyName": "b"},
        emails=[{"value": "z@x"}, {"value": "a@x", "primary": True}],
        **{_ENTERPRISE: {"department": "y"}},
    )
    manager = {_ENTERPRISE: {"manager": {"value": ada}, "employeeNumber": "9", "department": "X"}}
    bob = scim.create_user("bob", displayName="alf", name={"familyName": "A"}, **manager)
    cleo = scim.create_user("Cleo", active=False, emails=[{"value": "b@x", "type": "work"}])
    return {"Ada": ada, "bob": bob, "Cleo": cleo}


_FILTERS: list[tuple[str, list[str]]] = [
    ('userName sw "C" or userName ew "B"', ["bob", "Cleo"]),
    ('not (userName eq "ada")', ["bob", "Cleo"]),
    ('displayName ne "alf"', ["Ada", "Cleo"]),
    ("displayName eq null", ["Cleo"]),
    ("emails pr and active eq true", ["Ada"]),
    ('emails co "@X"', ["Ada", "Cleo"]),
    ('emails[type eq "work" and value co "@x"]', ["Cleo"]),
    ('emails[not (type pr)].value sw "z"', ["Ada"]),
    ('employeeNumber eq "9"', ["bob"]),
    (f"{_ENTERPRISE} pr", ["Ada", "bob"]),
    (f'schemas eq "{_ENTERPRISE}"', ["Ada", "bob"]),
    ('meta.created gt "2020-01-01T00:00:00Z" and meta.created lt "2020-01-02"', []),
    ('meta.resourceType eq "User" and active eq "False"', ["Cleo"]),
    ('userName gt "b"', ["bob", "Cleo"]),
    ("groups pr", []),
    ('urn:example:absent:1.0:User:thing ne "x" and userName eq "bob"', ["bob"]),
]


@pytest.mark.usefixtures("people")
def test_users_are_found(scim: ScimClient) -> None:
    """Operators, absent attributes, elements, extensions, dates."""
    for filter_, names in _FILTERS:
        assert _names(scim, filter=filter_) == names, filter_


def test_references_are_checked(scim: ScimClient, people: dict[str, str]) -> None:
    """As Entra ID does: `id eq … and manager eq …`, in either order; the same of members."""
    ada, bob = people["Ada"], people["bob"]
    for filter_ in (
        f'id eq "{bob}" and manager eq "{ada}"',
        f'manager eq "{ada}" and id eq "{bob}"',
        f'{_ENTERPRISE}:manager eq "{ada.upper()}"',
    ):
        assert _names(scim, filter=filter_) == ["bob"]
    assert _names(scim, filter=f'id eq "{ada}" and manager eq "{ada}"') == []
    group = scim.create_group("Finance", [ada])
    for filter_ in (
        f'id eq "{group}" and members eq "{ada}"',
        f'members.value eq "{ada}"',
        f'members[value eq "{ada}"]',
    ):
        assert [one["id"] for one in _found(scim, "/Groups", filter=filter_)] == [group]
    assert _found(scim, "/Groups", filter=f'id eq "{group}" and members eq "{bob}"') == []
    assert _names(scim, filter=f'groups.value eq "{group}"') == ["Ada"]
    assert _names(scim, filter='groups[display eq "finance"]') == ["Ada"]


_MEANINGLESS = [
    ('nothing eq "x"', "'nothing'"),
    ('emails.nothing eq "x"', "'emails.nothing'"),
    ('emails[nothing eq "x"]', "'nothing'"),
    (f'{_CORE}:manager eq "x"', "manager"),
    ('urn:ietf:params:scim:schemas:core:2.0:Group:members eq "x"', "members"),
    ("active gt true", "active"),
    ('active co "t"', "active"),
    ('active eq "yes"', "active"),
    ('name eq "x"', "name"),
    ('name[familyName eq "x"]', "name"),
    ('userName[value eq "x"]', "userName"),
    ("userName co null", "userName"),
    ("userName eq 7", "userName"),
    ('meta.created eq "yesterday"', "meta.created"),
    ('meta.created sw "2020"', "meta.created"),
    ('password sw "a"', "password"),
    (f"{PROVISIONING_USER_SCHEMA}:waiting pr", "computed"),
]


@pytest.mark.usefixtures("people")
def test_a_filter_without_meaning_is_refused(scim: ScimClient) -> None:
    """400 invalidFilter that names the attribute: never nobody, and never everybody."""
    for filter_, named in _MEANINGLESS:
        answer = scim.send("GET", "/Users", filter=filter_)
        assert (answer.status_code, answer.json["scimType"]) == (400, "invalidFilter"), filter_
        assert named in answer.json["detail"], filter_


_ORDERS: list[tuple[str, str, list[str]]] = [
    ("userName", "", ["Ada", "bob", "Cleo"]),
    ("USERNAME", "descending", ["Cleo", "bob", "Ada"]),
    ("displayName", "ascending", ["bob", "Ada", "Cleo"]),
    ("displayName", "descending", ["Cleo", "Ada", "bob"]),
    ("name.familyName", "ascending", ["bob", "Ada", "Cleo"]),
    ("emails", "ascending", ["Ada", "Cleo", "bob"]),
    ("meta.created", "descending", ["Cleo", "bob", "Ada"]),
    (f"{_ENTERPRISE}:department", "ascending", ["bob", "Ada", "Cleo"]),
]


@pytest.mark.usefixtures("people")
def test_users_are_sorted(scim: ScimClient) -> None:
    """Without case; of several values the primary one; those without come last, or first."""
    for by, order, names in _ORDERS:
        sorted_by = {"sortBy": by, "sortOrder": order, "count": 1}
        assert _names(scim, sortBy=by, sortOrder=order) == names, (by, order)
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = scim.send("POST", "/Users/.search", {"cursor": cursor, **sorted_by}).json
            seen += [one["userName"] for one in page["Resources"]]
            cursor = page.get("nextCursor")
        assert seen == names, (by, order)


def test_an_order_without_meaning_is_refused(scim: ScimClient) -> None:
    """400 invalidValue."""
    for query in (
        {"sortBy": "nothing"},
        {"sortBy": "emails[type pr]"},
        {"sortBy": "name"},
        {"sortBy": "a b"},
        {"sortBy": "groups"},
        {"sortBy": "userName", "sortOrder": "upwards"},
        {"attributes": ["userName"], "excludedAttributes": ["name"]},
    ):
        answer = scim.send("POST", "/Users/.search", query)
        assert (answer.status_code, answer.json["scimType"]) == (400, "invalidValue"), query


@pytest.mark.usefixtures("people")
def test_sub_attributes_are_returned_alone(scim: ScimClient) -> None:
    """`attributes` and `excludedAttributes`, by name and by URN."""
    (ada,) = _found(scim, filter='userName eq "ada"', attributes=f"emails.value,{_CORE}:name")
    assert ada == {
        "schemas": [_CORE, _ENTERPRISE],
        "id": ada["id"],
        "emails": [{"value": "z@x"}, {"value": "a@x"}],
        "name": {"familyName": "b"},
    }
    (bob,) = _found(scim, filter='userName eq "bob"', excludedAttributes=f"{_ENTERPRISE}:manager")
    assert bob[_ENTERPRISE] == {"employeeNumber": "9", "department": "X"}


def test_a_search_in_a_body_finds_the_same(scim: ScimClient, people: dict[str, str]) -> None:
    """POST /Users/.search with names in any case."""
    body = {
        "schemas": [_SEARCH],
        "filter": 'userName eq "ADA"',
        "attributes": ["userName"],
        "startIndex": 1,
        "COUNT": 5,
    }
    answer = scim.send("POST", "/Users/.search", body)
    assert answer.status_code == 200
    assert answer.json["Resources"] == [
        {"schemas": [_CORE, _ENTERPRISE], "id": people["Ada"], "userName": "Ada"}
    ]


def test_a_search_at_the_root_finds_users_and_groups(
    scim: ScimClient, people: dict[str, str]
) -> None:
    """RFC 7644 §3.4.2.1: what only one kind has is absent in the other; pages go over both."""
    group = scim.create_group("Ada's", [people["Ada"]])
    everything = {*people.values(), group}

    def found(**body: object) -> list[str]:
        answer = scim.send("POST", "/.search", {"schemas": [_SEARCH], **body})
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json["Resources"]]

    assert set(found()) == everything
    assert found(filter="members pr") == [group]
    assert set(found(filter='userName ne "bob"')) == everything - {people["bob"]}
    assert found(filter='meta.resourceType eq "Group"') == [group]
    assert found(sortBy="displayName", count=3) == [group, people["bob"], people["Ada"]]
    assert found(sortBy="displayName", count=3, startIndex=4) == [people["Cleo"]]
    assert set(found(sortBy="active")[1:3]) == {people["Ada"], people["bob"]}
    refused = scim.send("POST", "/.search", {"filter": 'nothing eq "x"'})
    assert refused.json["scimType"] == "invalidFilter"


def test_a_search_that_is_not_understood_is_refused(scim: ScimClient) -> None:
    """400 that names what is wrong."""
    bodies: list[tuple[object, str]] = [
        ({"schemas": ["urn:x"]}, "schemas"),
        ({"filter": 7}, "filter"),
        ({"attributes": {"a": 1}}, "attributes"),
        ({"attributes": [1]}, "attributes"),
        ({"count": 1.5}, "count"),
        ({"startIndex": True}, "startIndex"),
        ({"count": "many"}, "count"),
        ([1], "object"),
    ]
    for body, named in bodies:
        answer = scim.send("POST", "/.search", body)
        assert answer.status_code == 400, body
        assert named in answer.json["detail"], body
