"""Pure: values of attributes, brought into the form in which they are kept, or refused.

Lenient where clients are known to be: booleans as text, one object where a list belongs, a list of
one where an object belongs, bare text for an object's `value`, and null for what is unassigned
(RFC 7643 §2.5). Everything else that does not fit its definition is refused with the attribute's
name and the remedy.
"""

from collections.abc import Mapping
from typing import Any

from scim_gateway.attributes import boolean
from scim_gateway.definitions import Definition, Definitions
from scim_gateway.errors import InvalidSyntaxError, InvalidValueError

# Of one multi-valued attribute, in the user's object and in what a PATCH makes of it.
MAX_ELEMENTS = 100
# Objects and lists inside an attribute that we know nothing about.
MAX_NESTING = 8


def checked(definition: Definition, value: object, label: str) -> Any:
    """The value as it is kept; None for what is unassigned. Raises InvalidValueError."""
    if value is None:
        return None
    if definition.multi_valued:
        return checked_elements(definition, value, label) or None
    if definition.is_complex:
        return _checked_object(definition, value, label)
    if definition.kind == "boolean":
        return boolean(value, label)
    if not isinstance(value, str):
        raise InvalidValueError(f"{label} must be a string: send it in quotation marks")
    return value


def checked_elements(definition: Definition, value: object, label: str) -> list[dict[str, Any]]:
    """The elements of a multi-valued attribute. Raises InvalidValueError.

    At most one of them is primary (RFC 7643 §2.4).
    """
    if isinstance(value, str | Mapping):
        value = [value]
    if not isinstance(value, list):
        raise InvalidValueError(f"{label} must be a list of objects")
    bounded(value, label)
    elements = [_element(definition, one, label) for one in value if one is not None]
    if sum(one.get("primary") is True for one in elements) > 1:
        raise InvalidValueError(f"only one of {label} may be primary: send true once")
    return [one for one in elements if one]


def checked_attributes(
    definitions: Definitions, body: Mapping[str, Any], prefix: str = ""
) -> dict[str, Any]:
    """An object's attributes, spelled as defined; unknown ones are kept as they are.

    Without null, and without what is readOnly (RFC 7644 §3.3). Raises InvalidValueError, or
    InvalidSyntaxError if a name is there twice.
    """
    result: dict[str, Any] = {}
    seen: set[str] = set()
    for name, value in body.items():
        folded = name.lower()
        if folded in seen:
            raise InvalidSyntaxError(f"{prefix}{name[:100]} is there twice: send it once")
        seen.add(folded)
        definition = definitions.get(folded)
        if definition is None:
            kept = unknown(value, prefix + name[:100])
        elif definition.read_only:
            continue
        else:
            kept = checked(definition, value, prefix + definition.name)
        if kept is not None:
            result[definition.name if definition else name] = kept
    return result


def unknown(value: Any, label: str, most: int = MAX_NESTING) -> Any:
    """A value that no schema describes, as it is. Raises InvalidValueError if it nests deeply."""
    level: list[Any] = [value]
    for _ in range(most + 1):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return value
    raise InvalidValueError(f"{label} nests more than {most} deep: flatten it")


def bounded(elements: list[Any], label: str) -> None:
    """Raises InvalidValueError if there are more elements than are kept."""
    if len(elements) > MAX_ELEMENTS:
        raise InvalidValueError(f"{label} may have {MAX_ELEMENTS} elements: send fewer")


def _element(definition: Definition, value: object, label: str) -> dict[str, Any]:
    if isinstance(value, str) and "value" in definition.subs:
        value = {"value": value}
    if not isinstance(value, Mapping):
        raise InvalidValueError(f'each of {label} must be an object such as {{"value": "…"}}')
    return checked_attributes(definition.subs, value, label + ".")


def _checked_object(definition: Definition, value: object, label: str) -> dict[str, Any] | None:
    """One object. Clients send a manager as list of one or as text, empty to take it away."""
    if isinstance(value, list) and len(value) <= 1:
        value = value[0] if value else None
    if isinstance(value, str) and "value" in definition.subs:
        value = {"value": value}
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidValueError(f"{label} must be an object of attributes")
    attributes = checked_attributes(definition.subs, value, label + ".")
    return None if attributes.get("value") == "" else attributes or None
