"""Bodies of requests: JSON that the database can hold, or a refusal."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from flask import Request

from scim_gateway.errors import InvalidSyntaxError, UnsupportedMediaTypeError

MEDIA_TYPES = frozenset({"application/scim+json", "application/json"})
# Escapes of what PostgreSQL cannot store as text: NUL and lone halves of surrogate pairs.
_SUSPECT_ESCAPE = re.compile(r"\\u(?:0000|[dD][89abAB][0-9a-fA-F]{2}|[dD][c-fC-F][0-9a-fA-F]{2})")


def json_object(request: Request) -> dict[str, Any]:
    """The body as one JSON object. Raises UnsupportedMediaTypeError or InvalidSyntaxError."""
    if request.mimetype not in MEDIA_TYPES:
        raise UnsupportedMediaTypeError(
            "send the body as application/scim+json (application/json is taken, too)"
        )
    body = parse_json(request.get_data(cache=False))
    if not isinstance(body, dict):
        raise InvalidSyntaxError("the body must be one JSON object")
    return body


def parse_json(data: bytes) -> Any:
    """Strict JSON in UTF-8 (RFC 8259). Raises InvalidSyntaxError."""
    try:
        text = data.decode("utf-8")
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise InvalidSyntaxError("the body is not JSON in UTF-8") from None
    if _SUSPECT_ESCAPE.search(text):
        _refuse_unstorable(value)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is out of range")
    return number


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
