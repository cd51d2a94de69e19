"""PATCH on a user's object: each operation on each form of path (RFC 7644 §3.5.2), in memory."""

from typing import Any

import pytest

from scim_gateway.errors import (
    InvalidPathError,
    InvalidSyntaxError,
    InvalidValueError,
    MutabilityError,
    NoTargetError,
    ScimError,
)
from scim_gateway.user_patch import patched, user_operations

_USER = "urn:ietf:params:scim:schemas:core:2.0:User"
_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
_PROVISIONING = "urn:groupseal:params:scim:schemas:extension:provisioning:1.0:User"
_OTHER = "urn:example:params:scim:extension:1.0:Badge"
_WORK = {"value": "ada@example.com", "type": "work", "primary": True}
_HOME = {"value": "ada@example.org", "type": "home"}


def patch(before: dict[str, Any], *operations: dict[str, Any]) -> dict[str, Any]:
    """The user's object after the operations."""
    body = {"Operations": list(operations)}
    return patched({"userName": "ada", "active": True, **before}, user_operations(body))


def op(name: str, path: str | None = None, **value: Any) -> dict[str, Any]:
    """One operation, with `value=` if it has one."""
    return {"op": name, **({"path": path} if path else {}), **value}


_NOBODY: tuple[Any, ...] = ("", None, [], {"value": ""})
_EMAILS = {"emails": [_WORK, _HOME]}
_CHANGES: list[tuple[str, dict[str, Any], list[dict[str, Any]], dict[str, Any]]] = [
    # Single values: add and replace are the same; names without case; null removes.
    ("add", {}, [op("add", "title", value="Countess")], {"title": "Countess"}),
    ("add again", {"title": "x"}, [op("add", "TITLE", value="y")], {"title": "y"}),
    ("replace", {"title": "x"}, [op("Replace", "title", value="y")], {"title": "y"}),
    ("replace what is not there", {}, [op("replace", "title", value="y")], {"title": "y"}),
    ("remove", {"title": "x"}, [op("Remove", "title")], {}),
    ("remove what is not there", {}, [op("remove", "title")], {}),
    ("null", {"title": "x"}, [op("replace", "title", value=None)], {}),
    ("core URN", {}, [op("add", f"{_USER.lower()}:title", value="x")], {"title": "x"}),
    ("string boolean", {}, [op("replace", "active", value="False")], {"active": False}),
    # Objects are merged: what is not named stays.
    (
        "merge",
        {"name": {"givenName": "A", "familyName": "L"}},
        [op("replace", "name", value={"GIVENNAME": "B"})],
        {"name": {"givenName": "B", "familyName": "L"}},
    ),
    (
        "merge with null",
        {"name": {"givenName": "A", "familyName": "L"}},
        [op("add", "name", value={"givenName": None, "middleName": "K"})],
        {"name": {"familyName": "L", "middleName": "K"}},
    ),
    (
        "sub-attribute",
        {"name": {"givenName": "A"}},
        [op("add", "name.familyname", value="L")],
        {"name": {"givenName": "A", "familyName": "L"}},
    ),
    ("its last sub-attribute", {"name": {"givenName": "A"}}, [op("remove", "name.givenName")], {}),
    # Multi-valued attributes.
    ("add an element", {"emails": [_WORK]}, [op("add", "emails", value=[_HOME])], _EMAILS),
    ("add one object", {"emails": [_WORK]}, [op("add", "emails", value=_HOME)], _EMAILS),
    ("add what is there", _EMAILS, [op("add", "emails", value=[_WORK, _HOME])], _EMAILS),
    (
        "add to what is there",
        {"emails": [_HOME]},
        [op("add", "emails", value=[_HOME | {"display": "A"}])],
        {"emails": [_HOME | {"display": "A"}]},
    ),
    ("add nothing", _EMAILS, [op("add", "emails", value=None)], _EMAILS),
    (
        "a new primary",
        _EMAILS,
        [op("add", "emails", value=[{"value": "n@example.com", "primary": "True"}])],
        {
            "emails": [
                _WORK | {"primary": False},
                _HOME,
                {"value": "n@example.com", "primary": True},
            ]
        },
    ),
    ("replace all", _EMAILS, [op("replace", "emails", value=[_HOME])], {"emails": [_HOME]}),
    ("replace with none", _EMAILS, [op("replace", "emails", value=[])], {}),
    ("remove all", _EMAILS, [op("remove", "emails")], {}),
    (
        "remove what is listed",
        _EMAILS,
        [op("Remove", "emails", value=[{"value": "ADA@example.com"}])],
        {"emails": [_HOME]},
    ),
    ("remove what is listed and absent", _EMAILS, [op("remove", "emails", value=["x"])], _EMAILS),
    # Filters.
    (
        "change the chosen",
        _EMAILS,
        [op("replace", 'emails[type eq "HOME"].value', value="n@example.com")],
        {"emails": [_WORK, {"value": "n@example.com", "type": "home"}]},
    ),
    (
        "make what is not there",
        {},
        [op("Replace", 'phoneNumbers[type eq "mobile"].value', value="+1")],
        {"phoneNumbers": [{"type": "mobile", "value": "+1"}]},
    ),
    (
        "make with two conditions",
        {},
        [op("add", 'emails[Type eq "work" and primary eq "True"].value', value="x")],
        {"emails": [{"type": "work", "primary": True, "value": "x"}]},
    ),
    (
        "boolean as text",
        {"roles": [{"value": "a", "primary": True}]},
        [op("replace", 'roles[primary eq "True"].value', value="b")],
        {"roles": [{"value": "b", "primary": True}]},
    ),
    (
        "primary moves",
        _EMAILS,
        [op("replace", 'emails[type eq "home"].primary', value="true")],
        {"emails": [_WORK | {"primary": False}, _HOME | {"primary": True}]},
    ),
    (
        "replace the whole element",
        _EMAILS,
        [op("replace", 'emails[type eq "work"]', value={"value": "x", "type": "other"})],
        {"emails": [{"value": "x", "type": "other"}, _HOME]},
    ),
    (
        "add to an element",
        _EMAILS,
        [op("add", 'emails[type eq "home"]', value={"display": "A"})],
        {"emails": [_WORK, _HOME | {"display": "A"}]},
    ),
    ("remove the chosen", _EMAILS, [op("remove", 'emails[type eq "work"]')], {"emails": [_HOME]}),
    ("remove by not", _EMAILS, [op("remove", 'emails[not (type eq "home")]')], {"emails": [_HOME]}),
    ("remove where nothing is", _EMAILS, [op("remove", 'emails[value ew "x"]')], _EMAILS),
    (
        "remove by a sub-attribute's value",
        _EMAILS,
        [op("replace", 'emails[type eq "home"].value', value=None)],
        {"emails": [_WORK]},
    ),
    (
        "remove a sub-attribute",
        {"emails": [_HOME | {"display": "A"}]},
        [op("remove", 'emails[type eq "home"].display')],
        {"emails": [_HOME]},
    ),
    (
        "the only element without a filter",
        {"emails": [_HOME]},
        [op("replace", "emails.value", value="x")],
        {"emails": [{"value": "x", "type": "home"}]},
    ),
    # Extensions.
    (
        "extension's attribute",
        {},
        [op("add", f"{_ENTERPRISE}:department", value="Finance")],
        {_ENTERPRISE: {"department": "Finance"}},
    ),
    (
        "whole extension",
        {_ENTERPRISE: {"department": "Finance"}},
        [op("replace", _ENTERPRISE.upper().replace("URN:", "urn:"), value={"CostCenter": "7"})],
        {_ENTERPRISE: {"department": "Finance", "costCenter": "7"}},
    ),
    ("remove an extension", {_ENTERPRISE: {"department": "x"}}, [op("remove", _ENTERPRISE)], {}),
    (
        "the last of an extension",
        {_ENTERPRISE: {"department": "x"}},
        [op("remove", f"{_ENTERPRISE}:department")],
        {},
    ),
    ("unknown extension", {}, [op("add", _OTHER, value={"n": 1})], {_OTHER: {"n": 1}}),
    (
        "unknown extension's attribute",
        {_OTHER: {"n": 1}},
        [op("replace", f"{_OTHER}:colour", value="red")],
        {_OTHER: {"n": 1, "colour": "red"}},
    ),
    (
        "manager as list",
        {},
        [op("Add", "manager", value=[{"$ref": "../Users/1", "value": "1"}])],
        {_ENTERPRISE: {"manager": {"$ref": "../Users/1", "value": "1"}}},
    ),
    (
        "manager as text",
        {_ENTERPRISE: {"manager": {"value": "1", "displayName": "Old"}}},
        [op("replace", f"{_ENTERPRISE}:manager", value="2")],
        {_ENTERPRISE: {"manager": {"value": "2"}}},
    ),
    *(
        (
            f"manager taken away by {value!r}",
            {_ENTERPRISE: {"manager": {"value": "1"}}},
            [op("Replace", f"{_ENTERPRISE}:manager", value=value)],
            {},
        )
        for value in _NOBODY
    ),
    # Without a path.
    (
        "names as paths",
        _EMAILS,
        [
            op(
                "replace",
                value={
                    "id": "x",
                    "meta": {},
                    "schemas": [_USER],
                    "groups": [],
                    _PROVISIONING: {"state": "x"},
                    "name.givenName": "A",
                    f"{_ENTERPRISE}:employeeNumber": "7",
                    _ENTERPRISE: {"department": "Finance", "manager.value": "1"},
                    'emails[type eq "home"].value': "n@example.com",
                    "active": "false",
                },
            )
        ],
        {
            "active": False,
            "name": {"givenName": "A"},
            _ENTERPRISE: {
                "employeeNumber": "7",
                "department": "Finance",
                "manager": {"value": "1"},
            },
            "emails": [_WORK, {"value": "n@example.com", "type": "home"}],
        },
    ),
    ("core URN around", {}, [op("add", value={_USER: {"title": "x"}})], {"title": "x"}),
    (
        "password",
        {},
        [op("replace", "password", value="x"), op("add", value={"password": "x"})],
        {},
    ),
    ("schemas", {}, [op("add", "schemas", value=[_ENTERPRISE])], {}),
    # In order: each sees what the one before did.
    (
        "several on one attribute",
        {},
        [
            op("add", "emails", value=[_WORK]),
            op("replace", 'emails[type eq "work"].value', value="n@example.com"),
            op("add", "emails", value=[_HOME]),
            op("remove", 'emails[value sw "n@"]'),
        ],
        {"emails": [_HOME]},
    ),
]


@pytest.mark.parametrize(
    ("before", "operations", "after"),
    [one[1:] for one in _CHANGES],
    ids=[one[0] for one in _CHANGES],
)
def test_what_operations_do(
    before: dict[str, Any], operations: list[dict[str, Any]], after: dict[str, Any]
) -> None:
    """Each operation with each form of path."""
    assert patch(before, *operations) == {"userName": "ada", "active": True, **after}


_REFUSED: list[tuple[dict[str, Any], type[ScimError]]] = [
    (op("remove", "userName"), MutabilityError),
    (op("replace", "userName", value=None), MutabilityError),
    (op("remove", "active"), MutabilityError),
    (op("replace", "id", value="x"), MutabilityError),
    (op("add", "groups", value=[]), MutabilityError),
    (op("remove", "meta.created"), MutabilityError),
    (op("replace", _PROVISIONING, value={"state": "x"}), MutabilityError),
    (op("remove", f"{_PROVISIONING}:state"), MutabilityError),
    (op("remove", "schemas"), MutabilityError),
    (op("add", "schemas", value=["x"]), InvalidValueError),
    (op("replace", "schemas", value=[_ENTERPRISE]), MutabilityError),
    (op("remove"), NoTargetError),
    (op("add", 'emails[value sw "x"].display', value="x"), NoTargetError),
    (op("add", 'emails[type eq "a" and type eq "b"].value', value="x"), NoTargetError),
    (op("replace", 'emails[colour eq "red"].value', value="x"), NoTargetError),
    (op("replace", "emails.display", value="x"), NoTargetError),
    (op("replace", 'name[givenName eq "x"]', value={}), InvalidPathError),
    (op("replace", "title.x", value="x"), InvalidPathError),
    (op("replace", 'title[value eq "x"]', value="x"), InvalidPathError),
    (op("replace", "emails[", value="x"), InvalidPathError),
    (op("replace", value={"na me": "x"}), InvalidPathError),
    (op("add", f"{_USER[:-4]}Group:displayName", value="x"), InvalidPathError),
    (op("replace", value="x"), InvalidValueError),
    (op("replace", "title"), InvalidValueError),
    (op("replace", "title", value=7), InvalidValueError),
    (op("replace", "active", value="perhaps"), InvalidValueError),
    (op("replace", "name", value="Ada"), InvalidValueError),
    (op("replace", "emails", value=7), InvalidValueError),
    (op("replace", "emails", value=[{"value": 7}]), InvalidValueError),
    (op("replace", 'emails[type eq "work"]', value={}), InvalidValueError),
    (op("replace", _ENTERPRISE, value="x"), InvalidValueError),
    (op("replace", "emails[type pr].primary", value=True), InvalidValueError),
    (op("replace", "emails", value=[_WORK, _HOME | {"primary": True}]), InvalidValueError),
    (op("add", "emails", value=[{"value": str(n)} for n in range(99)]), InvalidValueError),
    (op("add", "photos", value=[{"value": str(n)} for n in range(101)]), InvalidValueError),
    ({"op": "move", "path": "title", "value": "x"}, InvalidSyntaxError),
    ({"path": "title", "value": "x"}, InvalidSyntaxError),
    ({"op": ["add"], "path": "title", "value": "x"}, InvalidSyntaxError),
    ({"op": "add", "path": 7, "value": "x"}, InvalidPathError),
]


@pytest.mark.parametrize(("operation", "error"), _REFUSED)
def test_what_is_refused(operation: dict[str, Any], error: type[ScimError]) -> None:
    """With the scimType that RFC 7644 §3.12 has for it."""
    with pytest.raises(error):
        patch(_EMAILS, operation)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"Operations": []},
        {"Operations": {}},
        {"Operations": ["x"]},
        {"Operations": [op("remove", "title")] * 1_001},
        {"schemas": [_USER], "Operations": [op("remove", "title")]},
    ],
)
def test_what_is_no_patch(body: dict[str, Any]) -> None:
    """No operations, too many, or another message."""
    with pytest.raises(InvalidSyntaxError):
        user_operations(body)


def test_values_are_bounded() -> None:
    """In bytes and in nesting, whatever recursion they would need."""
    with pytest.raises(InvalidValueError):
        user_operations({"Operations": [op("add", "x", value="x" * 300_000)]})
    nested: Any = "x"
    for _ in range(5_000):
        nested = [nested]
    with pytest.raises(InvalidValueError):
        user_operations({"Operations": [op("add", "x", value=nested)]})


def test_nothing_of_what_was_given_is_changed() -> None:
    """The object before is left as it was, also by what is refused in the end."""
    before = {"userName": "ada", "emails": [dict(_WORK)], "name": {"givenName": "A"}}
    operations = [
        op("replace", 'emails[type eq "work"].value', value="x"),
        op("replace", "name.givenName", value="B"),
    ]
    assert patched(before, user_operations({"Operations": operations})) != before
    with pytest.raises(MutabilityError):
        patched(before, user_operations({"Operations": [*operations, op("remove", "userName")]}))
    assert before == {"userName": "ada", "emails": [_WORK], "name": {"givenName": "A"}}
