"""Pure: whether an element of a multi-valued attribute meets the condition of a PATCH path.

No schema is asked: text is compared without case (RFC 7643 §2.1 leaves caseExact to the schema,
and clients name elements by kinds such as "work"), and a boolean equals its name as text, since
some clients send `primary eq "True"`.
"""

from collections.abc import Callable, Mapping

from scim_gateway.filter_grammar import (
    And,
    Attribute,
    Comparison,
    Elements,
    Filter,
    Not,
    Operator,
    Or,
    Present,
    Value,
)


def element_matches(condition: Filter, element: object) -> bool:
    """Whether the element is meant; one that is no object counts as its own `value`."""
    match condition:
        case And(parts):
            return all(element_matches(one, element) for one in parts)
        case Or(parts):
            return any(element_matches(one, element) for one in parts)
        case Not(inner):
            return not element_matches(inner, element)
        case Present(attribute):
            return any(one not in (None, "", []) for one in _values(attribute, element))
        case Comparison(attribute, operator, value):
            return _compared(operator, _values(attribute, element), value)
        case Elements():
            return False  # the grammar lets no element have elements


def same(left: object, right: object) -> bool:
    """Equality of SCIM values: text without case, booleans also as text."""
    if isinstance(left, bool) or isinstance(right, bool):
        return str(left).lower() == str(right).lower()
    if isinstance(left, str) and isinstance(right, str):
        return left.casefold() == right.casefold()
    return left == right


def _compared(operator: Operator, held: list[object], wanted: Value) -> bool:
    """Any value may match; an attribute that is absent equals null and differs from all else."""
    present = [one for one in held if one is not None]
    match operator:
        case Operator.EQ:
            return not present if wanted is None else any(same(one, wanted) for one in present)
        case Operator.NE if wanted is None:
            return bool(present)
        case Operator.NE:
            return not present or any(not same(one, wanted) for one in present)
        case _:
            test = _TESTS[operator]
            return any(_tested(test, one, wanted) for one in present)


def _tested(test: Callable[[str, str], bool], held: object, wanted: Value) -> bool:
    if isinstance(held, str) and isinstance(wanted, str):
        return test(held.casefold(), wanted.casefold())
    return False


_TESTS: dict[Operator, Callable[[str, str], bool]] = {
    Operator.CO: lambda held, wanted: wanted in held,
    Operator.SW: lambda held, wanted: held.startswith(wanted),
    Operator.EW: lambda held, wanted: held.endswith(wanted),
    Operator.GT: lambda held, wanted: held > wanted,
    Operator.GE: lambda held, wanted: held >= wanted,
    Operator.LT: lambda held, wanted: held < wanted,
    Operator.LE: lambda held, wanted: held <= wanted,
}


def _values(attribute: Attribute, element: object) -> list[object]:
    if not isinstance(element, Mapping):
        return [element] if attribute.name.lower() == "value" and attribute.sub is None else []
    found = _named(element, attribute.name)
    if attribute.sub is not None:
        found = [
            inner
            for one in found
            if isinstance(one, Mapping)
            for inner in _named(one, attribute.sub)
        ]
    return found


def _named(container: Mapping[object, object], name: str) -> list[object]:
    """The values under a name, whose case does not matter (RFC 7643 §2.1)."""
    found: list[object] = []
    for held, value in container.items():
        if isinstance(held, str) and held.lower() == name.lower():
            found += value if isinstance(value, list) else [value]
    return found
