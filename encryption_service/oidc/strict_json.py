"""JSON as a verifier reads it: one meaning for each text."""

import json
from typing import Any, NoReturn


class JsonError(ValueError):
    """The bytes are no JSON object that can be read in one way alone."""


def read_object(data: bytes) -> dict[str, Any]:
    """An object (RFC 8259) in UTF-8, with each name once (RFC 7515, section 4).

    Raises JsonError; its text repeats nothing of the data.
    """
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise JsonError("not a JSON object, or one that repeats a name") from error
    if not isinstance(value, dict):
        raise JsonError("not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is repeated")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")
