"""Where the values of searched attributes come from: a column, JSON, or rows of their own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    case,
    cast,
    column,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from directory.memberships import canonical_uuid
from directory.search_tests import (
    Expression,
    Test,
    Truth,
    bound_text,
    bound_time,
    json_array,
    json_is_filled,
    json_member,
    json_test,
    json_text,
    lower_unless,
    ordered_test,
    some_element,
    text_test,
)

Condition = Callable[[Expression], Truth]


class Values(Protocol):
    """The values of one attribute in one resource, or in one element of it."""

    def some(self, test: Test) -> Truth:
        """Whether a value passes the test."""

    def differ(self, test: Test) -> Truth:
        """Whether a value fails the test, or there is none."""

    def present(self) -> Truth:
        """Whether there is a value, and it is not empty."""

    def sort_key(self, *, exact: bool) -> Expression | None:
        """What resources are ordered by; None if nothing orders them."""


@dataclass(frozen=True, slots=True)
class TextColumn:
    """A text in a form that is compared as it is; `fold` brings what is searched into that form.

    `key` does so for whole values, where whole values have a form of their own (`name_key`).
    """

    held: ColumnElement[str]
    fold: Callable[[str], Expression]
    key: Callable[[str], Expression] | None = None

    def some(self, test: Test) -> Truth:
        fold = self.key if self.key and test.operator == "eq" else self.fold
        return text_test(test.operator, self.held, fold(_text(test)))

    def differ(self, test: Test) -> Truth:
        return self.some(test).is_not(true())

    def present(self) -> Truth:
        return and_(self.held.is_not(None), self.held != "")

    def sort_key(self, *, exact: bool) -> Expression | None:  # noqa: ARG002 # held has its form
        return self.held


@dataclass(frozen=True, slots=True)
class IdColumn:
    """Our own identifiers, which are UUIDs in their usual form."""

    held: Expression

    def some(self, test: Test) -> Truth:
        text = _text(test)
        if test.operator == "eq":
            canonical = canonical_uuid(text)
            return false() if canonical is None else self.held == canonical
        return text_test(test.operator, cast(self.held, Text), bound_text(text.lower()))

    def differ(self, test: Test) -> Truth:
        return self.some(test).is_not(true())

    def present(self) -> Truth:
        return true()

    def sort_key(self, *, exact: bool) -> Expression | None:  # noqa: ARG002 # as `Values` has it
        return cast(self.held, Text)


@dataclass(frozen=True, slots=True)
class BooleanColumn:
    """True or false."""

    held: Expression

    def some(self, test: Test) -> Truth:
        return self.held.is_(true() if test.value is True else false())

    def differ(self, test: Test) -> Truth:
        return not_(self.some(test))

    def present(self) -> Truth:
        return true()

    def sort_key(self, *, exact: bool) -> Expression | None:  # noqa: ARG002 # as `Values` has it
        return self.held


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """A point in time."""

    held: Expression

    def some(self, test: Test) -> Truth:
        if not isinstance(test.value, datetime):
            raise TypeError("a time is compared with a time")
        return ordered_test(test.operator, self.held, bound_time(test.value))

    def differ(self, test: Test) -> Truth:
        return not_(self.some(test))

    def present(self) -> Truth:
        return true()

    def sort_key(self, *, exact: bool) -> Expression | None:  # noqa: ARG002 # as `Values` has it
        return self.held


@dataclass(frozen=True, slots=True)
class Elements:
    """The values of an attribute as JSON, of which `some` meets a condition.

    `quick` has conditions that an index answers, of `eq` by the sub-attribute's name; `typed` that
    of `type eq "…" and value eq "…"`. They give None for what the index cannot tell.
    """

    some: Callable[[Condition], Truth]
    json: Expression | None = None
    quick: Mapping[str, Callable[[str], Truth | None]] = field(default_factory=dict)
    typed: Callable[[str, str], Truth | None] | None = None


def json_elements(held: Expression) -> Elements:
    """Those of a JSON value that is one value or a list."""
    return Elements(lambda condition: some_element(held, condition), held)


@dataclass(frozen=True, slots=True)
class ElementValues:
    """The elements themselves, or the values of one of their sub-attributes."""

    elements: Elements
    sub: str | None = None

    def some(self, test: Test) -> Truth:
        quick = self.elements.quick.get(self.sub or "") if test.operator == "eq" else None
        if quick is not None and isinstance(test.value, str):
            condition = quick(test.value)
            if condition is not None:
                return condition
        return self._exists(lambda value: json_test(value, test))

    def differ(self, test: Test) -> Truth:
        return or_(
            self._exists(lambda value: not_(json_test(value, test))),
            not_(self._exists(lambda _: true())),
        )

    def present(self) -> Truth:
        return self._exists(json_is_filled)

    def sort_key(self, *, exact: bool) -> Expression | None:
        """The primary element's value, or else the first's (RFC 7644 §3.4.2.3)."""
        if self.elements.json is None:
            return None
        elements = (
            func.jsonb_array_elements(json_array(self.elements.json))
            .table_valued(column("value", JSONB), with_ordinality="place")
            .render_derived()
        )
        value = elements.c.value
        held = value if self.sub is None else sub_value(value, self.sub)
        text = json_text(func.coalesce(held, literal_column("'null'::jsonb"), type_=JSONB()))
        primary = func.lower(json_text(json_member(value, "primary")))
        return (
            select(lower_unless(exact, text))
            .select_from(elements)
            .where(func.jsonb_typeof(value) != "null")
            .order_by(case((primary == "true", 0), else_=1), elements.c.place)
            .limit(1)
            .correlate_except(elements)
            .scalar_subquery()
        )

    def _exists(self, condition: Condition) -> Truth:
        sub = self.sub
        if sub is None:
            return self.elements.some(condition)
        return self.elements.some(lambda one: some_element(sub_value(one, sub), condition))


@dataclass(frozen=True, slots=True)
class NoValues:
    """An attribute that resources of this kind do not have."""

    def some(self, test: Test) -> Truth:  # noqa: ARG002 # as `Values` has it
        return false()

    def differ(self, test: Test) -> Truth:  # noqa: ARG002 # as `Values` has it
        return true()

    def present(self) -> Truth:
        return false()

    def sort_key(self, *, exact: bool) -> Expression | None:  # noqa: ARG002 # as `Values` has it
        return None


def sub_value(element: Expression, sub: str) -> Expression:
    """A sub-attribute; an element that is no object is its own `value`."""
    held = json_member(element, sub)
    if sub.lower() != "value":
        return held
    return case((func.jsonb_typeof(element) == "object", held), else_=element)


def _text(test: Test) -> str:
    if not isinstance(test.value, str):
        raise TypeError("a text is compared with a text")
    return test.value
