"""Pure: PATCH on a user (RFC 7644 §3.5.2), in the forms that Okta and Entra ID send."""

import copy
from collections.abc import Mapping
from typing import Any

from scim_gateway.attributes import ENTERPRISE_SCHEMA, USER_SCHEMA, USER_SPELLING
from scim_gateway.errors import (
    InvalidFilterError,
    InvalidPathError,
    InvalidValueError,
    MutabilityError,
    NoTargetError,
)
from scim_gateway.filters import Comparison, Path, parse_path
from scim_gateway.patch_operations import Op, Operation

_MULTI_VALUED = frozenset(
    {
        *("emails", "phoneNumbers", "ims", "photos", "addresses"),
        *("entitlements", "roles", "x509Certificates"),
    }
)
_READ_ONLY = frozenset({"id", "meta", "groups", "schemas"})
_MANAGER = "manager"


def patched(resource: Mapping[str, Any], operations: list[Operation]) -> dict[str, Any]:
    """A copy of the user with the operations applied in order; nothing is changed in part.

    Raises InvalidPathError, InvalidValueError, NoTargetError or MutabilityError.
    """
    result = copy.deepcopy(dict(resource))
    for operation in operations:
        if operation.path is None:
            _apply_without_path(result, operation)
        else:
            _apply(result, operation.op, operation.path, operation.value)
    if "active" not in result:
        raise InvalidValueError("active cannot be removed: replace it with false")
    return result


def _apply_without_path(resource: dict[str, Any], operation: Operation) -> None:
    """The value is an object whose names are paths, possibly dotted or under a schema's URN."""
    if operation.op is Op.REMOVE:
        raise NoTargetError("remove needs a path")
    if not isinstance(operation.value, Mapping):
        raise InvalidValueError(f"{operation.op.value} without a path needs an object as value")
    for name, value in operation.value.items():
        try:
            path = parse_path(name)
        except InvalidFilterError:
            raise InvalidPathError(f"the name {name[:100]!r} is not understood") from None
        if path.attribute.lower() in _LOWER_READ_ONLY:
            continue  # clients send back what they read (RFC 7644 §3.5.1 for PUT)
        _apply(resource, operation.op, path, value)


def _apply(resource: dict[str, Any], op: Op, path: Path, value: Any) -> None:
    container, attribute = _container(resource, path.attribute)
    name, _, sub = attribute.partition(".")
    name = _spelled(container, name)
    if container is resource and name in _READ_ONLY:
        raise MutabilityError(f"{name} cannot be changed")
    if value is None and op is not Op.REMOVE:
        op = Op.REMOVE  # null and absent are the same (RFC 7643 §2.5)
    if path.filter is not None:
        _apply_to_elements(container, name, op, path, value)
    elif sub:
        _apply_to_sub_attribute(container, name, sub, op, value)
    elif op is Op.REMOVE:
        container.pop(name, None)
    else:
        _set(container, name, op, value)
    _drop_empty_extensions(resource)


def _container(resource: dict[str, Any], attribute: str) -> tuple[dict[str, Any], str]:
    """The object that holds the attribute, and the attribute's name in it."""
    if not attribute.lower().startswith("urn:"):
        return resource, attribute
    if attribute.lower().startswith(USER_SCHEMA.lower() + ":"):
        return resource, attribute[len(USER_SCHEMA) + 1 :]
    known = {ENTERPRISE_SCHEMA, *(name for name in resource if name.lower().startswith("urn:"))}
    for urn in known:
        if attribute.lower() == urn.lower():
            return resource, urn.replace(".", _DOT)
        if attribute.lower().startswith(urn.lower() + ":"):
            return _extension(resource, urn), attribute[len(urn) + 1 :]
    urn, _, name = attribute.rpartition(":")
    if urn.count(":") < 2 or not name:
        raise InvalidPathError(f"{attribute[:100]!r} names no attribute of an extension")
    return _extension(resource, urn), name


# Keeps the dot of `2.0` in a URN from being read as a sub-attribute's.
_DOT = "\x1f"


def _extension(resource: dict[str, Any], urn: str) -> dict[str, Any]:
    held = resource.setdefault(_spelled(resource, urn), {})
    if not isinstance(held, dict):
        raise InvalidPathError(f"{urn} does not hold attributes")
    return held


def _spelled(container: Mapping[str, Any], name: str) -> str:
    """The name as it is spelled already, or as the schema spells it."""
    name = name.replace(_DOT, ".")
    for held in container:
        if held.lower() == name.lower():
            return held
    return USER_SPELLING.get(name.lower(), name)


def _set(container: dict[str, Any], name: str, op: Op, value: Any) -> None:
    held = container.get(name)
    if name.lower() == _MANAGER:
        value = _manager(value)
        if value is None:
            container.pop(name, None)
            return
    if name in _MULTI_VALUED and op is Op.ADD:
        container[name] = _with_added(held, value)
    elif isinstance(held, dict) and isinstance(value, Mapping):
        held.update({_spelled(held, inner): v for inner, v in value.items()})
    else:
        container[name] = value


def _manager(value: Any) -> Any:
    """A manager comes as object, as list of one, or as bare text; empty text takes it away."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return {"value": value} if value else None
    return value


def _with_added(held: Any, value: Any) -> list[Any]:
    """The elements held and the new ones; a new primary takes the place of the old."""
    present = list(held) if isinstance(held, list) else []
    for new in value if isinstance(value, list) else [value]:
        if new in present:
            continue
        if isinstance(new, Mapping) and new.get("primary") is True:
            for other in present:
                if isinstance(other, dict):
                    other.pop("primary", None)
        present.append(new)
    return present


def _apply_to_sub_attribute(
    container: dict[str, Any], name: str, sub: str, op: Op, value: Any
) -> None:
    held = container.get(name)
    if isinstance(held, list):
        # emails.value without a filter: unambiguous for one element only.
        if len(held) != 1 or not isinstance(held[0], dict):
            raise NoTargetError(f"{name}.{sub} needs a filter that says which of {name} is meant")
        held = held[0]
    if held is None:
        if op is Op.REMOVE:
            return
        held = container[name] = {}
    if not isinstance(held, dict):
        raise InvalidPathError(f"{name} has no {sub}")
    if op is Op.REMOVE:
        held.pop(_spelled(held, sub), None)
        if not held:
            container.pop(name)
    else:
        held[_spelled(held, sub)] = value


def _apply_to_elements(
    container: dict[str, Any],
    name: str,
    op: Op,
    path: Path,
    value: Any,
) -> None:
    conditions: tuple[Comparison, ...] = path.filter or ()
    sub = path.sub
    held = container.get(name, [])
    if not isinstance(held, list):
        raise InvalidPathError(f"{name} has no elements to choose from")
    chosen = [one for one in held if all(c.selects(one) for c in conditions)]
    if op is Op.REMOVE:
        _remove_from_elements(container, name, held, chosen, sub)
        return
    if not chosen:
        # Entra ID expects that a value which is not there yet is made, with its type.
        chosen = [{condition.path.attribute: condition.value for condition in conditions}]
        held = container[name] = [*held, *chosen]
    for element in chosen:
        if not isinstance(element, dict):
            raise InvalidPathError(f"the elements of {name} have no attributes")
        if sub is not None:
            element[_spelled(element, sub)] = value
        elif isinstance(value, Mapping):
            element.update({_spelled(element, inner): v for inner, v in value.items()})
        else:
            raise InvalidValueError(f"an element of {name} must be an object")


def _remove_from_elements(
    container: dict[str, Any], name: str, held: list[Any], chosen: list[Any], sub: str | None
) -> None:
    if sub is None or sub.lower() == "value":
        container[name] = [one for one in held if not any(one is gone for gone in chosen)]
        return
    for element in chosen:
        if isinstance(element, dict):
            element.pop(_spelled(element, sub), None)


def _drop_empty_extensions(resource: dict[str, Any]) -> None:
    for name in [n for n, held in resource.items() if n.lower().startswith("urn:") and held == {}]:
        del resource[name]


_LOWER_READ_ONLY = frozenset(name.lower() for name in _READ_ONLY)
