"""Any PATCH on a user that the grammar allows does what a naive reference model says it does."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scim_gateway.attributes import PROVISIONING_USER_SCHEMA
from scim_gateway.errors import ScimError
from scim_gateway.user_patch import patched, user_operations
from tests.support.patch_model import (
    BADGE,
    ENTERPRISE,
    KINDS,
    Place,
    Refused,
    Step,
    Test,
    expected,
)
from tests.support.scim_client import ScimClient

_CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
_TEXTS = st.sampled_from(["a", "A", "b", "work", "home", "7", ""])
_FLAGS = st.sampled_from([True, False, "True", "false"])
_WRONG = st.sampled_from([7, ["x", "y"], "perhaps"])
_ANY = st.one_of(_TEXTS, _FLAGS, st.integers(0, 2))
_LISTS = [place for place, (kind, _) in KINDS.items() if kind == "list"]
_ELEMENT_SUBS = ("value", "type", "display", "primary")


def _fitting(kind: str) -> st.SearchStrategy[Any]:
    return {"text": _TEXTS, "flag": _FLAGS, "any": _ANY}[kind]


def _objects(subs: dict[str, str], *, nulls: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    null = [st.none()] if nulls else []
    values = {name: st.one_of(_fitting(kind), *null) for name, kind in subs.items()}
    return st.fixed_dictionaries({}, optional=values)


def _values(kind: str, subs: dict[str, str]) -> st.SearchStrategy[Any]:
    """What is sent for an attribute: mostly what fits it."""
    match kind:
        case "object":
            right: Any = st.one_of(_objects(subs), _objects(subs).map(lambda one: [one]), _TEXTS)
        case "list":
            right = st.one_of(st.lists(_objects(subs), max_size=3), _objects(subs), _TEXTS)
        case "ours":
            right = _ANY
        case _:
            right = _fitting(kind)
    return st.one_of(right, right, right, st.none(), _WRONG if kind != "any" else right)


_EQUALITIES = st.builds(
    Test,
    st.just("eq"),
    st.sampled_from(["value", "type", "primary", "display"]),
    st.one_of(_TEXTS, _FLAGS),
)
_FILTERS = st.one_of(
    _EQUALITIES,
    st.recursive(
        st.one_of(
            _EQUALITIES,
            st.builds(Test, st.just("sw"), st.sampled_from(_ELEMENT_SUBS), _TEXTS),
            st.builds(Test, st.just("pr"), st.sampled_from(_ELEMENT_SUBS)),
        ),
        lambda inner: st.one_of(
            st.builds(
                lambda verb, parts: Test(verb, parts=tuple(parts)),
                st.sampled_from(["and", "or"]),
                st.lists(inner, min_size=2, max_size=3),
            ),
            st.builds(lambda one: Test("not", parts=(one,)), inner),
        ),
        max_leaves=4,
    ),
)


@st.composite
def _places(draw: st.DrawFn, *, filters: bool = True) -> tuple[Place, Any]:
    """A place with what is sent there."""
    if draw(st.integers(0, 9)) == 0:
        schema = draw(st.sampled_from([ENTERPRISE, BADGE]))
        held = {name: kinds for (urn, name), kinds in KINDS.items() if urn == schema}
        parts = {one: _values(kind, subs) for one, (kind, subs) in held.items()}
        whole = st.fixed_dictionaries({}, optional=parts)
        return Place(schema, ""), draw(st.one_of(whole, whole, st.none(), _WRONG))
    schema, name = draw(st.sampled_from([*KINDS, *_LISTS, *_LISTS]))
    kind, subs = KINDS[schema, name]
    odds = {"list": 2, "any": 0}.get(kind, 20)  # of what no schema describes, elements are unknown
    test = draw(_FILTERS) if filters and odds and draw(st.integers(1, odds)) == 1 else None
    if draw(st.booleans()) and subs:
        sub = draw(st.sampled_from(sorted(subs)))
        return Place(schema, name, sub, test), draw(_values(subs[sub], {}))
    if test is not None:
        element = st.one_of(_objects(subs), _objects(subs), st.none(), _TEXTS, _WRONG)
        return Place(schema, name, "", test), draw(element)
    return Place(schema, name), draw(_values(kind, subs))


@st.composite
def _steps(draw: st.DrawFn, *, filters: bool = True) -> Step:
    verb = draw(st.sampled_from(["add", "replace", "remove"]))
    if draw(st.integers(0, 3)) == 0 and verb != "remove":
        places = draw(st.lists(_places(filters=filters), max_size=3, unique_by=lambda one: one[0]))
        return Step(verb, tuple(places), has_path=False)
    place, value = draw(_places(filters=filters))
    has_value = verb != "remove" or draw(st.booleans())
    return Step(verb, ((place, value),), has_path=True, has_value=has_value)


def _text(place: Place, style: int) -> str:
    """The path, in one of the spellings that mean the same."""
    if not place.name:
        return place.schema
    name, sub = place.name, place.sub
    if style & 1 and place.schema != BADGE:  # what no schema spells is spelled as it is sent
        name, sub = name.upper(), sub.lower()
    prefix = f"{place.schema}:" if place.schema else (f"{_CORE}:" if style & 2 else "")
    if style & 4 and place.name == "manager":
        prefix = ""
    inner = f"[{place.test.text()}]" if place.test else ""
    return f"{prefix}{name}{inner}" + (f".{sub}" if sub else "")


def _operation(step: Step, style: int) -> dict[str, Any]:
    verb = step.verb.capitalize() if style & 8 else step.verb
    if not step.has_path:
        return {"op": verb, "value": {_text(place, style): value for place, value in step.places}}
    ((place, value),) = step.places
    operation = {"op": verb, "path": _text(place, style)}
    return operation | ({"value": value} if step.has_value else {})


def _one_primary(elements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Elements as they are kept: none empty, booleans only, one primary at most."""
    kept, primary = [], False
    for one in elements:
        flag = one.get("primary") in {True, "True"} and not primary
        primary |= flag
        element = one | ({"primary": flag} if "primary" in one else {})
        if element:
            kept.append(element)
    return kept


@st.composite
def _users(draw: st.DrawFn) -> dict[str, Any]:
    """A user as it is kept."""
    user: dict[str, Any] = {"userName": "ada", "active": draw(st.booleans())}
    for (schema, name), (kind, subs) in KINDS.items():
        if kind == "ours" or name in user or draw(st.booleans()):
            continue
        if kind == "list":
            elements = st.lists(_objects(subs, nulls=False), max_size=3)
            value: Any = _one_primary(draw(elements))
        elif kind == "object":
            value = draw(_objects(subs, nulls=False))
            value = {} if value.get("value") == "" else value
        else:
            value = draw(_fitting(kind))
        if value not in ({}, []):
            (user.setdefault(schema, {}) if schema else user)[name] = value
    return user


_STYLES = st.integers(0, 15)


def _patched(user: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    return patched(user, user_operations({"Operations": operations}))


@settings(max_examples=400, deadline=None)
@given(_users(), st.lists(_steps(), min_size=1, max_size=4), _STYLES)
def test_any_patch_does_what_the_model_says(
    user: dict[str, Any], steps: list[Step], style: int
) -> None:
    """The same user afterwards, or both refuse; the user before is never touched."""
    operations = [_operation(step, style) for step in steps]
    try:
        wanted: dict[str, Any] | None = expected(user, steps)
    except Refused:
        wanted = None
    try:
        got: dict[str, Any] | None = _patched(user, operations)
    except ScimError:
        got = None
    assert got == wanted, operations


@settings(max_examples=150, deadline=None)
@given(_users(), _steps(filters=False), _STYLES)
def test_an_operation_without_a_filter_is_idempotent(
    user: dict[str, Any], step: Step, style: int
) -> None:
    """Sent again after a lost answer, it changes nothing more."""
    operation = _operation(step, style)
    try:
        once = _patched(user, [operation])
    except ScimError:
        return
    assert _patched(once, [operation]) == once


@pytest.mark.slow
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(user=_users(), steps=st.lists(_steps(), min_size=1, max_size=3), style=_STYLES)
def test_any_patch_over_http(
    scim: ScimClient, user: dict[str, Any], steps: list[Step], style: int
) -> None:
    """From the database and back, with a version that moves only if something is different."""
    _compare_over_http(scim, user, steps, style)


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(user=_users(), steps=st.lists(_steps(), min_size=1, max_size=3), style=_STYLES)
def test_some_patches_over_http(
    scim: ScimClient, user: dict[str, Any], steps: list[Step], style: int
) -> None:
    """The same, for every run of the tests."""
    _compare_over_http(scim, user, steps, style)


def _compare_over_http(
    scim: ScimClient, user: dict[str, Any], steps: list[Step], style: int
) -> None:
    user = user | {"userName": str(uuid4())}
    created = scim.send("POST", "/Users", user)
    assert created.status_code == 201, created.text
    before, path = _kept(created.json), f"/Users/{created.json['id']}"
    assert before == user
    answer = scim.patch(path, *(_operation(step, style) for step in steps))
    shown = scim.send("GET", path).json
    scim.send("DELETE", path)
    try:
        wanted = expected(user, steps)
    except Refused:
        wanted = {"userName": ""}
    if not wanted["userName"]:
        assert answer.status_code == 400, answer.text
        assert answer.json["scimType"]
        wanted = before
    else:
        assert answer.status_code == 200, answer.text
        assert _kept(answer.json) == wanted
    assert _kept(shown) == wanted
    is_same = shown["meta"]["version"] == created.json["meta"]["version"]
    assert is_same == (wanted == before)


def _kept(resource: dict[str, Any]) -> dict[str, Any]:
    """What a client may set of it."""
    return {name: value for name, value in resource.items() if name not in _DERIVED}


_DERIVED = {"schemas", "id", "meta", "groups", PROVISIONING_USER_SCHEMA}
