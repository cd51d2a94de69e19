"""Pure: filters and PATCH paths as trees (the ABNF of RFC 7644, Figures 1 and 7).

`emails[type eq "work"].value eq "x"`, which the ABNF lacks and Entra ID sends, is read as
`emails[type eq "work" and value eq "x"]`. Grouping leaves no trace but the tree's shape: a
conjunction holds no conjunction directly, a disjunction no disjunction. `str()` of a tree is a
filter that is read as the same tree.
"""

import json
import math
import re
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from scim_gateway.errors import InvalidFilterError

MAX_LENGTH = 2_000
MAX_DEPTH = 20
# Each becomes a condition that the database evaluates for each resource.
MAX_EXPRESSIONS = 60

Value: TypeAlias = str | bool | int | float | None


class Operator(Enum):
    """How an attribute is compared with a value (RFC 7644 §3.4.2.2)."""

    EQ = "eq"
    NE = "ne"
    CO = "co"
    SW = "sw"
    EW = "ew"
    GT = "gt"
    GE = "ge"
    LT = "lt"
    LE = "le"


@dataclass(frozen=True, slots=True)
class Attribute:
    """`urn:name.sub` as the client spells it; names are compared without case.

    The grammar cannot tell a bare schema URN from an attribute under a shorter one: of `urn:a:User`
    the name is `User`. Whoever takes bare URNs compares `str()` of the attribute with them first.
    """

    urn: str | None
    name: str
    sub: str | None = None

    def __str__(self) -> str:
        prefix = "" if self.urn is None else f"{self.urn}:"
        return f"{prefix}{self.name}" + ("" if self.sub is None else f".{self.sub}")


@dataclass(frozen=True, slots=True)
class Comparison:
    """`attribute operator value`."""

    attribute: Attribute
    operator: Operator
    value: Value

    def __str__(self) -> str:
        return f"{self.attribute} {self.operator.value} {json.dumps(self.value)}"


@dataclass(frozen=True, slots=True)
class Present:
    """`attribute pr`."""

    attribute: Attribute

    def __str__(self) -> str:
        return f"{self.attribute} pr"


@dataclass(frozen=True, slots=True)
class And:
    """All of them hold."""

    parts: "tuple[Filter, ...]"

    def __str__(self) -> str:
        return " and ".join(f"({one})" if isinstance(one, Or) else str(one) for one in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    """One of them holds."""

    parts: "tuple[Filter, ...]"

    def __str__(self) -> str:
        return " or ".join(str(one) for one in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold."""

    inner: "Filter"

    def __str__(self) -> str:
        return f"not ({self.inner})"


@dataclass(frozen=True, slots=True)
class Elements:
    """`attribute[condition]`: one element of a multi-valued attribute meets the condition.

    Attributes in the condition are sub-attributes; it holds no further `Elements`.
    """

    attribute: Attribute
    condition: "Filter"

    def __str__(self) -> str:
        return f"{self.attribute}[{self.condition}]"


Filter: TypeAlias = Comparison | Present | And | Or | Not | Elements


@dataclass(frozen=True, slots=True)
class PatchPath:
    """`attribute`, `attribute.sub`, `attribute[condition]` or `attribute[condition].sub`."""

    attribute: Attribute
    condition: Filter | None = None


def parse_filter(text: str) -> Filter:
    """The filter as a tree. Raises InvalidFilterError, which names the remedy."""
    parser = _Parser(text, "filter")
    tree = parser.disjunction()
    parser.end()
    return tree


def parse_path(text: str) -> PatchPath:
    """The path of a PATCH operation (RFC 7644 §3.5.2). Raises InvalidFilterError."""
    parser = _Parser(text, "path")
    path = parser.path()
    parser.end()
    return path


# The prefix of a URN is whatever precedes the last colon; colons and dots occur in it.
_NAME = r"(?:[A-Za-z][A-Za-z0-9_-]*|\$ref)"
_ATTRIBUTE = re.compile(
    rf"(?:(?P<urn>urn:[A-Za-z0-9._:+=@;!*'%/~$-]+):)?(?P<name>{_NAME})(?:\.(?P<sub>{_NAME}))?"
    r"(?![A-Za-z0-9._:$+=@;!*'%/~-])",
    re.ASCII | re.IGNORECASE,
)
_SUB_ATTRIBUTE = re.compile(rf"\.({_NAME})(?![\w.:$-])", re.ASCII | re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]+", re.ASCII)
_SPACE = re.compile(r"[ \t\r\n]*", re.ASCII)
_NEGATION = re.compile(r"not[ \t]*\(", re.ASCII | re.IGNORECASE)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.ASCII | re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?(?![\w.+-])", re.ASCII)
_UNQUOTED = re.compile(r"[^\s()\[\]]*")
_LITERALS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_OPERATORS = {operator.value: operator for operator in Operator}
_EXAMPLE = 'such as userName eq "ada" and active eq true'


class _Parser:
    """Recursive descent; what nests is counted, so that no input recurses deeply."""

    def __init__(self, text: str, kind: str) -> None:
        if len(text) > MAX_LENGTH:
            raise InvalidFilterError(
                f"the {kind} has {len(text)} characters and may have {MAX_LENGTH}: ask for less"
            )
        self._kind = kind
        self._text = text.strip(" \t\r\n")
        self._at = 0
        self._depth = 0
        self._expressions = 0
        self._within_elements = False

    def end(self) -> None:
        if self._at < len(self._text):
            raise self._refused(f"and, or, or the end is expected, {_EXAMPLE}")

    def disjunction(self) -> Filter:
        """`or` binds less than `and`."""
        parts = [self._conjunction()]
        while self._joined_by("or"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else Or(_flat(Or, parts))

    def path(self) -> PatchPath:
        attribute = self._attribute()
        if not self._takes("["):
            return PatchPath(attribute)
        condition = self._condition(attribute)
        sub = _SUB_ATTRIBUTE.match(self._text, self._at)
        if sub is None:
            return PatchPath(attribute, condition)
        self._at = sub.end()
        return PatchPath(Attribute(attribute.urn, attribute.name, sub[1]), condition)

    def _conjunction(self) -> Filter:
        parts = [self._term()]
        while self._joined_by("and"):
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else And(_flat(And, parts))

    def _term(self) -> Filter:
        self._space()
        negation = _NEGATION.match(self._text, self._at)
        if negation is not None:
            self._at = negation.end()
            return Not(self._nested(")"))
        if self._takes("("):
            return self._nested(")")
        attribute = self._attribute()
        if not self._takes("["):
            return self._expression(attribute)
        condition = self._condition(attribute)
        sub = _SUB_ATTRIBUTE.match(self._text, self._at)
        if sub is None:
            return Elements(attribute, condition)
        self._at = sub.end()
        wanted = self._expression(Attribute(None, sub[1]))
        return Elements(attribute, And(_flat(And, [condition, wanted])))

    def _condition(self, attribute: Attribute) -> Filter:
        """What stands in brackets, up to and with the closing one."""
        if self._within_elements or attribute.sub is not None:
            raise self._refused("brackets follow the name of a multi-valued attribute alone")
        self._within_elements = True
        condition = self._nested("]")
        self._within_elements = False
        return condition

    def _nested(self, closing: str) -> Filter:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InvalidFilterError(
                f"the {self._kind} nests more than {MAX_DEPTH} deep: use fewer parentheses"
            )
        inner = self.disjunction()
        self._space()
        if not self._takes(closing):
            raise self._refused(f"{closing} is missing, or and, or or before what follows")
        self._depth -= 1
        return inner

    def _attribute(self) -> Attribute:
        match = _ATTRIBUTE.match(self._text, self._at)
        if match is None:
            raise self._refused(f"the name of an attribute is expected, {_EXAMPLE}")
        self._at = match.end()
        return Attribute(match["urn"], match["name"], match["sub"])

    def _expression(self, attribute: Attribute) -> Comparison | Present:
        """What follows the attribute."""
        self._expressions += 1
        if self._expressions > MAX_EXPRESSIONS:
            raise InvalidFilterError(
                f"the {self._kind} may have {MAX_EXPRESSIONS} comparisons: ask for less at once"
            )
        self._space()
        word = _WORD.match(self._text, self._at)
        name = "" if word is None else word[0].lower()
        if word is None or (name != "pr" and name not in _OPERATORS):
            raise self._refused(f"{attribute} needs one of eq ne co sw ew gt ge lt le pr after it")
        self._at = word.end()
        if name == "pr":
            return Present(attribute)
        if not self._space():
            raise self._refused(f"a blank is expected after {name}")
        return Comparison(attribute, _OPERATORS[name], self._value())

    def _value(self) -> Value:
        if self._text.startswith('"', self._at):
            return self._string()
        number = _NUMBER.match(self._text, self._at)
        if number is not None:
            self._at = number.end()
            return _number(number)
        word = _UNQUOTED.match(self._text, self._at)
        text = "" if word is None else word[0]
        if text.lower() in _LITERALS:
            self._at += len(text)
            return _LITERALS[text.lower()]
        raise self._refused(
            f"a value is true, false, null, a number, or text in quotation marks, {_EXAMPLE}"
        )

    def _string(self) -> str:
        match = _STRING.match(self._text, self._at)
        if match is None:
            raise self._refused("the closing quotation mark is missing")
        try:
            value = json.loads(match[0])
            value.encode("utf-8")
        except ValueError:
            raise self._refused("the text in quotation marks is no JSON string") from None
        if not isinstance(value, str) or "\x00" in value:
            raise self._refused("a text with the character U+0000 is stored nowhere")
        self._at = match.end()
        return value

    def _joined_by(self, conjunction: str) -> bool:
        """Takes the word if it comes next, between blanks (or after a closing bracket)."""
        before = self._at
        self._space()
        word = _WORD.match(self._text, self._at)
        if word is not None and word[0].lower() == conjunction:
            self._at = word.end()
            if self._space() or self._text[self._at : self._at + 1] in {"", "("}:
                return True
        self._at = before
        return False

    def _takes(self, character: str) -> bool:
        if self._text.startswith(character, self._at):
            self._at += 1
            return True
        return False

    def _space(self) -> bool:
        match = _SPACE.match(self._text, self._at)
        end = self._at if match is None else match.end()
        moved = end > self._at
        self._at = end
        return moved

    def _refused(self, remedy: str) -> InvalidFilterError:
        rest = self._text[self._at : self._at + 60]
        where = f"at {rest!r}" if rest else "at its end"
        return InvalidFilterError(f"the {self._kind} is not understood {where}: {remedy}")


def _flat(kind: type[And] | type[Or], parts: list[Filter]) -> tuple[Filter, ...]:
    flat: list[Filter] = []
    for one in parts:
        flat += one.parts if isinstance(one, kind) else [one]
    return tuple(flat)


def _number(match: re.Match[str]) -> int | float:
    if len(match[0]) > 40:
        raise InvalidFilterError("a number has more digits than any that is stored: shorten it")
    if match[1] is None and match[2] is None:
        return int(match[0])
    number = float(match[0])
    if not math.isfinite(number):
        raise InvalidFilterError(f"the number {match[0]} is out of range")
    return number
