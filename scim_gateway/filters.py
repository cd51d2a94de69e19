"""Pure: the part of SCIM's filter grammar that clients of provisioning use (RFC 7644 §3.4.2.2).

Comparisons with `eq`, joined by `and`; a comparison may be about an element of a multi-valued
attribute: `emails[type eq "work"].value eq "ada@example.com"`. Anything else is refused.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scim_gateway.errors import InvalidFilterError

MAX_LENGTH = 2_000
_STRING = r'"(?:[^"\\]|\\.)*"'
_PATH = re.compile(
    r"(?P<attribute>[A-Za-z$][\w.:$-]*)"
    rf"(?:\[(?P<filter>(?:[^\]\[\"]|{_STRING})*)\](?:\.(?P<sub>[A-Za-z$][\w$-]*))?)?",
    re.ASCII,
)
_OPERATOR = re.compile(r"\s+eq\s+", re.ASCII | re.IGNORECASE)
_VALUE = re.compile(rf"{_STRING}|true|false|null|-?\d{{1,15}}", re.ASCII | re.IGNORECASE)
_AND = re.compile(r"\s+and\s+", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Path:
    """`attribute`, `attribute.sub`, `attribute[filter]` or `attribute[filter].sub`.

    `attribute` keeps the client's spelling and may begin with a schema's URN.
    """

    attribute: str
    filter: "tuple[Comparison, ...] | None" = None
    sub: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path eq value`."""

    path: Path
    value: Any

    def selects(self, element: object) -> bool:
        """Whether an element of a multi-valued attribute is meant.

        Text is compared without case; a boolean also with its name, as some clients send it.
        """
        if not isinstance(element, Mapping):
            return self.path.attribute.lower() == "value" and same(element, self.value)
        wanted = self.path.attribute.lower()
        return any(
            same(value, self.value) for name, value in element.items() if name.lower() == wanted
        )


def parse_filter(text: str) -> tuple[Comparison, ...]:
    """The comparisons, all of which must hold. Raises InvalidFilterError."""
    if len(text) > MAX_LENGTH:
        raise InvalidFilterError(f"a filter has at most {MAX_LENGTH} characters")
    text = text.strip()
    comparisons = []
    at = 0
    while True:
        comparison, at = _comparison(text, at)
        comparisons.append(comparison)
        if at == len(text):
            return tuple(comparisons)
        conjunction = _AND.match(text, at)
        if conjunction is None:
            raise _refused(text)
        at = conjunction.end()


def parse_path(text: str) -> Path:
    """A PATCH path (RFC 7644 §3.5.2). Raises InvalidFilterError."""
    text = text.strip()
    match = _PATH.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise _refused(text)
    return _path(match)


def same(left: object, right: object) -> bool:
    """Equality of SCIM values: text without case, booleans also as text."""
    if isinstance(left, bool) or isinstance(right, bool):
        return str(left).lower() == str(right).lower()
    if isinstance(left, str) and isinstance(right, str):
        return left.casefold() == right.casefold()
    return left == right


def _comparison(text: str, at: int) -> tuple[Comparison, int]:
    path = _PATH.match(text, at)
    operator = _OPERATOR.match(text, path.end()) if path else None
    value = _VALUE.match(text, operator.end()) if operator else None
    if path is None or value is None:
        raise _refused(text)
    try:
        parsed = json.loads(value[0] if value[0].startswith('"') else value[0].lower())
    except ValueError:
        raise _refused(text) from None
    if isinstance(parsed, str) and ("\x00" in parsed or not parsed.isprintable()):
        raise _refused(text)
    return Comparison(_path(path), parsed), value.end()


def _path(match: re.Match[str]) -> Path:
    inner = match["filter"]
    return Path(match["attribute"], None if inner is None else parse_filter(inner), match["sub"])


def _refused(text: str) -> InvalidFilterError:
    shown = text if len(text) <= 100 else text[:100] + "…"
    return InvalidFilterError(
        f'{shown!r} is not understood: use comparisons such as userName eq "ada", joined by and'
    )
