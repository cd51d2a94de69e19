"""`attributes` and `excludedAttributes`: what of a resource is returned."""

from typing import Any

import pytest

from scim_gateway.errors import InvalidValueError
from scim_gateway.projection import Projection

_CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
_USER = {
    "schemas": [_CORE, _URN],
    "id": "1",
    "userName": "ada",
    "name": {"familyName": "A", "givenName": "B"},
    "emails": [{"value": "a@x", "type": "work"}, {"type": "home"}],
    _URN: {"manager": {"value": "2", "displayName": "C"}, "department": "D"},
}
_ALWAYS = {"schemas", "id"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("userName", {"userName": "ada"}),
        ("USERNAME, nothing", {"userName": "ada"}),
        ("name.familyName", {"name": {"familyName": "A"}}),
        ("name,name.familyName", {"name": _USER["name"]}),
        ("emails.value", {"emails": [{"value": "a@x"}]}),
        (f"{_CORE}:name.givenName", {"name": {"givenName": "B"}}),
        (f"{_URN}:manager.value", {_URN: {"manager": {"value": "2"}}}),
        (_URN.lower(), {_URN: _USER[_URN]}),
        (_CORE, {"userName": "ada", "name": _USER["name"], "emails": _USER["emails"]}),
        ("id", {}),
        (["userName"], {"userName": "ada"}),
    ],
)
def test_what_is_asked_for_is_returned(names: Any, expected: dict[str, Any]) -> None:
    """With id and schemas, which are always returned."""
    found = Projection(names).of(_USER)
    assert {name: found[name] for name in found.keys() - _ALWAYS} == expected
    assert found.keys() >= _ALWAYS


@pytest.mark.parametrize(
    ("names", "gone"),
    [
        ("userName", {"userName": None}),
        ("id,schemas", {}),
        ("name.familyName", {"name": {"givenName": "B"}}),
        ("name.familyName,name.givenName", {"name": None}),
        ("emails.type", {"emails": [{"value": "a@x"}]}),
        (_URN, {_URN: None}),
        (f"{_URN}:manager", {_URN: {"department": "D"}}),
    ],
)
def test_what_is_excluded_is_not_returned(names: str, gone: dict[str, Any]) -> None:
    """Everything else is."""
    expected = {name: value for name, value in (_USER | gone).items() if value is not None}
    assert Projection(None, names).of(_USER) == expected


@pytest.mark.parametrize(
    ("attributes", "excluded", "name", "expected"),
    [
        (None, None, "members", True),
        ("members", None, "members", True),
        ("members.value", None, "members", True),
        ("displayName", None, "members", False),
        (None, "members", "members", False),
        (None, "members.display", "members", True),
        (f"{_URN}:manager", None, _URN, True),
        (f"{_URN}", None, f"{_URN}:manager", True),
        (None, _URN, f"{_URN}:manager", False),
        ("userName", None, _URN, False),
        ("userName", None, "id", True),
    ],
)
def test_it_is_known_beforehand_whether_something_is_returned(
    attributes: str | None, excluded: str | None, name: str, expected: bool
) -> None:
    """So that what nobody asked for is not looked up."""
    assert Projection(attributes, excluded).has(name) is expected


def test_what_is_returned_on_request_must_be_named() -> None:
    """By its name itself, not by what holds it."""
    assert Projection(f"{_URN}:members").asks_for(f"{_URN}:MEMBERS")
    assert not Projection(_URN).asks_for(f"{_URN}:members")
    assert not Projection().asks_for("members")


def test_both_together_are_refused() -> None:
    """RFC 7644 §3.9: one or the other."""
    with pytest.raises(InvalidValueError):
        Projection("userName", "name")


def test_names_without_end_are_refused() -> None:
    """Each costs for each resource."""
    with pytest.raises(InvalidValueError):
        Projection([f"a{number}" for number in range(501)])
