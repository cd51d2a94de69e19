"""Which elements of a multi-valued attribute the condition of a PATCH path means."""

from typing import Any

import pytest

from scim_gateway.filter_grammar import parse_path
from scim_gateway.filter_matching import element_matches

_WORK = {"value": "Ada@Example.com", "type": "work", "primary": True}


@pytest.mark.parametrize(
    ("condition", "element", "expected"),
    [
        ('type eq "Work"', _WORK, True),
        ('TYPE eq "work" and value co "@example"', _WORK, True),
        ('type eq "home" or primary eq true', _WORK, True),
        ('primary eq "True"', _WORK, True),
        ('primary eq "False"', _WORK, False),
        ('not (type eq "work")', _WORK, False),
        ('type ne "home"', {"value": "x"}, True),
        ("type eq null", {"value": "x"}, True),
        ("type pr", {"value": "x"}, False),
        ("type pr", {"type": ""}, False),
        ('value sw "ada"', _WORK, True),
        ('value ew ".org"', _WORK, False),
        ('value gt "ad"', _WORK, True),
        ('value eq "red"', "Red", True),
        ('type eq "red"', "Red", False),
        ("number gt 1", {"number": 2}, False),
    ],
)
def test_an_element_is_meant(condition: str, element: Any, expected: bool) -> None:
    """Without case; booleans also as text; an element that is no object is its own value."""
    path = parse_path(f"emails[{condition}]")
    assert path.condition is not None
    assert element_matches(path.condition, element) is expected
