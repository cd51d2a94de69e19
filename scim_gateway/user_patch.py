"""Pure: PATCH on a user (RFC 7644 §3.5.2)."""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

from scim_gateway.attribute_values import MAX_NESTING, unknown
from scim_gateway.attributes import USER_SCHEMA
from scim_gateway.errors import InvalidValueError, MutabilityError, NoTargetError
from scim_gateway.patch_operations import Op, Operation, parse_operations
from scim_gateway.patch_targets import Target, target_named, target_of
from scim_gateway.patching import apply
from scim_gateway.user_document import is_urn, user_document

# A user is a small document, which every operation may read: both are bounded.
MAX_USER_OPERATIONS = 1_000
_MAX_BYTES = 262_144
_SCHEMAS = "schemas"
_PASSWORD = "password"  # noqa: S105 - the attribute's name


def user_operations(body: Mapping[str, Any]) -> list[Operation]:
    """The operations of a PATCH on a user.

    Raises InvalidSyntaxError, InvalidValueError or InvalidPathError.
    """
    operations = parse_operations(body, MAX_USER_OPERATIONS)
    values = unknown([one.value for one in operations], "the value", MAX_NESTING + 4)
    if len(json.dumps(values)) > _MAX_BYTES:
        raise InvalidValueError(f"the values of a PATCH on a user may have {_MAX_BYTES} bytes")
    return operations


def patched(resource: Mapping[str, Any], operations: Sequence[Operation]) -> dict[str, Any]:
    """A copy of the user's object with the operations applied in order.

    Nothing is changed in part. Raises InvalidPathError, InvalidValueError, NoTargetError or
    MutabilityError.
    """
    result = copy.deepcopy(dict(resource))
    for operation in operations:
        if operation.path is not None:
            target = target_of(operation.path, result)
            _apply_at(result, target, operation)
        else:
            _apply_without_path(result, operation)
    return user_document(result)


def _apply_at(resource: dict[str, Any], target: Target, operation: Operation) -> None:
    if target.extension is None and target.name is not None:
        name = target.name.lower()
        if name == _SCHEMAS:
            _check_schemas(resource, operation)
            return
        if name == _PASSWORD:
            return  # accepted and never kept, as in a user's object
    apply(resource, target, operation.op, operation.value)


def _apply_without_path(resource: dict[str, Any], operation: Operation) -> None:
    """The value is an object whose names are paths, possibly dotted or below a schema's URN.

    What is readOnly in it is ignored: clients send back what they read.
    """
    if operation.op is Op.REMOVE:
        raise NoTargetError("remove needs a path")
    if not isinstance(operation.value, Mapping):
        raise InvalidValueError(f"{operation.op.value} without a path needs an object as value")
    for name, value in operation.value.items():
        target = target_named(name, value, resource)
        if not target.is_read_only:
            _apply_at(resource, target, Operation(operation.op, None, value, True))


def _check_schemas(resource: Mapping[str, Any], operation: Operation) -> None:
    """`schemas` follows from the extensions that are there: it may be said, but not changed."""
    if operation.op is not Op.REMOVE:
        given = operation.value if isinstance(operation.value, list) else [operation.value]
        if not all(isinstance(one, str) and is_urn(one) for one in given):
            raise InvalidValueError("schemas must be a list of URNs")
        present = {USER_SCHEMA.lower(), *(name.lower() for name in resource if is_urn(name))}
        if operation.op is Op.ADD or present <= {one.lower() for one in given}:
            return
    raise MutabilityError("schemas follows from the extensions: remove the extension by its URN")
