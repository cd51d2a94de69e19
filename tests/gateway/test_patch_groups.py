"""PATCH on a group: the forms that are understood, in memory; any other is refused."""

import time
from dataclasses import replace
from typing import Any

import pytest

from directory.group_push import Push
from directory.membership_change import MemberOperation, Verb
from scim_gateway.errors import (
    InvalidPathError,
    InvalidSyntaxError,
    InvalidValueError,
    MutabilityError,
    NoTargetError,
    ScimError,
)
from scim_gateway.group_patch import push_from_patch
from scim_gateway.patch_operations import parse_operations

_GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
_PROVISIONING = "urn:groupseal:params:scim:schemas:extension:provisioning:1.0:Group"
_AB: list[Any] = [{"value": "a"}, {"value": "b", "display": "B"}]


def push(*operations: dict[str, Any]) -> Push:
    """What the operations say."""
    said = push_from_patch(parse_operations({"Operations": list(operations)}))
    return replace(said, operations=tuple(said.operations))


def op(name: str, path: str | None = None, **value: Any) -> dict[str, Any]:
    """One operation, with `value=` if it has one."""
    return {"op": name, **({"path": path} if path else {}), **value}


def added(**members: str | None) -> MemberOperation:
    """They join."""
    return MemberOperation(Verb.ADD, members)


def removed(*members: str) -> MemberOperation:
    """They leave."""
    return MemberOperation(Verb.REMOVE, dict.fromkeys(members))


def exactly(**members: str | None) -> MemberOperation:
    """They and nobody else."""
    return MemberOperation(Verb.REPLACE, members)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (op("add", "members", value=_AB), added(a=None, b="B")),
        (op("Add", "Members", value={"VALUE": "a", "Display": "A"}), added(a="A")),
        (op("add", "members", value="a"), added(a=None)),
        (op("add", "members", value=["a", {"value": "a", "display": "A"}]), added(a="A")),
        (op("add", "members", value=[]), added()),
        (op("add", f"{_GROUP}:members", value=_AB[:1]), added(a=None)),
        (op("add", value={"members": _AB[:1]}), added(a=None)),
        (op("add", value={f"{_GROUP.upper()}:members": _AB[:1]}), added(a=None)),
        (op("add", _GROUP, value={"members": _AB[:1]}), added(a=None)),
        (op("add", value={_GROUP: {"members": _AB[:1]}}), added(a=None)),
        (op("replace", "members", value=_AB), exactly(a=None, b="B")),
        (op("Replace", "members", value=[]), exactly()),
        (op("replace", value={"id": "x", "members": _AB[:1]}), exactly(a=None)),
        (op("remove", "members"), exactly()),
        (op("remove", "members", value=["a", {"value": "b"}]), removed("a", "b")),
        (op("Remove", "members", value=[]), removed()),
        (op("remove", 'members[value eq "a"]'), removed("a")),
        (op("remove", 'members[ VALUE EQ "a" ]'), removed("a")),
        (op("remove", 'members[value eq "a" or value eq "b"]'), removed("a", "b")),
        (
            op("remove", 'members[(value eq "a") or (value eq "b" or value eq "c")]'),
            removed(*"abc"),
        ),
        (op("remove", f'{_GROUP}:members[value eq "a"]'), removed("a")),
        (op("remove", 'members[value eq "a"]', value=None), removed("a")),
        (op("remove", 'members[value eq "a"]', value=[{"value": "a"}]), removed("a")),
    ],
)
def test_members_in_every_form(operation: dict[str, Any], expected: MemberOperation | None) -> None:
    """With and without a path, by list and by filter, under the schema's URN; None: in another."""
    if expected is None:
        with pytest.raises(ScimError):
            push(operation)
    else:
        assert push(operation) == Push(operations=(expected,))


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (op("replace", value={"id": "x", "displayName": "F"}), Push(display_name="F")),
        (op("Replace", "displayname", value="F"), Push(display_name="F")),
        (op("add", f"{_GROUP}:displayName", value="F"), Push(display_name="F")),
        (op("replace", "externalId", value="7"), Push(external_id="7")),
        (op("add", value={"ExternalId": "7", "displayName": "F"}), Push("F", "7")),
        (op("remove", "externalId"), Push(external_id="")),
        (op("replace", "externalId", value=None), Push(external_id="")),
        (op("replace", value={"externalId": ""}), Push(external_id="")),
        (op("replace", value={"schemas": [], "meta": {}, _PROVISIONING: {}}), Push()),
        (op("replace", value={}), Push()),
    ],
)
def test_names_in_every_form(operation: dict[str, Any], expected: Push) -> None:
    """By path and in an object; what is readOnly in an object is ignored."""
    assert push(operation) == expected


def test_operations_keep_their_order() -> None:
    """Adding and removing are mixed in one request; the last name counts."""
    assert push(
        op("replace", "displayName", value="F"),
        op("remove", 'members[value eq "a"]'),
        op("add", "members", value="a"),
        op("replace", value={"displayName": "G"}),
    ) == Push("G", None, (removed("a"), added(a=None)))


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (op("replace", 'members[value eq "a"].display', value="A"), InvalidPathError),
        (op("remove", 'members[value eq "a"].display'), InvalidPathError),
        (op("replace", 'members[value eq "a"]', value={"value": "b"}), InvalidPathError),
        (op("add", 'members[value eq "a"]', value=_AB), InvalidPathError),
        (op("remove", 'members[value eq "a" and value eq "b"]'), InvalidPathError),
        (op("remove", 'members[not (value eq "a")]'), InvalidPathError),
        (op("remove", 'members[value ne "a"]'), InvalidPathError),
        (op("remove", 'members[value sw "a"]'), InvalidPathError),
        (op("remove", "members[value pr]"), InvalidPathError),
        (op("remove", "members[value eq 7]"), InvalidPathError),
        (op("remove", 'members[display eq "A"]'), InvalidPathError),
        (op("remove", 'members[value eq ""]'), InvalidValueError),
        (op("remove", 'members[value eq "a"]', value=[{"value": "b"}]), InvalidValueError),
        (op("remove", "members.value", value="a"), InvalidPathError),
        (op("remove", "members", value=None), InvalidValueError),
        (op("add", "members", value=None), InvalidValueError),
        (op("add", "members", value=7), InvalidValueError),
        (op("add", "members", value=[7]), InvalidValueError),
        (op("add", "members", value=[{}]), InvalidValueError),
        (op("add", "members", value=[{"value": "x" * 401}]), InvalidValueError),
        (op("replace", value={"members": None}), InvalidValueError),
        (op("replace", value={"Members": [], "members": []}), InvalidSyntaxError),
        (op("replace", value={_GROUP: {_GROUP: {}}}), InvalidPathError),
        (op("replace", value={'members[value eq "a"]': {}}), InvalidPathError),
        (op("replace", value={"colour": "red"}), InvalidPathError),
        (op("replace", "colour", value="red"), InvalidPathError),
        (op("replace", "urn:example:thing:displayName", value="x"), InvalidPathError),
        (op("replace", 'displayName[value eq "x"]', value="x"), InvalidPathError),
        (op("replace", "displayName.x", value="x"), InvalidPathError),
        (op("replace", "displayName", value=" "), InvalidValueError),
        (op("replace", "displayName", value=None), MutabilityError),
        (op("remove", "displayName"), MutabilityError),
        (op("replace", "id", value="x"), MutabilityError),
        (op("remove", "meta.version"), MutabilityError),
        (op("replace", _PROVISIONING, value={}), MutabilityError),
        (op("replace", f"{_PROVISIONING}:state", value="x"), MutabilityError),
        (op("replace", value=[]), InvalidValueError),
        (op("remove"), NoTargetError),
    ],
)
def test_any_other_form_is_refused(operation: dict[str, Any], error: type[ScimError]) -> None:
    """Never taken for another one, and never answered as done."""
    with pytest.raises(error):
        push(op("add", "members", value=_AB), operation)


def test_ten_thousand_operations_cost_ten_times_a_thousand() -> None:
    """As many as one request may have; there is no work for every pair of them."""
    removals = [op("remove", f'members[value eq "{number}"]') for number in range(10_000)]

    def seconds(count: int) -> float:
        start = time.perf_counter()
        assert len(push(*removals[:count]).operations) == count
        return time.perf_counter() - start

    few = min(seconds(1_000) for _ in range(3))
    assert seconds(10_000) < 40 * few
