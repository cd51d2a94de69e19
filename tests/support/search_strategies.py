"""A small population to search in, and filters about it: every form that the grammar allows."""

from typing import Any

from hypothesis import strategies as st

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
    parse_path,
)

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
UNKNOWN = "urn:example:params:scim:schemas:extension:site:1.0:User"

USERS: list[dict[str, Any]] = [
    {
        "userName": "Ada@Example.com",
        "externalId": "00uA",
        "displayName": "Ada Änne",
        "title": "Head of 100%_things",
        "nickName": "a\\b",
        "name": {"familyName": "Änne", "givenName": "Ada"},
        "emails": [
            {"value": "Ada@Example.com", "type": "work", "primary": True},
            {"value": "ada@home.example", "type": "home"},
        ],
        "roles": [{"value": "Admin", "type": "site", "primary": True}, {"value": "reader"}],
        "addresses": [{"country": "GB", "locality": "London", "type": "work"}],
        ENTERPRISE: {"employeeNumber": "7", "department": "Finance", "manager": {"value": "m-1"}},
        UNKNOWN: {
            "level": 3,
            "Floor": "Upper",
            "remote": True,
            "tags": ["Red", "blue"],
            "desk": {"row": "B", "number": 7.5},
            "keys": [{"value": "k1", "door": "North"}, {"value": "k2"}],
        },
    },
    {
        "userName": "grace@example.com",
        "externalId": "00ua",
        "active": False,
        "title": "head",
        "emails": [{"value": "grace@example.com"}],
        "phoneNumbers": [{"value": "+1-201-555-0123", "type": "work"}],
        ENTERPRISE: {"employeeNumber": "70", "manager": {"value": "M-1", "displayName": "Ada"}},
    },
    {
        "userName": "bob",
        "displayName": "bob",
        "name": {"familyName": "B"},
        "roles": [{"value": "READER"}],
        UNKNOWN: {"level": "3", "remote": "false", "tags": "red", "desk": {"row": "b"}},
    },
    {"userName": 'quo"te', "nickName": "ä", "emails": [{"value": "a@b", "type": "other"}]},
    {"userName": "zoë", "displayName": "", "locale": "en-GB", UNKNOWN: {"level": -1}},
]
# Name and indexes of the users who are its members.
GROUPS: list[tuple[str, str | None, list[int]]] = [
    ("Finance", "00gA", [0, 1]),
    ("finance ops", None, [0]),
    ("Ärzte", "00ga", []),
]

_USER_TEXTS = [
    *("userName", "externalId", "displayName", "title", "nickName", "locale", "id", "email"),
    *("name.familyName", "name.givenName", "emails", "emails.value", "emails.type", "schemas"),
    *("phoneNumbers.value", "addresses.country", "addresses.locality", "roles", "roles.value"),
    *("groups", "groups.value", "groups.display", "groups.type", "meta.resourceType"),
    *("meta.version", "manager", "department", f"{CORE}:userName", f"{CORE}:name.familyName"),
    *(f"{ENTERPRISE}:employeeNumber", f"{ENTERPRISE}:manager", f"{ENTERPRISE}:manager.value"),
    f"{ENTERPRISE}:manager.displayName",
]
_UNKNOWN_ATTRIBUTES = [
    *(f"{UNKNOWN}:level", f"{UNKNOWN}:floor", f"{UNKNOWN}:remote", f"{UNKNOWN}:TAGS"),
    *(f"{UNKNOWN}:desk.row", f"{UNKNOWN}:desk.number", f"{UNKNOWN}:keys", f"{UNKNOWN}:keys.door"),
    "urn:example:absent:1.0:User:thing",
]
_GROUP_TEXTS = [
    *("displayName", "externalId", "id", "members", "members.value", "members.display"),
    *("members.type", "schemas", "meta.resourceType"),
]
_TIMES = ["meta.created", "meta.lastModified"]
_USER_ELEMENTS = {
    "emails": (["value", "type"], ["primary"]),
    "roles": (["value", "type"], ["primary"]),
    "addresses": (["country", "type"], ["primary"]),
    "groups": (["value", "display"], []),
    f"{UNKNOWN}:keys": (["value", "door"], ["lost"]),
}
_GROUP_ELEMENTS: dict[str, tuple[list[str], list[str]]] = {
    "members": (["value", "display", "type"], [])
}
_TEXT_OPERATORS = list(Operator)
_ORDERED = [one for one in Operator if one.value not in {"co", "sw", "ew"}]
_EQUAL = [Operator.EQ, Operator.NE]


def _attributes(names: list[str]) -> st.SearchStrategy[Attribute]:
    def spelled(name: str, upper: bool) -> Attribute:
        attribute = parse_path(name).attribute
        if upper:
            sub = None if attribute.sub is None else attribute.sub.upper()
            return Attribute(attribute.urn, attribute.name.upper(), sub)
        return attribute

    plain = st.sampled_from(names).map(lambda name: spelled(name, False))
    # `_UNPREFIXED` names of the model are spelled as they are.
    shouted = st.sampled_from([n for n in names if n not in {"manager", "department"}])
    return plain | shouted.map(lambda name: spelled(name, True))


def _texts(pool: list[str]) -> st.SearchStrategy[str]:
    """Values that occur, parts of them, in either case, and others."""
    values = st.sampled_from(pool)
    parts = st.builds(
        lambda value, a, b: value[min(a, b) : max(a, b)],
        values,
        st.integers(0, 12),
        st.integers(0, 12),
    ).map(str.strip)
    other = st.text(alphabet='aAbZ19@.-%_\\"äÄ', max_size=4)
    return values | values.map(str.swapcase) | parts | other


def filters(
    pool: list[str], times: list[str], *, of_groups: bool = False
) -> st.SearchStrategy[Filter]:
    """Filters that have a meaning, over the population's values."""
    texts = _texts(pool)
    names = _GROUP_TEXTS if of_groups else _USER_TEXTS
    elements = _GROUP_ELEMENTS if of_groups else _USER_ELEMENTS
    operators = st.sampled_from(_TEXT_OPERATORS)
    equal = st.sampled_from(_EQUAL)
    simple: list[st.SearchStrategy[Filter]] = [
        st.builds(Comparison, _attributes(names), operators, texts),
        st.builds(
            Comparison, _attributes(_TIMES), st.sampled_from(_ORDERED), st.sampled_from(times)
        ),
        st.builds(Comparison, _attributes([*names, *_TIMES]), equal, st.none()),
        st.builds(Present, _attributes([*names, *_TIMES, "meta", *elements])),
        *(_elements(name, *subs, texts) for name, subs in elements.items()),
    ]
    if not of_groups:
        simple += [
            st.builds(Comparison, _attributes(["active"]), equal, st.booleans()),
            st.builds(Comparison, _attributes(["emails.primary"]), equal, st.booleans()),
            st.builds(Present, _attributes([*_UNKNOWN_ATTRIBUTES, "name", "active"])),
            st.builds(Comparison, _attributes(_UNKNOWN_ATTRIBUTES), operators, texts),
            st.builds(Comparison, _attributes(_UNKNOWN_ATTRIBUTES), equal, st.booleans()),
            st.builds(
                Comparison,
                _attributes(_UNKNOWN_ATTRIBUTES),
                st.sampled_from(_ORDERED),
                st.integers(-2, 8) | st.floats(-2, 8).map(lambda number: round(number, 1)),
            ),
        ]
    return _joined(st.one_of(simple), 5)


def _elements(
    name: str, texts: list[str], booleans: list[str], values: st.SearchStrategy[str]
) -> st.SearchStrategy[Filter]:
    operators = st.sampled_from(_TEXT_OPERATORS)
    simple: list[st.SearchStrategy[Filter]] = [
        st.builds(Comparison, _attributes(texts), operators, values),
        st.builds(Present, _attributes([*texts, *booleans])),
    ]
    if booleans:
        truths = st.sampled_from([True, False])
        simple.append(st.builds(Comparison, _attributes(booleans), st.sampled_from(_EQUAL), truths))
    attribute = parse_path(name).attribute
    return _joined(st.one_of(simple), 3).map(lambda inner: Elements(attribute, inner))


def _joined(simple: st.SearchStrategy[Filter], leaves: int) -> st.SearchStrategy[Filter]:
    """With and, or and not, in the shape in which the parser makes trees."""

    def join(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
        several = st.lists(inner, min_size=2, max_size=3)
        return (
            inner.map(Not)
            | several.map(lambda parts: And(_flat(And, parts)))
            | several.map(lambda parts: Or(_flat(Or, parts)))
        )

    return st.recursive(simple, join, max_leaves=leaves)


def _flat(kind: type[And] | type[Or], parts: list[Filter]) -> tuple[Filter, ...]:
    return tuple(
        inner for one in parts for inner in (one.parts if isinstance(one, kind) else (one,))
    )
