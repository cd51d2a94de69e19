"""Pure: the envelope of a PATCH request (RFC 7644 §3.5.2), for users and groups alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from scim_gateway.errors import (
    InvalidFilterError,
    InvalidPathError,
    InvalidSyntaxError,
    InvalidValueError,
)
from scim_gateway.filter_grammar import PatchPath, parse_path

MAX_OPERATIONS = 10_000
PATCH_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


class Op(Enum):
    """What an operation does."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; `has_value` tells an absent value from null."""

    op: Op
    path: PatchPath | None
    value: Any
    has_value: bool


def parse_operations(body: Mapping[str, Any], most: int = MAX_OPERATIONS) -> list[Operation]:
    """The operations of a PatchOp, in order.

    `schemas` may be left out, as some clients do; what names another message is refused. Raises
    InvalidSyntaxError, InvalidValueError or InvalidPathError.
    """
    given = {name.lower(): value for name, value in body.items()}
    schemas = given.get("schemas")
    if schemas is not None and not _names_this_message(schemas):
        raise InvalidSyntaxError(f'schemas of a PATCH must be ["{PATCH_SCHEMA}"]')
    operations = given.get("operations")
    if not isinstance(operations, list) or not operations:
        raise InvalidSyntaxError("a PATCH needs a list of Operations")
    if len(operations) > most:
        raise InvalidSyntaxError(f"a PATCH may have {most} operations here: send several requests")
    return [_operation(one) for one in operations]


def path_of(text: str) -> PatchPath:
    """A path, or a name that stands for one. Raises InvalidPathError."""
    try:
        return parse_path(text)
    except InvalidFilterError as error:
        raise InvalidPathError(f"the path {text[:100]!r}: {error}") from None


def _names_this_message(schemas: object) -> bool:
    listed = schemas if isinstance(schemas, list) else [schemas]
    return any(isinstance(one, str) and one.lower() == PATCH_SCHEMA.lower() for one in listed)


def _operation(one: object) -> Operation:
    if not isinstance(one, Mapping):
        raise InvalidSyntaxError("each of Operations must be an object with an op")
    given = {name.lower(): value for name, value in one.items()}
    name = given.get("op")
    try:
        op = Op(name.lower()) if isinstance(name, str) else None
    except ValueError:
        op = None
    if op is None:
        raise InvalidSyntaxError("op must be add, remove or replace")
    if op is not Op.REMOVE and "value" not in given:
        raise InvalidValueError(f"{op.value} needs a value: null takes an attribute away")
    path = given.get("path")
    if path is not None and not isinstance(path, str):
        raise InvalidPathError("path must be a string")
    return Operation(op, path_of(path) if path else None, given.get("value"), "value" in given)
