"""Pure: what a search asks for, from query parameters or the body of `.search` (RFC 7644 §3.4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scim_gateway.errors import InvalidCountError, InvalidSyntaxError, InvalidValueError
from scim_gateway.filter_grammar import Filter, parse_filter
from scim_gateway.projection import Projection

SEARCH_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
DEFAULT_COUNT = 100
MAX_COUNT = 1_000
_FARTHEST = 2**40


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A search. `cursor` is None for a page by number, and empty for the first page by cursor.

    `count` is None if the client does not say how many resources a page shall have.
    """

    filter: Filter | None
    projection: Projection
    sort_by: str | None
    sort_order: str | None
    start_index: int
    count: int | None
    cursor: str | None

    @property
    def limit(self) -> int:
        """How many resources a page has."""
        return DEFAULT_COUNT if self.count is None else self.count


def query_from(parameters: Mapping[str, str]) -> SearchQuery:
    """From the parameters of a GET. Raises InvalidFilterError, InvalidValueError or
    InvalidCountError."""
    return _query(parameters)


def query_from_body(body: Mapping[str, Any]) -> SearchQuery:
    """From a SearchRequest (RFC 7644 §3.4.3). Raises InvalidSyntaxError too."""
    given = {name.lower(): value for name, value in body.items()}
    schemas = given.get("schemas", [SEARCH_SCHEMA])
    if not isinstance(schemas, list) or SEARCH_SCHEMA.lower() not in {
        one.lower() for one in schemas if isinstance(one, str)
    }:
        raise InvalidSyntaxError(f"schemas of a search must be [{SEARCH_SCHEMA!r}]")
    texts = ("filter", "sortBy", "sortOrder", "cursor")
    parameters: dict[str, Any] = {}
    for name in texts:
        value = given.get(name.lower())
        if value is not None and not isinstance(value, str):
            raise InvalidSyntaxError(f"{name} must be a string")
        parameters[name] = value
    for name in ("attributes", "excludedAttributes"):
        value = given.get(name.lower())
        if not _is_names(value):
            raise InvalidSyntaxError(f"{name} must be a list of attributes' names")
        parameters[name] = value
    for name in ("startIndex", "count"):
        value = given.get(name.lower())
        if isinstance(value, bool) or not isinstance(value, int | str | None):
            raise InvalidSyntaxError(f"{name} must be an integer")
        parameters[name] = None if value is None else str(value)
    return _query(parameters)


def _query(parameters: Mapping[str, Any]) -> SearchQuery:
    text = parameters.get("filter")
    cursor = parameters.get("cursor")
    start_index = max(1, _integer(parameters, "startIndex") or 1)
    if cursor is not None and start_index > 1:
        raise InvalidValueError("startIndex and cursor exclude each other: send one of them")
    return SearchQuery(
        filter=None if text is None else parse_filter(text),
        projection=Projection(parameters.get("attributes"), parameters.get("excludedAttributes")),
        sort_by=parameters.get("sortBy"),
        sort_order=parameters.get("sortOrder"),
        start_index=start_index,
        count=_cursor_count(parameters) if cursor is not None else _count(parameters),
        cursor=cursor,
    )


def _count(parameters: Mapping[str, Any]) -> int | None:
    """Between nothing and the most: a negative count is none (RFC 7644 §3.4.2.4)."""
    count = _integer(parameters, "count")
    return None if count is None else min(MAX_COUNT, max(0, count))


def _cursor_count(parameters: Mapping[str, Any]) -> int | None:
    try:
        count = _integer(parameters, "count")
    except InvalidValueError:
        count = -1
    if count is not None and not 0 <= count <= MAX_COUNT:
        raise InvalidCountError(f"with a cursor, count must be an integer from 0 to {MAX_COUNT}")
    return count


def _integer(parameters: Mapping[str, Any], name: str) -> int | None:
    text = parameters.get(name)
    if text is None or text == "":
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        raise InvalidValueError(f"{name} must be an integer")
    # Longer numbers lie beyond every list; the database would refuse them.
    number = min(int(digits[:20]), _FARTHEST)
    return -number if text.startswith("-") else number


def _is_names(value: object) -> bool:
    if value is None or isinstance(value, str):
        return True
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
