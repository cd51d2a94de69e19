"""PATCH on a user as RFC 7644 §3.5.2 tells it, in the plainest way: a reference for tests.

It shares no code with the gateway: paths and filters are values of its own, which it writes as
text for the gateway and evaluates by itself. Objects are copied at every step; nothing is fast.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
BADGE = "urn:example:params:scim:extension:1.0:Badge"
_ELEMENT = {"value": "text", "type": "text", "display": "text", "primary": "flag"}
_ADDRESS = {"formatted": "text", "locality": "text", "type": "text", "primary": "flag"}
_NAME = {"givenName": "text", "familyName": "text"}
_MANAGER = {"value": "text", "displayName": "text"}
# (schema, attribute): kind, and the kinds of its sub-attributes.
KINDS: dict[tuple[str, str], tuple[str, dict[str, str]]] = {
    ("", "title"): ("text", {}),
    ("", "nickName"): ("text", {}),
    ("", "userName"): ("text", {}),
    ("", "active"): ("flag", {}),
    ("", "name"): ("object", _NAME),
    ("", "emails"): ("list", _ELEMENT),
    ("", "roles"): ("list", _ELEMENT),
    ("", "addresses"): ("list", _ADDRESS),
    ("", "id"): ("ours", {}),
    ("", "meta"): ("ours", {}),
    ("", "groups"): ("ours", {}),
    (ENTERPRISE, "department"): ("text", {}),
    (ENTERPRISE, "manager"): ("object", _MANAGER),
    (BADGE, "colour"): ("any", {}),
}
_REQUIRED = {"userName", "active"}


class Refused(Exception):  # noqa: N818 - an outcome, not a fault
    """The request is refused, and the user stays as it was."""


@dataclass(frozen=True)
class Test:
    """A filter: `eq`, `sw` and `pr` on a sub-attribute; `and`, `or` and `not` on other filters."""

    __test__ = False  # no test case

    verb: str
    sub: str = ""
    value: Any = None
    parts: tuple["Test", ...] = ()

    def text(self) -> str:
        match self.verb:
            case "pr":
                return f"{self.sub} pr"
            case "not":
                return f"not ({self.parts[0].text()})"
            case "and" | "or":
                return "(" + f" {self.verb} ".join(one.text() for one in self.parts) + ")"
        return f"{self.sub} {self.verb} {json.dumps(self.value)}"

    def holds(self, element: dict[str, Any]) -> bool:
        held = element.get(self.sub)
        match self.verb:
            case "pr":
                return held is not None and held != ""
            case "not":
                return not self.parts[0].holds(element)
            case "and":
                return all(one.holds(element) for one in self.parts)
            case "or":
                return any(one.holds(element) for one in self.parts)
            case "sw":
                return isinstance(held, str) and held.lower().startswith(self.value.lower())
        return held is not None and str(held).lower() == str(self.value).lower()

    def equalities(self) -> list["Test"]:
        """Its comparisons if it says nothing but what is equal to what; else it is refused."""
        if self.verb == "and":
            return [one for part in self.parts for one in part.equalities()]
        if self.verb != "eq":
            raise Refused
        return [self]


@dataclass(frozen=True)
class Place:
    """Where an operation acts; without `name` on a whole extension."""

    schema: str
    name: str
    sub: str = ""
    test: Test | None = None


@dataclass(frozen=True)
class Step:
    """An operation at one place or, without a path, at several."""

    verb: str
    places: tuple[tuple[Place, Any], ...]
    has_path: bool
    has_value: bool = True


def expected(user: dict[str, Any], steps: Sequence[Step]) -> dict[str, Any]:
    """The user afterwards. Raises Refused."""
    for step in steps:
        if not step.has_path and step.verb == "remove":
            raise Refused
        for place, value in step.places:
            user = copy.deepcopy(user)
            ours = KINDS.get((place.schema, place.name), ("",))[0] == "ours"
            if ours and not step.has_path:
                continue
            _act(user, place, step.verb, value if step.has_value else None)
    return user


def _act(user: dict[str, Any], place: Place, verb: str, value: Any) -> None:
    gone = verb == "remove" or value is None
    if not place.name:
        _act_on_extension(user, place.schema, verb, None if gone else value)
        return
    holder = user.setdefault(place.schema, {}) if place.schema else user
    after = _after(holder.get(place.name), place, verb, value, gone=gone)
    if after not in (None, {}, []):
        holder[place.name] = after
    elif place.name in _REQUIRED:
        raise Refused
    else:
        holder.pop(place.name, None)
    if place.schema and not holder:
        del user[place.schema]


def _act_on_extension(user: dict[str, Any], schema: str, verb: str, value: Any) -> None:
    if value is None:
        user.pop(schema, None)
        return
    if not isinstance(value, dict):
        raise Refused
    for name, inner in value.items():
        _act(user, Place(schema, name), verb, inner)


def _after(held: Any, place: Place, verb: str, value: Any, *, gone: bool) -> Any:
    kind, subs = KINDS[place.schema, place.name]
    if kind == "list":
        return _act_on_list(held or [], subs, place, verb, value)
    if kind == "ours" or place.test is not None:
        raise Refused
    if kind == "object":
        return _act_on_object(held or {}, subs, place.sub, value, gone=gone)
    if place.sub:
        raise Refused
    return None if gone else _fit(kind, value)


def _act_on_object(
    held: dict[str, Any], subs: dict[str, str], sub: str, value: Any, *, gone: bool
) -> Any:
    if sub:
        given = {sub: None if gone else value}
    elif gone:
        return None
    elif isinstance(value, dict):
        given = value
    else:  # a list of one, or the bare value: not merged
        held = {}
        if isinstance(value, list):
            if len(value) > 1:
                raise Refused
            value = value[0] if value else {}
        if isinstance(value, str) and "value" in subs:
            value = {"value": value}
        if not isinstance(value, dict):
            raise Refused
        given = value
    after = dict(held)
    for name, inner in given.items():
        if inner is None:
            after.pop(name, None)
        else:
            after[name] = _fit(subs[name], inner)
    return None if after.get("value") == "" else after


def _act_on_list(
    held: list[dict[str, Any]], subs: dict[str, str], place: Place, verb: str, value: Any
) -> list[dict[str, Any]]:
    if place.test is None and not place.sub:
        return _act_on_whole_list(held, subs, verb, value)
    if place.test is None and len(held) > 1:
        raise Refused
    chosen = [place.test is None or place.test.holds(one) for one in held]
    if verb == "remove" or value is None:
        return _without_chosen(held, chosen, place.sub)
    if not any(chosen):
        held, chosen = [*held, _made(subs, place.test)], [*chosen, True]
    after: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    for one, is_chosen in zip(held, chosen, strict=True):
        new = _changed(one, subs, place.sub, verb, value) if is_chosen else one
        if is_chosen and new in changed:
            continue
        after.append(new)
        if is_chosen:
            changed.append(new)
    return _with_primary(after, [one for one in changed if one.get("primary") is True])


def _without_chosen(
    held: list[dict[str, Any]], chosen: list[bool], sub: str
) -> list[dict[str, Any]]:
    after = []
    for one, is_chosen in zip(held, chosen, strict=True):
        if not is_chosen:
            after.append(one)
        elif sub not in {"", "value"}:
            after.append({name: inner for name, inner in one.items() if name != sub})
    return [one for one in after if one]


def _made(subs: dict[str, str], test: Test | None) -> dict[str, Any]:
    new: dict[str, Any] = {}
    if test is None:
        return new
    for one in test.equalities():
        if one.sub not in subs:
            raise Refused
        new[one.sub] = _fit(subs[one.sub], one.value)
    if not test.holds(new):
        raise Refused
    return new


def _changed(
    one: dict[str, Any], subs: dict[str, str], sub: str, verb: str, value: Any
) -> dict[str, Any]:
    if sub:
        return one | {sub: _fit(subs[sub], value)}
    element = _element(subs, value)
    if not element:
        raise Refused
    return element if verb == "replace" else one | element


def _act_on_whole_list(
    held: list[dict[str, Any]], subs: dict[str, str], verb: str, value: Any
) -> list[dict[str, Any]]:
    if value is None:
        return held if verb == "add" else []
    if isinstance(value, str | dict):
        value = [value]
    if not isinstance(value, list):
        raise Refused
    given = [one for one in (_element(subs, one) for one in value if one is not None) if one]
    if len([one for one in given if one.get("primary") is True]) > 1:
        raise Refused
    if verb == "replace":
        return given
    if verb == "remove":
        return [one for one in held if not any(_is_like(one, other) for other in given)]
    after = list(held)
    first = []
    for one in given:
        twins = [n for n, other in enumerate(after) if _is_twin(one, other)]
        if twins:
            after[twins[0]] = after[twins[0]] | one
        else:
            after.append(one)
        if one.get("primary") is True:
            first = [after[twins[0] if twins else -1]]
    return _with_primary(after, first)


def _is_like(element: dict[str, Any], given: dict[str, Any]) -> bool:
    return all(str(element.get(n)).lower() == str(v).lower() for n, v in given.items())


def _is_twin(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if "value" not in one or "value" not in other:
        return one == other
    return (one["value"], one.get("type")) == (other["value"], other.get("type"))


def _with_primary(
    elements: list[dict[str, Any]], firsts: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """One that became primary ends the others' being it."""
    if len(firsts) > 1:
        raise Refused
    return [
        one | {"primary": False} if firsts and one is not firsts[0] and one.get("primary") else one
        for one in elements
    ]


def _element(subs: dict[str, str], value: Any) -> dict[str, Any]:
    if isinstance(value, str) and "value" in subs:
        return {"value": value}
    if not isinstance(value, dict):
        raise Refused
    return {name: _fit(subs[name], inner) for name, inner in value.items() if inner is not None}


def _fit(kind: str, value: Any) -> Any:
    if kind == "text" and not isinstance(value, str):
        raise Refused
    if kind == "flag":
        if str(value).lower() not in {"true", "false"} or not isinstance(value, str | bool):
            raise Refused
        return str(value).lower() == "true"
    return value
