"""Pure: the envelope of a PATCH request (RFC 7644 §3.5.2), for users and groups alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from scim_gateway.errors import InvalidFilterError, InvalidPathError, InvalidSyntaxError
from scim_gateway.filters import Path, parse_path

MAX_OPERATIONS = 10_000


class Op(Enum):
    """What an operation does."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; `has_value` tells an absent value from null."""

    op: Op
    path: Path | None
    value: Any
    has_value: bool


def parse_operations(body: Mapping[str, Any]) -> list[Operation]:
    """The operations of a PatchOp, in order. Raises InvalidSyntaxError or InvalidPathError."""
    given = {name.lower(): value for name, value in body.items()}
    operations = given.get("operations")
    if not isinstance(operations, list) or not operations:
        raise InvalidSyntaxError("a PATCH needs a list of Operations")
    if len(operations) > MAX_OPERATIONS:
        raise InvalidSyntaxError(f"a PATCH may have {MAX_OPERATIONS} operations")
    return [_operation(one) for one in operations]


def _operation(one: object) -> Operation:
    if not isinstance(one, Mapping):
        raise InvalidSyntaxError("each of Operations must be an object")
    given = {name.lower(): value for name, value in one.items()}
    name = given.get("op")
    try:
        op = Op(name.lower()) if isinstance(name, str) else None
    except ValueError:
        op = None
    if op is None:
        raise InvalidSyntaxError("op must be add, remove or replace")
    if op is not Op.REMOVE and "value" not in given:
        raise InvalidSyntaxError(f"{op.value} needs a value")
    return Operation(op, _path(given.get("path")), given.get("value"), "value" in given)


def _path(text: object) -> Path | None:
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise InvalidPathError("path must be a string")
    try:
        return parse_path(text)
    except InvalidFilterError:
        raise InvalidPathError(f"the path {text[:100]!r} is not understood") from None
