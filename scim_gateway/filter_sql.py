"""Filters as conditions of the database (RFC 7644 §3.4.2.2).

An attribute without values equals null and differs from all else; of several values, any may match.
A name that is in no schema is refused: to take it for absent would find nobody, or everybody.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import and_, false, not_, or_, true

from directory.search_sources import (
    Elements,
    ElementValues,
    NoValues,
    Values,
    json_elements,
    sub_value,
)
from directory.search_tests import Expression, Test, Truth
from scim_gateway import filter_grammar
from scim_gateway.errors import InvalidFilterError
from scim_gateway.filter_grammar import (
    And,
    Attribute,
    Comparison,
    Filter,
    Not,
    Operator,
    Or,
    Present,
    Value,
)
from scim_gateway.search_schema import Known, Searched

_TEXT_ONLY = frozenset({Operator.CO, Operator.SW, Operator.EW})
_ORDERING = frozenset({Operator.GT, Operator.GE, Operator.LT, Operator.LE})


def condition(tree: Filter, searched: Searched, others: Sequence[Searched] = ()) -> Truth:
    """Which resources of a kind a filter finds.

    What only `others`, searched at the same time, have is an attribute without values here. Raises
    InvalidFilterError for an attribute of no schema and for a comparison that has no meaning.
    """
    match tree:
        case And(parts):
            return and_(*(condition(one, searched, others) for one in parts))
        case Or(parts):
            return or_(*(condition(one, searched, others) for one in parts))
        case Not(inner):
            return condition(inner, searched, others).is_not(true())
        case Present(attribute):
            return _known(attribute, searched, others).present.present()
        case Comparison(attribute, operator, value):
            known = _known(attribute, searched, others)
            return _comparison(known, operator, value)
        case filter_grammar.Elements(attribute, inner):
            known = _known(attribute, searched, others)
            return _elements(known, inner)


def found_attribute(
    attribute: Attribute, searched: Searched, others: Sequence[Searched]
) -> Known | None:
    """The attribute as this kind has it, without values if only others have it; None if none."""
    known = searched.find(attribute)
    if known is not None:
        return known
    for other in others:
        elsewhere = other.find(attribute)
        if elsewhere is not None:
            nothing = Elements(lambda _: false())
            return Known(
                elsewhere.label,
                elsewhere.kind,
                elsewhere.exact,
                None if elsewhere.compared is None else NoValues(),
                NoValues(),
                None if elsewhere.elements is None else nothing,
                elsewhere.subs,
            )
    return None


def _known(attribute: Attribute, searched: Searched, others: Sequence[Searched]) -> Known:
    known = found_attribute(attribute, searched, others)
    if known is None:
        raise InvalidFilterError(
            f"no schema has the attribute {str(attribute)[:200]!r}: /Schemas lists those there are"
        )
    return known


def _comparison(known: Known, operator: Operator, value: Value) -> Truth:
    if value is None:
        return _null(known.label, known.present, operator)
    if known.compared is None:
        raise InvalidFilterError(
            f"{known.label} has no value of its own: compare one of its sub-attributes, or use pr"
        )
    return _compared(known, known.compared, operator, value)


def _compared(known: Known, values: Values, operator: Operator, value: Value) -> Truth:
    if operator is Operator.NE:
        return values.differ(_test(known, Operator.EQ, value))
    return values.some(_test(known, operator, value))


def _null(label: str, values: Values, operator: Operator) -> Truth:
    """Absent, null and empty are the same (RFC 7643 §2.5)."""
    if operator is Operator.EQ:
        return not_(values.present())
    if operator is Operator.NE:
        return values.present()
    raise InvalidFilterError(f"{label} {operator.value} null means nothing: use eq, ne or pr")


def _test(known: Known, operator: Operator, value: Value) -> Test:
    """The test of one value. Raises InvalidFilterError if it has no meaning for this type."""
    name, label, kind = operator.value, known.label, known.kind
    if kind == "any":
        kind = "boolean" if isinstance(value, bool) else "string"
        kind = "decimal" if not isinstance(value, bool | str) else kind
    if (operator in _ORDERING and kind in {"boolean", "binary"}) or (
        operator in _TEXT_ONLY and kind not in {"string", "reference", "binary"}
    ):
        raise InvalidFilterError(f"{label} is a {kind}, which cannot be compared with {name}")
    match kind:
        case "boolean":
            return Test(name, _boolean(label, value))
        case "integer" | "decimal":
            if isinstance(value, bool | str) or value is None:
                raise InvalidFilterError(f"{label} is compared with a number")
            return Test(name, Decimal(repr(value)))
        case "dateTime":
            return Test(name, _time(label, value))
        case _:
            if not isinstance(value, str):
                raise InvalidFilterError(f"{label} is compared with text in quotation marks")
            return Test(name, value, known.exact)


def _boolean(label: str, value: Value) -> bool:
    """True or false, also as the text that some clients send."""
    text = str(value).lower()
    if text not in {"true", "false"}:
        raise InvalidFilterError(f"{label} is compared with true or false")
    return text == "true"


def _time(label: str, value: Value) -> datetime:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        time = None
    if time is None:
        raise InvalidFilterError(f'{label} is compared with a time such as "2026-01-31T08:00:00Z"')
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _elements(known: Known, inner: Filter) -> Truth:
    if known.elements is None:
        raise InvalidFilterError(
            f"{known.label} has no elements: brackets follow a multi-valued attribute alone"
        )
    quick = _quick(known.elements, inner)
    whole = known.elements.some(lambda element: _of_element(known, inner, element))
    return whole if quick is None else quick


def _quick(elements: Elements, inner: Filter) -> Truth | None:
    """The condition that an index answers, for the two forms that clients send."""
    match inner:
        case Comparison(Attribute(None, name, None), Operator.EQ, str(value)):
            quick = elements.quick.get(name.lower())
            return None if quick is None else quick(value)
        case And(
            (
                Comparison(Attribute(None, first, None), Operator.EQ, str(one)),
                Comparison(Attribute(None, second, None), Operator.EQ, str(two)),
            )
        ) if elements.typed is not None:
            given = {first.lower(): one, second.lower(): two}
            if given.keys() == {"type", "value"}:
                return elements.typed(given["type"], given["value"])
    return None


def _of_element(known: Known, tree: Filter, element: Expression) -> Truth:
    """The condition on one element, whose sub-attributes the names are."""
    match tree:
        case And(parts):
            return and_(*(_of_element(known, one, element) for one in parts))
        case Or(parts):
            return or_(*(_of_element(known, one, element) for one in parts))
        case Not(inner):
            return _of_element(known, inner, element).is_not(true())
        case Present(attribute):
            return _sub_attribute(known, attribute, element)[1].present()
        case Comparison(attribute, operator, value):
            sub, values = _sub_attribute(known, attribute, element)
            if value is None:
                return _null(sub.label, values, operator)
            return _compared(sub, values, operator, value)
        case _:
            raise InvalidFilterError("brackets cannot hold brackets: use and, or, and not")


def _sub_attribute(
    known: Known, attribute: Attribute, element: Expression
) -> tuple[Known, ElementValues]:
    name = attribute.name
    label = f"{known.label}.{name}"
    if attribute.urn is not None or attribute.sub is not None:
        raise InvalidFilterError(f"within brackets, {attribute} must be a sub-attribute's name")
    kind, exact = "any", False
    if known.subs is not None:
        definition = known.subs.get(name.lower())
        if definition is None:
            raise InvalidFilterError(f"{known.label} has no sub-attribute {name[:200]!r}")
        name, kind = definition["name"], definition["type"]
        exact = bool(definition.get("caseExact", False)) or kind == "binary"
    elif known.kind != "any" and name.lower() != "value":
        raise InvalidFilterError(f"{known.label} has no sub-attribute {name[:200]!r}: use value")
    elif known.kind != "any":
        kind, exact = known.kind, known.exact
    values = ElementValues(json_elements(sub_value(element, name)))
    return Known(label, kind, exact, values, values), values
