"""Pure: the elements of a multi-valued attribute, and what a PATCH does to some of them.

Every function returns what is there afterwards. Elements are told apart by identity, so that equal
ones are not confused; who changes a list hands in copies.
"""

import json
from collections.abc import Callable
from typing import Any

from scim_gateway.attribute_values import checked
from scim_gateway.errors import InvalidPathError, InvalidValueError, NoTargetError
from scim_gateway.filter_grammar import And, Comparison, Filter, Operator
from scim_gateway.filter_matching import element_matches, same
from scim_gateway.patch_targets import Target, held_name


def chosen_elements(target: Target, held: list[Any], *, create: bool) -> list[Any]:
    """Those that the path selects; with `create`, a new one where it selects none.

    `emails[type eq "work"].value` makes the address with its type: RFC 7644 §3.5.2.3 would have
    noTarget, but Entra ID fills in addresses and telephone numbers this way. Raises NoTargetError
    where the filter does not say what to make.
    """
    if target.condition is None:
        if len(held) > 1:
            raise NoTargetError(f"{target.label} needs a filter that says which of them is meant")
        return held[:1] or ([{}] if create else [])
    condition = target.condition
    chosen = [one for one in held if element_matches(condition, one)]
    return chosen or ([_made(target, condition)] if create else [])


def add_elements(held: list[Any], new: list[Any], label: str) -> list[Any]:
    """Those there and the new ones. Of one value and type there is one (RFC 7643 §2.4)."""
    after = list(held)
    by_key = {_key(one): one for one in after}
    primary = []
    for one in new:
        present = by_key.setdefault(_key(one), one)
        if present is one:
            after.append(one)
        elif isinstance(present, dict):
            present.update(one)
        if isinstance(one, dict) and one.get("primary") is True:
            primary.append(present)
    _settle_primary(after, primary, label)
    return after


def remove_listed(held: list[Any], listed: list[Any]) -> list[Any]:
    """Those there without the ones listed: Entra ID removes by a value, not by a filter."""
    return [one for one in held if not any(_is_described(one, given) for given in listed)]


def remove_chosen(target: Target, held: list[Any], chosen: list[Any]) -> list[Any]:
    """Without the chosen ones or, if the path goes on, without that sub-attribute of theirs.

    An element without its value would be of no use: it goes with it.
    """
    ids = {id(one) for one in chosen}
    if target.sub is None or target.sub.lower() == "value":
        return [one for one in held if id(one) not in ids]
    for one in chosen:
        if isinstance(one, dict):
            one.pop(held_name(one, target.sub), None)
    return [one for one in held if one not in ({}, "")]


def change_chosen(
    held: list[Any], chosen: list[Any], change: Callable[[dict[str, Any]], Any], label: str
) -> list[Any]:
    """Those there, the chosen ones changed; a new primary takes the place of the old."""
    ids = {id(one) for one in chosen}
    after: list[Any] = []
    touched: list[Any] = []
    for one in held:
        if id(one) not in ids:
            after.append(one)
            continue
        if not isinstance(one, dict):
            raise InvalidPathError(f"the elements of {label} have no attributes")
        changed = change(one)
        if changed not in touched:
            touched.append(changed)
            after.append(changed)
    _settle_primary(after, touched, label)
    return after


def _settle_primary(elements: list[Any], touched: list[Any], label: str) -> None:
    """One that became primary ends the others' being it (RFC 7644 §3.5.2)."""
    primary = [one for one in touched if isinstance(one, dict) and one.get("primary") is True]
    distinct = {id(one) for one in primary}
    if len(distinct) > 1:
        raise InvalidValueError(f"only one of {label} may be primary: choose one")
    others = [one for one in elements if isinstance(one, dict) and id(one) not in distinct]
    for one in others if distinct else ():
        if one.get("primary") is True:
            one["primary"] = False


def _key(element: Any) -> str:
    if isinstance(element, dict) and "value" in element:
        element = [element["value"], element.get("type")]
    return json.dumps(element, sort_keys=True)


def _is_described(element: Any, given: Any) -> bool:
    if not isinstance(element, dict) or not isinstance(given, dict):
        return same(element, given)
    return all(same(element.get(held_name(element, name)), value) for name, value in given.items())


def _made(target: Target, condition: Filter) -> dict[str, Any]:
    """The element that a filter of equalities describes."""
    refused = NoTargetError(
        f'{target.label}: nothing matches, and only a filter such as type eq "work" makes one'
    )
    made: dict[str, Any] = {}
    for one in condition.parts if isinstance(condition, And) else (condition,):
        if (
            not isinstance(one, Comparison)
            or one.operator is not Operator.EQ
            or one.value is None
            or one.attribute.urn is not None
            or one.attribute.sub is not None
        ):
            raise refused
        name, value = one.attribute.name, one.value
        if target.definition is not None:
            known = target.definition.subs.get(name.lower())
            if known is None:
                raise refused
            name, value = known.name, checked(known, value, f"{target.label}.{known.name}")
        made[name] = value
    if not element_matches(condition, made):
        raise refused
    return made
