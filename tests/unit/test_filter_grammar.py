"""The filter grammar: what is read, what is refused, and that printing says the same again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scim_gateway.errors import InvalidFilterError
from scim_gateway.filter_grammar import (
    MAX_DEPTH,
    MAX_EXPRESSIONS,
    MAX_LENGTH,
    And,
    Attribute,
    Comparison,
    Elements,
    Filter,
    Not,
    Operator,
    Or,
    PatchPath,
    Present,
    parse_filter,
    parse_path,
)
from tests.support.search_strategies import filters

_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def _eq(name: str, value: str | bool | float | None, sub: str | None = None) -> Comparison:
    return Comparison(Attribute(None, name, sub), Operator.EQ, value)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ('userName eq "ada"', _eq("userName", "ada")),
        ('  userName EQ "ada" ', _eq("userName", "ada")),
        ("active eq true", _eq("active", True)),
        ("active eq False", _eq("active", False)),
        ("title eq null", _eq("title", None)),
        ("size eq -12", _eq("size", -12)),
        ("size eq 1.5e3", _eq("size", 1500.0)),
        ('title eq "a \\"b\\" \\u00e4]"', _eq("title", 'a "b" ä]')),
        ('name.familyName eq "A"', _eq("name", "A", "familyName")),
        ("title PR", Present(Attribute(None, "title"))),
        (
            f'{_URN}:manager.value eq "7"',
            Comparison(Attribute(_URN, "manager", "value"), Operator.EQ, "7"),
        ),
        ('members.$ref ew "7"', Comparison(Attribute(None, "members", "$ref"), Operator.EW, "7")),
        (
            "a pr and b pr or not (c pr) and d pr",
            Or(
                (
                    And((Present(Attribute(None, "a")), Present(Attribute(None, "b")))),
                    And((Not(Present(Attribute(None, "c"))), Present(Attribute(None, "d")))),
                )
            ),
        ),
        (
            "a pr and (b pr or c pr)",
            And(
                (
                    Present(Attribute(None, "a")),
                    Or((Present(Attribute(None, "b")), Present(Attribute(None, "c")))),
                )
            ),
        ),
        (
            'emails[type eq "work" and value co "@x"]',
            Elements(
                Attribute(None, "emails"),
                And((_eq("type", "work"), Comparison(Attribute(None, "value"), Operator.CO, "@x"))),
            ),
        ),
        (
            'emails[type eq "work"].value eq "x"',
            Elements(Attribute(None, "emails"), And((_eq("type", "work"), _eq("value", "x")))),
        ),
    ],
)
def test_a_filter_is_read(text: str, tree: Filter) -> None:
    """Operators in any case, precedence, grouping, elements, and names of every form."""
    assert parse_filter(text) == tree


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "the name of an attribute is expected"),
        ("userName", "needs one of eq ne co"),
        ("userName eq ada", "text in quotation marks"),
        ("userName eq", "a blank is expected"),
        ('userName is "ada"', "needs one of eq ne co"),
        ('userName eq "ada', "closing quotation mark"),
        ('userName eq "a\\x"', "no JSON string"),
        ('userName eq "\\u0000"', "U+0000"),
        ('userName eq "\\ud800"', "no JSON string"),
        ('userName eq "a" and', "the name of an attribute is expected"),
        ('userName eq "a" xor active eq true', "and, or"),
        ('(userName eq "a"', ") is missing"),
        ('emails[type eq "a"', "] is missing"),
        ('emails[a[b eq "c"]]', "brackets follow"),
        ('emails.type[value eq "c"]', "brackets follow"),
        ("size eq 1e999", "out of range"),
        ("size eq " + "9" * 41, "more digits"),
        ("size eq 01", "a value is"),
        ('user name eq "a"', "needs one of"),
        ("urn:a: eq 1", "the name of an attribute is expected"),
        ("x" * (MAX_LENGTH + 1), f"may have {MAX_LENGTH}"),
        ("(" * (MAX_DEPTH + 1), f"more than {MAX_DEPTH} deep"),
        ("a pr or " * MAX_EXPRESSIONS + "a pr", f"may have {MAX_EXPRESSIONS} comparisons"),
        ("not(" * (MAX_DEPTH + 1), f"more than {MAX_DEPTH} deep"),
    ],
)
def test_what_is_no_filter_is_refused_with_a_remedy(text: str, remedy: str) -> None:
    """InvalidFilterError says what is wrong and where."""
    with pytest.raises(InvalidFilterError) as refusal:
        parse_filter(text)
    assert remedy in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("members", PatchPath(Attribute(None, "members"))),
        ("name.givenName", PatchPath(Attribute(None, "name", "givenName"))),
        (f"{_URN}:manager", PatchPath(Attribute(_URN, "manager"))),
        ('members[value eq "7"]', PatchPath(Attribute(None, "members"), _eq("value", "7"))),
        (
            'emails[primary eq "True"].value',
            PatchPath(Attribute(None, "emails", "value"), _eq("primary", "True")),
        ),
    ],
)
def test_a_path_is_read(text: str, path: PatchPath) -> None:
    """The forms of RFC 7644 §3.5.2."""
    assert parse_path(text) == path


@pytest.mark.parametrize(
    "text", ["", "a b", "a.b.c", "a[", 'a[b eq "c"].d.e', "a[].b", "1a", "a eq 1"]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    """Nothing is taken for a part of it."""
    with pytest.raises(InvalidFilterError):
        parse_path(text)


@given(filters(["ada", 'a"b\\', "ä"], ["2026-01-31T08:00:00Z"]))
def test_what_is_printed_is_read_as_the_same(tree: Filter) -> None:
    """Parentheses are put where they are needed."""
    assert parse_filter(str(tree)) == tree


@given(st.text(max_size=60) | st.text(alphabet='a.[]()" eqandortpn1\\-:$', max_size=60))
def test_random_text_is_a_tree_or_a_refusal(text: str) -> None:
    """No other exception, and what is taken can be printed."""
    try:
        tree = parse_filter(text)
    except InvalidFilterError:
        return
    assert parse_filter(str(tree)) == tree
