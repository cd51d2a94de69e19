"""Compares an answer with the parts of it that a scenario names."""

import re
from collections.abc import Mapping
from typing import Any

_KINDS: dict[str, Any] = {
    "integer": lambda value: type(value) is int,
    "text": lambda value: isinstance(value, str) and value != "",
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def differences(expected: Any, actual: Any, place: str = "") -> list[str]:
    """Where the answer is another than expected; empty if it is as expected.

    An object must hold the attributes named, a list exactly the elements, in order. In place of a
    value: `$is: integer|text|list|object|absent`, `$matches: pattern`, `$count: number`,
    `$contains: [element…]`, `$lacks: [attribute…]`, and `$values: [id…]` for the `value` of each
    element in any order.
    """
    if isinstance(expected, Mapping):
        rules = {name: value for name, value in expected.items() if name.startswith("$")}
        found = [one for name, value in rules.items() for one in _rule(name, value, actual, place)]
        for name in expected.keys() - rules.keys():
            found += _attribute(name, expected[name], actual, place)
        return found
    if isinstance(expected, list):
        if not isinstance(actual, list) or len(actual) != len(expected):
            return [f"{place}: {_shown(actual)} is no list of {len(expected)}"]
        pairs = zip(expected, actual, strict=True)
        return [d for n, (e, a) in enumerate(pairs) for d in differences(e, a, f"{place}.{n}")]
    if type(expected) is not type(actual) or expected != actual:
        return [f"{place}: {_shown(actual)} in place of {_shown(expected)}"]
    return []


def _attribute(name: str, expected: Any, actual: Any, place: str) -> list[str]:
    inner = f"{place}.{name}".lstrip(".")
    present = isinstance(actual, Mapping) and name in actual
    if expected == {"$is": "absent"}:
        return [f"{inner} is there: {_shown(actual[name])}"] if present else []
    return differences(expected, actual[name], inner) if present else [f"{inner} is not there"]


def _rule(rule: str, value: Any, actual: Any, place: str) -> list[str]:
    match rule:
        case "$is":
            right = _KINDS[value](actual)
        case "$matches":
            right = isinstance(actual, str) and re.search(value, actual) is not None
        case "$count":
            right = isinstance(actual, list) and len(actual) == value
        case "$contains":
            right = isinstance(actual, list) and all(
                any(not differences(one, element) for element in actual) for one in value
            )
        case "$lacks":
            right = isinstance(actual, Mapping) and not actual.keys() & set(value)
        case "$values":
            right = isinstance(actual, list) and sorted(e["value"] for e in actual) == sorted(value)
        case _:
            raise ValueError(f"there is no rule {rule}")
    return [] if right else [f"{place}: {_shown(actual)} against {rule} {_shown(value)}"]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}…"
