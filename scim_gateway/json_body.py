"""Bodies of requests: JSON that the database can hold, or a refusal that names the limit."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from scim_gateway.content_negotiation import check_request_media
from scim_gateway.errors import InvalidSyntaxError

MAX_NESTING = 64
_CONTAINERS = frozenset({dict, list})
_TOO_DEEP = f"the body is nested deeper than {MAX_NESTING} levels"
# What a database column and every client's integers can hold.
_LARGEST = 2**63 - 1
_LONGEST_INTEGER = len(str(_LARGEST)) + 1
# Escapes of what PostgreSQL cannot store as text: NUL and lone halves of surrogate pairs.
_SUSPECT_ESCAPE = re.compile(r"\\u(?:0000|[dD][89abAB][0-9a-fA-F]{2}|[dD][c-fC-F][0-9a-fA-F]{2})")


def json_object(request: Request) -> dict[str, Any]:
    """The body as one JSON object. Raises UnsupportedMediaTypeError or InvalidSyntaxError."""
    check_request_media(request)
    body = parse_json(_read(request))
    if not isinstance(body, dict):
        raise InvalidSyntaxError("the body must be one JSON object")
    return body


def _read(request: Request) -> bytes:
    """The body. Raises RequestEntityTooLarge, also for chunks whose sum nobody has announced.

    Werkzeug ends such a body at the limit without a word; what is left of it is no body to use.
    """
    data = request.get_data(cache=False)
    most = request.max_content_length
    if request.content_length is None and most is not None and len(data) >= most:
        raise RequestEntityTooLarge
    return data


def parse_json(data: bytes) -> Any:
    """Strict JSON in UTF-8 (RFC 8259), each name once in an object. Raises InvalidSyntaxError."""
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_integer,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise InvalidSyntaxError(_TOO_DEEP) from None
    except ValueError:
        raise InvalidSyntaxError("the body is not JSON in UTF-8") from None
    _refuse_nesting(value)
    if _SUSPECT_ESCAPE.search(text):
        _refuse_unstorable(value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise InvalidSyntaxError("a number is larger than a double can hold")
    return number


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= _LONGEST_INTEGER else _LARGEST + 1
    if abs(number) > _LARGEST:
        raise InvalidSyntaxError("a whole number is larger than 64 bits can hold")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are unique: of two values, parsers disagree which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidSyntaxError("an object holds the same name twice")
    return found


def _refuse_nesting(value: Any) -> None:
    """Goes through the containers level by level: a large list of members is one step."""
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(MAX_NESTING):
        if not level:
            return
        level = [
            inner
            for one in level
            for inner in (one.values() if type(one) is dict else one)
            if type(inner) in _CONTAINERS
        ]
    if level:
        raise InvalidSyntaxError(_TOO_DEEP)


def _refuse_unstorable(value: object) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if "\x00" in item or not _encodes(item):
                raise InvalidSyntaxError("a string holds a character that cannot be stored")
        elif isinstance(item, Mapping):
            stack += item.keys()
            stack += item.values()
        elif isinstance(item, list):
            stack += item


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
