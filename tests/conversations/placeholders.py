"""Values in a scenario that are known only when it is played: `${name}`, lists and merges."""

import re
from collections.abc import Mapping
from typing import Any

_PLACEHOLDER = re.compile(r"\$\{(?P<name>[\w.]+)\}", re.ASCII)


def filled(template: Any, known: Mapping[str, Any]) -> Any:
    """The template with its placeholders filled in.

    A text that is one placeholder becomes the value itself, whatever it is. `$merge: [a, b]` is an
    object with the attributes of all; `$each: [list, form]` is the form for each of the list, with
    its value as `${it}`, `$part: [list, from, to]` a part of a list. KeyError for unknown names.
    """
    if isinstance(template, str):
        whole = _PLACEHOLDER.fullmatch(template)
        if whole is not None:
            return _lookup(whole["name"], known)
        return _PLACEHOLDER.sub(lambda match: str(_lookup(match["name"], known)), template)
    if isinstance(template, list):
        return [filled(one, known) for one in template]
    if isinstance(template, Mapping):
        return _filled_mapping(template, known)
    return template


def _filled_mapping(template: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    match template:
        case {"$merge": parts}:
            return {name: value for part in parts for name, value in filled(part, known).items()}
        case {"$each": [items, form]}:
            return [filled(form, {**known, "it": item}) for item in filled(items, known)]
        case {"$part": [items, start, end]}:
            return filled(items, known)[start:end]
        case _:
            return {filled(name, known): filled(value, known) for name, value in template.items()}


def at(place: str, answer: Any) -> Any:
    """The value at a place such as `Resources.0.id`; `.` is the whole."""
    for name in place.split(".") if place != "." else []:
        answer = answer[int(name)] if isinstance(answer, list) else answer[name]
    return answer


def _lookup(name: str, known: Mapping[str, Any]) -> Any:
    head, _, rest = name.partition(".")
    return at(rest, known[head]) if rest else known[head]
