"""In which order a search lists what it finds (RFC 7644 §3.4.2.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, DateTime, Text, cast, null
from sqlalchemy.types import TypeEngine

from directory.search_pages import Order
from directory.search_sources import BooleanColumn, TimeColumn, Values
from directory.search_tests import Expression
from scim_gateway.errors import InvalidFilterError, InvalidValueError
from scim_gateway.filter_grammar import Attribute, parse_path
from scim_gateway.filter_sql import found_attribute
from scim_gateway.search_schema import Known, Searched

_DIRECTIONS = {"ascending": False, "descending": True}


@dataclass(frozen=True, slots=True)
class Sorting:
    """The order, the key of each kind of resource, and the type of keys in cursors."""

    order: Order
    keys: tuple[Expression, ...]
    key_type: type


def sorting(sort_by: str | None, sort_order: str | None, kinds: Sequence[Searched]) -> Sorting:
    """By an attribute, or else by age. Text is ordered without case unless it is caseExact.

    Raises InvalidValueError.
    """
    direction = _DIRECTIONS.get((sort_order or "ascending").lower())
    if direction is None:
        raise InvalidValueError("sortOrder must be ascending or descending")
    if not sort_by:
        ages = tuple(kind.fields.table.c.created_at for kind in kinds)
        return Sorting(Order(DateTime(timezone=True), nullable=False), ages, datetime)
    attribute = _attribute(sort_by)
    found = [_found(attribute, kind, [one for one in kinds if one is not kind]) for kind in kinds]
    values = [one.compared for one in found]
    key_type, column_type = _types(values)
    given = [
        None if one.compared is None else one.compared.sort_key(exact=one.exact) for one in found
    ]
    if all(key is None for key in given):
        raise InvalidValueError(f"sortBy: resources cannot be ordered by {found[0].label}")
    nothing: Expression = cast(null(), column_type)
    keys = tuple(nothing if key is None else key for key in given)
    # Where every resource has a key, an index alone finds the place of a cursor.
    nullable = any(getattr(key, "nullable", True) for key in keys)
    return Sorting(Order(column_type, nullable, direction), keys, key_type)


def _types(values: Sequence[Values | None]) -> tuple[type, TypeEngine[Any]]:
    """The type of a key, here and in the database."""
    if any(isinstance(one, TimeColumn) for one in values):
        return datetime, DateTime(timezone=True)
    if any(isinstance(one, BooleanColumn) for one in values):
        return bool, Boolean()
    return str, Text()


def _attribute(sort_by: str) -> Attribute:
    try:
        path = parse_path(sort_by)
    except InvalidFilterError as error:
        raise InvalidValueError(f"sortBy must name an attribute: {error}") from None
    if path.condition is not None:
        raise InvalidValueError("sortBy must name an attribute, without brackets")
    return path.attribute


def _found(attribute: Attribute, kind: Searched, others: Sequence[Searched]) -> Known:
    try:
        known = found_attribute(attribute, kind, others)
    except InvalidFilterError as error:
        raise InvalidValueError(f"sortBy: {error}") from None
    if known is None:
        raise InvalidValueError(f"sortBy: no schema has the attribute {str(attribute)[:200]!r}")
    return known
