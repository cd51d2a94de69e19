"""A naive model of searching: filters evaluated over resources as clients read them.

Slow and plain on purpose: one rule of RFC 7644 §3.4.2.2 after another, over dictionaries.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from scim_gateway.filter_grammar import (
    And,
    Attribute,
    Comparison,
    Elements,
    Filter,
    Not,
    Operator,
    Or,
    Present,
)
from scim_gateway.schemas import SCHEMAS

Resource = Mapping[str, Any]
_TIMES = {"created", "lastmodified"}
_EXACT = {"externalid", "resourcetype", "version", "location"}


def matches(tree: Filter, resource: Resource) -> bool:
    """Whether the filter finds the resource."""
    match tree:
        case And(parts):
            return all(matches(one, resource) for one in parts)
        case Or(parts):
            return any(matches(one, resource) for one in parts)
        case Not(inner):
            return not matches(inner, resource)
        case Present(attribute):
            return any(_filled(value) for value in _values(resource, attribute))
        case Elements(attribute, condition):
            elements = _values(resource, attribute)
            subs = _definition(resource, attribute).get("subAttributes", [])
            return any(_element_matches(condition, one, subs) for one in elements)
        case Comparison(attribute, operator, value):
            held = _values(resource, attribute)
            definition = _definition(resource, attribute)
            if definition["type"] in {"complex", "any"} and value is not None:
                held = [_value_of(one) for one in held]
                held = [one for inner in held for one in _listed(inner)]
                subs = definition.get("subAttributes", [])
                definition = next((s for s in subs if s["name"] == "value"), definition)
            return _compared(operator, held, value, definition)


def _element_matches(tree: Filter, element: Any, subs: list[Any]) -> bool:
    match tree:
        case And(parts):
            return all(_element_matches(one, element, subs) for one in parts)
        case Or(parts):
            return any(_element_matches(one, element, subs) for one in parts)
        case Not(inner):
            return not _element_matches(inner, element, subs)
        case Present(attribute):
            return any(_filled(value) for value in _listed(_named(element, attribute.name)))
        case Comparison(attribute, operator, value):
            name = attribute.name.lower()
            definition = next((s for s in subs if s["name"].lower() == name), {"type": "any"})
            held = _listed(_named(element, attribute.name))
            return _compared(operator, held, value, definition)
        case _:
            raise AssertionError("no element has elements")


def _compared(operator: Operator, held: list[Any], wanted: Any, definition: Any) -> bool:
    if wanted is None:
        filled = any(_filled(one) for one in held)
        return filled if operator is Operator.NE else not filled
    if operator is Operator.NE:
        return not held or any(not _test(Operator.EQ, one, wanted, definition) for one in held)
    return any(_test(operator, one, wanted, definition) for one in held)


def _test(operator: Operator, held: Any, wanted: Any, definition: Any) -> bool:
    if definition["type"] == "dateTime":
        held, wanted = datetime.fromisoformat(held), datetime.fromisoformat(wanted)
    elif isinstance(wanted, bool) or definition["type"] == "boolean":
        return isinstance(held, bool | str) and str(held).lower() == str(wanted).lower()
    elif isinstance(wanted, str):
        if not isinstance(held, str):
            return False
        if not definition.get("caseExact", False):
            held, wanted = held.casefold(), wanted.casefold()
    elif isinstance(held, bool) or not isinstance(held, int | float):
        return False
    return _OPERATORS[operator](held, wanted)


def _values(resource: Resource, attribute: Attribute) -> list[Any]:
    container: Any = resource
    if attribute.urn is None and attribute.name.lower() == "email":
        # Okta's name for the address that identifies a user.
        addresses = sorted(resource.get("emails", []), key=lambda one: not one.get("primary"))
        return [one["value"] for one in addresses][:1]
    if attribute.urn is not None and ":core:" not in attribute.urn:
        container = _named(resource, attribute.urn)
    elif attribute.urn is None and _named(resource, attribute.name) is None:
        # A name that clients use without the URN that belongs to it.
        container = _named(resource, _ENTERPRISE) if attribute.name in _UNPREFIXED else resource
    found = _listed(_named(container, attribute.name))
    if attribute.sub is None:
        return found
    return [value for one in found for value in _listed(_named(one, attribute.sub))]


_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
_UNPREFIXED = {"manager", "department", "employeeNumber"}


def _definition(resource: Resource, attribute: Attribute) -> Any:
    """The definition in the schemas that are served; of what none describes, type "any"."""
    kind = "Group" if resource["meta"]["resourceType"] == "Group" else "User"
    urns = [f"urn:ietf:params:scim:schemas:core:2.0:{kind}", _ENTERPRISE]
    if attribute.urn is not None:
        urns = [urn for urn in urns if urn.lower() == attribute.urn.lower()]
    name = attribute.name.lower()
    for urn in urns:
        for one in SCHEMAS[urn]["attributes"]:
            if one["name"].lower() == name:
                if attribute.sub is None:
                    return one
                return next(
                    s for s in one["subAttributes"] if s["name"].lower() == attribute.sub.lower()
                )
    return _common_definition(name, None if attribute.sub is None else attribute.sub.lower())


def _common_definition(name: str, sub: str | None) -> Any:
    """Of what is in no schema: common attributes, and those of unknown extensions."""
    if name == "meta" and sub is None:
        return {"type": "complex"}
    if (sub or name) in _TIMES:
        return {"type": "dateTime"}
    if name in {"id", "schemas", "email"}:
        return {"type": "string"}
    return {"type": "string", "caseExact": True} if (sub or name) in _EXACT else {"type": "any"}


def _named(container: Any, name: str) -> Any:
    if not isinstance(container, Mapping):
        return container if name.lower() == "value" else None
    if name in container:
        return container[name]
    return next((value for held, value in container.items() if held.lower() == name.lower()), None)


def _value_of(one: Any) -> Any:
    return _named(one, "value") if isinstance(one, Mapping) else one


def _listed(value: Any) -> list[Any]:
    listed = value if isinstance(value, list) else [value]
    return [one for one in listed if one is not None]


_OPERATORS: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQ: lambda held, wanted: bool(held == wanted),
    Operator.CO: lambda held, wanted: wanted in held,
    Operator.SW: lambda held, wanted: bool(held.startswith(wanted)),
    Operator.EW: lambda held, wanted: bool(held.endswith(wanted)),
    Operator.GT: lambda held, wanted: bool(held > wanted),
    Operator.GE: lambda held, wanted: bool(held >= wanted),
    Operator.LT: lambda held, wanted: bool(held < wanted),
    Operator.LE: lambda held, wanted: bool(held <= wanted),
}


def _filled(value: Any) -> bool:
    return value not in ("", [], {}) or isinstance(value, bool) or value == 0
