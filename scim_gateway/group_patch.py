"""Pure: PATCH on a group (RFC 7644 §3.5.2), as what changes and never as a document.

A group may have any number of members and a request any number of operations: each operation is
read once, and none of them looks at what the group holds.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from directory.group_push import Push
from directory.membership_change import MemberOperation, Verb
from scim_gateway.attributes import (
    GROUP_SCHEMA,
    GROUP_SPELLING,
    PROVISIONING_GROUP_SCHEMA,
    optional_text,
    required_text,
)
from scim_gateway.errors import (
    InvalidPathError,
    InvalidSyntaxError,
    InvalidValueError,
    MutabilityError,
    NoTargetError,
)
from scim_gateway.filter_grammar import Comparison, Filter, Operator, Or, PatchPath
from scim_gateway.group_members import members_from
from scim_gateway.patch_operations import Op, Operation, path_of

_READ_ONLY = frozenset({"schemas", "id", "meta"})
_MEMBERS = "members"


def push_from_patch(operations: Sequence[Operation]) -> Push:
    """What a PATCH says, in every form that Okta and Entra ID send.

    Raises InvalidValueError, InvalidSyntaxError, InvalidPathError, NoTargetError or
    MutabilityError for any other form; nothing is changed then.
    """
    names: dict[str, str] = {}
    members: list[MemberOperation] = []
    for operation in operations:
        if operation.path is None:
            _take_object(operation, operation.value, names, members)
        else:
            _take_path(operation, operation.path, names, members)
    return Push(names.get("displayName"), names.get("externalId"), members)


def _take_object(
    operation: Operation,
    value: object,
    names: dict[str, str],
    members: list[MemberOperation],
    *,
    wrapped: bool = False,
) -> None:
    """The value is an object of attributes; what is readOnly in it is ignored.

    Okta sends the id with every rename. The attributes may be wrapped, once, in their schema's URN.
    """
    if operation.op is Op.REMOVE:
        raise NoTargetError('remove needs a path such as members[value eq "…"]')
    if not isinstance(value, Mapping):
        raise InvalidValueError(f"{operation.op.value} without a path needs an object as value")
    seen = set()
    for given, inner in value.items():
        name = _attribute(path_of(given))
        if name in seen:
            raise InvalidSyntaxError(f"{name[:100]} is there twice: send it once")
        seen.add(name)
        if name == GROUP_SCHEMA and wrapped:
            raise InvalidPathError("the schema's URN is there twice: unwrap the attributes")
        if name == GROUP_SCHEMA:
            _take_object(operation, inner, names, members, wrapped=True)
            continue
        if name == _MEMBERS:
            members.append(_members(operation.op, inner, has_value=True))
        elif not _is_read_only(name):
            _take_name(operation.op, name, inner, names)


def _take_path(
    operation: Operation,
    path: PatchPath,
    names: dict[str, str],
    members: list[MemberOperation],
) -> None:
    if path.condition is not None:
        members.append(_chosen_members(operation, path, path.condition))
        return
    name = _attribute(path)
    if name == GROUP_SCHEMA:
        _take_object(operation, operation.value, names, members)
    elif name == _MEMBERS:
        members.append(_members(operation.op, operation.value, has_value=operation.has_value))
    elif _is_read_only(name):
        raise MutabilityError(f"{name[:100]} is set by the server: leave it out")
    else:
        _take_name(operation.op, name, operation.value, names)


def _attribute(path: PatchPath) -> str:
    """The attribute's name, or the URN of a whole schema, as we spell it."""
    attribute = path.attribute
    whole = str(attribute)
    for schema in (GROUP_SCHEMA, PROVISIONING_GROUP_SCHEMA):
        if whole.lower() == schema.lower():
            return schema
    urn = (attribute.urn or GROUP_SCHEMA).lower()
    if urn == PROVISIONING_GROUP_SCHEMA.lower():
        return f"{PROVISIONING_GROUP_SCHEMA}:{attribute.name}"
    name = GROUP_SPELLING.get(attribute.name.lower())
    if urn != GROUP_SCHEMA.lower() or name is None:
        raise InvalidPathError(
            f"a group has no attribute {whole[:100]!r}: use displayName, externalId or members"
        )
    if (attribute.sub is not None and name not in _READ_ONLY) or path.condition is not None:
        raise InvalidPathError(
            f"{whole[:100]}: members are changed as a whole, other attributes have no parts"
        )
    return name


def _is_read_only(name: str) -> bool:
    return name in _READ_ONLY or name.startswith(PROVISIONING_GROUP_SCHEMA)


def _take_name(op: Op, name: str, value: object, names: dict[str, str]) -> None:
    removes = op is Op.REMOVE or value is None
    if name == "externalId":
        names[name] = "" if removes else optional_text(value, name) or ""
    elif removes:
        raise MutabilityError(f"{name} is required and cannot be removed: replace it")
    else:
        names[name] = required_text(value, name)


def _members(op: Op, value: object, *, has_value: bool) -> MemberOperation:
    """Without a value, remove takes everybody out (RFC 7644 §3.5.2.2); a list only those in it."""
    if op is Op.REMOVE and not has_value:
        return MemberOperation(Verb.REPLACE, {})
    if value is None:
        raise InvalidValueError("members with a null value are ambiguous: send a list")
    return MemberOperation(Verb(op.value), members_from(value))


def _chosen_members(operation: Operation, path: PatchPath, condition: Filter) -> MemberOperation:
    """`members[value eq "…"]`: only for removal is it clear what is meant."""
    attribute = path.attribute
    if _attribute(PatchPath(attribute)) != _MEMBERS or operation.op is not Op.REMOVE:
        raise InvalidPathError('a filter in the path is for removing: members[value eq "…"]')
    chosen = members_from(list(_values(condition)))
    if operation.value is not None and not members_from(operation.value).keys() <= chosen.keys():
        raise InvalidValueError("the path and the value name different members: send one of them")
    return MemberOperation(Verb.REMOVE, chosen)


def _values(condition: Filter) -> Iterator[Any]:
    """The values in `value eq "a" or value eq "b"`. Raises InvalidPathError for other filters."""
    for one in condition.parts if isinstance(condition, Or) else (condition,):
        if (
            not isinstance(one, Comparison)
            or one.operator is not Operator.EQ
            or one.attribute.urn is not None
            or one.attribute.sub is not None
            or one.attribute.name.lower() != "value"
            or not isinstance(one.value, str)
        ):
            raise InvalidPathError('members are chosen by members[value eq "…"] only, joined by or')
        yield one.value
