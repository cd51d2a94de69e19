"""Pure: groups, from SCIM and to SCIM. Members are handled as what changes, never as a document."""

import json
from collections.abc import Mapping
from typing import Any

from directory.group_push import Push
from directory.groups import Group
from directory.membership_change import MemberOperation, Verb
from scim_gateway.attributes import (
    GROUP_SCHEMA,
    GROUP_SPELLING,
    MAX_TEXT,
    optional_text,
    required_text,
    spelled,
)
from scim_gateway.errors import (
    InvalidPathError,
    InvalidValueError,
    MutabilityError,
    NoTargetError,
)
from scim_gateway.filters import Comparison
from scim_gateway.patch_operations import Op, Operation
from scim_gateway.versions import etag

_READ_ONLY = frozenset({"schemas", "id", "meta"})


def push_from(body: Mapping[str, Any], *, whole: bool) -> Push:
    """What a group object says: of a new group, or with `whole` of one that it replaces.

    Raises InvalidValueError or InvalidSyntaxError.
    """
    given = spelled(body, GROUP_SPELLING)
    verb = Verb.REPLACE if whole else Verb.ADD
    members = MemberOperation(verb, members_from(given.get("members")))
    return Push(
        display_name=required_text(given.get("displayName"), "displayName"),
        external_id=optional_text(given.get("externalId"), "externalId"),
        operations=[members] if whole or members.members else [],
    )


def push_from_patch(operations: list[Operation]) -> Push:
    """What a PATCH says, in every form that Okta and Entra ID send.

    Raises InvalidValueError, InvalidSyntaxError, InvalidPathError, NoTargetError or
    MutabilityError for any other form; nothing is changed then.
    """
    names: dict[str, str | None] = {}
    members: list[MemberOperation] = []
    for operation in operations:
        if operation.path is None:
            _take_object(operation, names, members)
        else:
            _take_path(operation, names, members)
    display_name = names.get("displayName")
    return Push(display_name, names.get("externalId"), members)


def members_from(value: object) -> dict[str, str | None]:
    """Values with their display names, each once. Raises InvalidValueError."""
    if value is None:
        return {}
    if isinstance(value, str | Mapping):
        value = [value]
    if not isinstance(value, list):
        raise InvalidValueError("members must be a list of objects with a value")
    members: dict[str, str | None] = {}
    for one in value:
        if not isinstance(one, str | Mapping):
            raise InvalidValueError("each of members must be an object with a value")
        member = {"value": one} if isinstance(one, str) else one
        name, display = member.get("value"), member.get("display")
        if not isinstance(name, str) or not name or len(name) > MAX_TEXT:
            raise InvalidValueError(
                f"the value of each member must be text of at most {MAX_TEXT} characters"
            )
        members[name] = display[:MAX_TEXT] if isinstance(display, str) and display else None
    return members


def group_resource(group: Group, base_url: str) -> dict[str, Any]:
    """The group as SCIM clients see it, without its members."""
    resource: dict[str, Any] = {
        "schemas": [GROUP_SCHEMA],
        "id": str(group.id),
        "displayName": group.display_name,
        "meta": {
            "resourceType": "Group",
            "created": group.created_at.isoformat(),
            "lastModified": group.updated_at.isoformat(),
            "location": f"{base_url}/Groups/{group.id}",
            "version": etag(group.version),
        },
    }
    if group.external_id is not None:
        resource["externalId"] = group.external_id
    return resource


def with_members(resource: Mapping[str, Any], members_json: str | None) -> str:
    """The resource as JSON, with members that are JSON already; None leaves them out."""
    text = json.dumps(resource)
    return text if members_json is None else f'{text[:-1]}, "members": {members_json}}}'


def _take_object(
    operation: Operation, names: dict[str, str | None], members: list[MemberOperation]
) -> None:
    if operation.op is Op.REMOVE:
        raise NoTargetError("remove needs a path")
    if not isinstance(operation.value, Mapping):
        raise InvalidValueError(f"{operation.op.value} without a path needs an object as value")
    given = spelled(operation.value, GROUP_SPELLING)
    for name, value in given.items():
        if name == "members" and value is None:
            raise InvalidValueError("members with a null value are ambiguous: send a list")
        if name == "members":
            members.append(MemberOperation(Verb(operation.op.value), members_from(value)))
        elif name not in _READ_ONLY:  # Okta sends the id with every rename
            names[name] = _name(name, value)


def _take_path(
    operation: Operation, names: dict[str, str | None], members: list[MemberOperation]
) -> None:
    path = operation.path
    if path is None:
        raise ValueError("an operation with a path was expected")
    attribute = path.attribute
    if attribute.lower().startswith(GROUP_SCHEMA.lower() + ":"):
        attribute = attribute[len(GROUP_SCHEMA) + 1 :]
    name = GROUP_SPELLING.get(attribute.lower(), attribute)
    if name == "members":
        members.append(_member_operation(operation))
    elif path.filter is not None or path.sub is not None:
        raise InvalidPathError(f"{name} has no elements")
    elif name in _READ_ONLY:
        raise MutabilityError(f"{name} cannot be changed")
    elif operation.op is Op.REMOVE:
        if name != "externalId":
            raise MutabilityError(f"{name} cannot be removed")
        names[name] = ""
    else:
        names[name] = _name(name, operation.value)


def _name(name: str, value: object) -> str | None:
    match name:
        case "displayName":
            return required_text(value, name)
        case "externalId":
            return optional_text(value, name) or ""
        case _:
            raise InvalidPathError(f"a group has no attribute {name[:100]!r}")


def _member_operation(operation: Operation) -> MemberOperation:
    path = operation.path
    if path is not None and path.filter is not None:
        return _filtered(operation, path.filter, path.sub)
    verb = Verb(operation.op.value)
    if operation.op is Op.REMOVE and not operation.has_value:
        return MemberOperation(Verb.REPLACE, {})  # all of them (RFC 7644 §3.5.2.2)
    if operation.value is None:
        raise InvalidValueError("members with a null value are ambiguous: send a list")
    return MemberOperation(verb, members_from(operation.value))


def _filtered(
    operation: Operation, conditions: tuple[Comparison, ...], sub: str | None
) -> MemberOperation:
    """`members[value eq "…"]`: only for removal is it clear what is meant."""
    if operation.op is not Op.REMOVE or sub is not None:
        raise InvalidPathError("members[…] can be removed only")
    condition = conditions[0]
    if (
        len(conditions) != 1
        or condition.path.attribute.lower() != "value"
        or condition.path.filter is not None
        or not isinstance(condition.value, str)
    ):
        raise InvalidPathError('members are chosen by members[value eq "…"] only')
    return MemberOperation(Verb.REMOVE, members_from([condition.value]))
