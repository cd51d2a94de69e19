"""Pure: add, replace and remove at a target of a user (RFC 7644 §3.5.2.1 to §3.5.2.3).

Values are brought into the form in which they are kept before they are compared with what is
there, so that adding what is there changes nothing. Null removes.
"""

from collections.abc import Mapping
from typing import Any

from scim_gateway.attribute_values import (
    bounded,
    checked,
    checked_attributes,
    checked_elements,
    unknown,
)
from scim_gateway.errors import (
    InvalidPathError,
    InvalidValueError,
    MutabilityError,
    NoTargetError,
)
from scim_gateway.patch_elements import (
    add_elements,
    change_chosen,
    chosen_elements,
    remove_chosen,
    remove_listed,
)
from scim_gateway.patch_operations import Op
from scim_gateway.patch_targets import Target, held_name, spelled, spelled_sub, within


def apply(resource: dict[str, Any], target: Target, op: Op, value: Any) -> None:
    """Changes the resource in place; the caller throws it away if this raises.

    Raises InvalidPathError, InvalidValueError, NoTargetError or MutabilityError.
    """
    if target.is_read_only:
        raise MutabilityError(f"{target.label} is set by the server: leave it out")
    if target.name is None:
        _apply_to_all(resource, target, op, value)
        return
    container = _container(resource, target.extension)
    name = spelled(target, container)
    after = _after(target, container.get(name), op, value)
    if after not in (None, [], {}):
        container[name] = after
    elif target.definition is not None and target.definition.required:
        raise MutabilityError(f"{target.label} cannot be removed: replace it")
    else:
        container.pop(name, None)
    if target.extension is not None and not container:
        del resource[target.extension]


def _container(resource: dict[str, Any], extension: str | None) -> dict[str, Any]:
    """The object that holds the attribute."""
    if extension is None:
        return resource
    container = resource.setdefault(extension, {})
    if not isinstance(container, dict):
        raise InvalidPathError(f"{extension[:100]} holds no attributes")
    return container


def _after(target: Target, held: Any, op: Op, value: Any) -> Any:
    """What the attribute holds afterwards; nothing in it means that it is unassigned."""
    if _is_multi_valued(target, held, value):
        return _elements_after(target, list(held or []), op, value)
    if target.condition is not None:
        raise InvalidPathError(f"{target.label} has no elements to choose from")
    if target.sub is not None:
        return _object_after(target, held, op, value)
    return _value_after(target, held, op, value)


def _apply_to_all(resource: dict[str, Any], target: Target, op: Op, value: Any) -> None:
    """A whole extension, or the resource itself by the URN of its schema."""
    if op is Op.REMOVE or value is None:
        if target.extension is None:
            raise NoTargetError("remove needs the path of an attribute")
        resource.pop(target.extension, None)
        return
    if not isinstance(value, Mapping):
        raise InvalidValueError(f"{target.label or 'the value'} must be an object of attributes")
    for name, inner in value.items():
        part = within(target, name)
        if not part.is_read_only:
            apply(resource, part, op, inner)


def _is_multi_valued(target: Target, held: Any, value: Any) -> bool:
    if target.definition is not None:
        return target.definition.multi_valued
    if held is None:
        return target.condition is not None or (target.sub is None and isinstance(value, list))
    return isinstance(held, list)


def _value_after(target: Target, held: Any, op: Op, value: Any) -> Any:
    """A single value: add and replace are the same, and an object is merged into the one there."""
    if op is Op.REMOVE or value is None:
        return None
    definition = target.definition
    if definition is None:
        new = unknown(value, target.label)
        both_objects = isinstance(held, dict) and isinstance(new, dict)
        return _merged(held, new) if both_objects else new
    if not definition.is_complex or not isinstance(value, Mapping):
        return checked(definition, value, target.label)
    present = {name: one for name, one in value.items() if one is not None}
    absent = dict.fromkeys(value.keys() - present.keys())
    new = checked_attributes(definition.subs, present, target.label + ".")
    return _settled(_merged(held or {}, absent | new))


def _object_after(target: Target, held: Any, op: Op, value: Any) -> Any:
    """One sub-attribute of an object."""
    known = target.definition is None or target.definition.is_complex
    if not known or not (held is None or isinstance(held, dict)):
        raise InvalidPathError(f"{target.label}: there is no such sub-attribute")
    new = None if op is Op.REMOVE else _sub_value(target, value)
    after = _merged(held or {}, {spelled_sub(target, held or {}): new})
    return after if target.definition is None else _settled(after)


def _merged(held: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The object with some of its attributes set; null takes one away."""
    after = dict(held)
    for name, value in new.items():
        if value is None:
            after.pop(held_name(after, name), None)
        else:
            after[held_name(after, name)] = value
    return after


def _settled(value: dict[str, Any]) -> dict[str, Any]:
    """Nothing at all where the value was taken away by an empty text, as for a manager."""
    return {} if value.get("value") == "" else value


def _elements_after(target: Target, held: list[Any], op: Op, value: Any) -> list[Any]:
    held = [dict(one) if isinstance(one, dict) else one for one in held]
    if target.condition is None and target.sub is None:
        after = _all_elements_after(target, held, op, value)
    else:
        after = _chosen_elements_after(target, held, op, value)
    bounded(after, target.label)
    return after


def _all_elements_after(target: Target, held: list[Any], op: Op, value: Any) -> list[Any]:
    if op is Op.REMOVE and value is None:
        return []
    if value is None:
        return held if op is Op.ADD else []  # adding nothing takes nothing away
    if target.definition is not None:
        new: list[Any] = checked_elements(target.definition, value, target.label)
    else:
        new = list(unknown(value if isinstance(value, list) else [value], target.label))
    bounded(new, target.label)
    match op:
        case Op.ADD:
            return add_elements(held, new, target.label)
        case Op.REMOVE:
            return remove_listed(held, new)
        case Op.REPLACE:
            return new


def _chosen_elements_after(target: Target, held: list[Any], op: Op, value: Any) -> list[Any]:
    removes = op is Op.REMOVE or value is None
    chosen = chosen_elements(target, held, create=not removes)
    if removes:
        return remove_chosen(target, held, chosen)
    held += [one for one in chosen if not any(one is other for other in held)]
    if target.sub is not None:
        new = _sub_value(target, value)
        return change_chosen(
            held, chosen, lambda one: one | {spelled_sub(target, one): new}, target.label
        )
    if target.definition is not None:
        element: Any = next(iter(checked_elements(target.definition, [value], target.label)), None)
    else:
        element = unknown(value, target.label)
    if not isinstance(element, Mapping) or not element:
        raise InvalidValueError(f"an element of {target.label} must be an object that is not empty")
    if op is Op.REPLACE:
        return change_chosen(held, chosen, lambda _: dict(element), target.label)
    return change_chosen(held, chosen, lambda one: one | dict(element), target.label)


def _sub_value(target: Target, value: Any) -> Any:
    definition = target.sub_definition
    if definition is None:
        return unknown(value, target.label)
    return checked(definition, value, target.label)
