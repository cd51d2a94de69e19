"""Pure: SQL conditions on the single values that a search compares (RFC 7644 §3.4.2.2).

Values of a request are bound parameters, always. Each condition on a value that is there is true or
false, never NULL: so that its negation holds exactly where it does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Numeric,
    Select,
    Text,
    and_,
    case,
    cast,
    column,
    exists,
    false,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

Expression = ColumnElement[Any]
Truth = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Test:
    """`eq`, `co`, `sw`, `ew`, `gt`, `ge`, `lt` or `le` with a value; `exact` regards case."""

    operator: str
    value: str | bool | Decimal | datetime
    exact: bool = False


def text_test(operator: str, held: Expression, wanted: Expression) -> Truth:
    """Compares two texts, in the form in which their case is regarded or not."""
    match operator:
        case "co":
            return func.strpos(held, wanted) > 0
        case "sw":
            return func.starts_with(held, wanted)
        case "ew":
            return func.right(held, func.length(wanted)) == wanted
        case _:
            return ordered_test(operator, held, wanted)


def ordered_test(operator: str, held: Expression, wanted: Expression) -> Truth:
    """Compares two values of one ordered type. Raises ValueError for an operator of text alone."""
    match operator:
        case "eq":
            return held == wanted
        case "gt":
            return held > wanted
        case "ge":
            return held >= wanted
        case "lt":
            return held < wanted
        case "le":
            return held <= wanted
        case _:
            raise ValueError(f"{operator} compares text alone")


def lower_unless(exact: bool, text: Expression) -> Expression:
    """The form in which a text is compared."""
    return text if exact else func.lower(text)


def bound_text(value: str) -> Expression:
    """A text of the request."""
    return literal(value, Text)


def bound_time(value: datetime) -> Expression:
    """A time of the request."""
    return literal(value, DateTime(timezone=True))


def json_test(held: Expression, test: Test) -> Truth:
    """Compares a JSON value; one of another type than the test's passes no test."""
    words = json_text(held)
    kind = func.jsonb_typeof(held)
    match test.value:
        case bool():
            # Some clients store booleans as text.
            named = func.lower(words) == ("true" if test.value else "false")
            return and_(kind.in_(["boolean", "string"]), named)
        case Decimal():
            number = ordered_test(test.operator, cast(words, Numeric), literal(test.value, Numeric))
            return case((kind == "number", number), else_=false())
        case datetime():
            raise ValueError("times are compared in columns of their own")
        case str():
            wanted = lower_unless(test.exact, bound_text(test.value))
            return and_(
                kind == "string",
                text_test(test.operator, lower_unless(test.exact, words), wanted),
            )


def json_is_filled(held: Expression) -> Truth:
    """Whether a JSON value says something."""
    return cast(held, Text).not_in(["null", '""', "{}", "[]"])


def json_text(held: Expression) -> Expression:
    """A JSON string without its quotation marks; any other value as JSON."""
    return held.op("#>>", return_type=Text())(literal_column("'{}'"))


def json_named(container: Expression, name: str) -> Expression:
    """The value under a name in exactly this spelling, in which we store what schemas describe."""
    return container.op("->", return_type=JSONB())(bound_text(name))


def json_member(container: Expression, name: str) -> Expression:
    """The value under a name, whose case does not matter; NULL if the container is no object."""
    exact = json_named(container, name)
    is_object = func.jsonb_typeof(container) == "object"
    pairs = func.jsonb_each(
        case((is_object, container), else_=literal_column("'{}'::jsonb"))
    ).table_valued(column("key", Text), column("value", JSONB))
    spelled_otherwise = (
        select(pairs.c.value)
        .where(func.lower(pairs.c.key) == name.lower())
        .order_by(pairs.c.key)
        .limit(1)
        .correlate_except(pairs)
        .scalar_subquery()
    )
    return func.coalesce(exact, spelled_otherwise, type_=JSONB())


def json_array(held: Expression) -> Expression:
    """The values of an attribute that is one value or a list of them."""
    kind = func.jsonb_typeof(held)
    return case(
        (kind == "array", held),
        (held.is_(None), literal_column("'[]'::jsonb")),
        else_=func.jsonb_build_array(held),
    )


def some_element(held: Expression, condition: Callable[[Expression], Truth]) -> Truth:
    """Whether one of the values, which is not null, meets the condition."""
    elements = func.jsonb_array_elements(json_array(held)).table_valued(column("value", JSONB))
    value = elements.c.value
    inner: Select[Any] = (
        select(literal(1))
        .select_from(elements)
        .where(func.jsonb_typeof(value) != "null", condition(value))
        .correlate_except(elements)
    )
    return exists(inner)
