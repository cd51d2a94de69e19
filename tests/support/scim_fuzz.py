"""Strategies for requests that no client should send, near enough to real ones to get far."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st

_CORE = "urn:ietf:params:scim:schemas:core:2.0:"
_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
_PROVISIONING = "urn:groupseal:params:scim:schemas:extension:provisioning:1.0:Group"
_MESSAGES = "urn:ietf:params:scim:api:messages:2.0:"
USER_ID, GROUP_ID = "«user»", "«group»"  # replaced by ids that exist


@dataclass(frozen=True)
class FuzzedRequest:
    """One request; `body` is None for none."""

    method: str
    path: str
    query: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


_BODIES: list[Any] = [
    {
        "schemas": [_CORE + "User", _ENTERPRISE],
        "userName": "ada@example.com",
        "externalId": "00u1",
        "active": "True",
        "name": {"givenName": "Ada", "familyName": "Example", "formatted": None},
        "emails": [{"value": "ada@example.com", "type": "work", "primary": "True"}],
        "roles": [],
        "password": "x",
        "groups": [],
        "meta": {"resourceType": "User"},
        _ENTERPRISE: {"department": "Finance", "manager": {"value": "1"}},
    },
    {
        "schemas": [_CORE + "Group"],
        "id": GROUP_ID,
        "displayName": "Finance",
        "externalId": "g1",
        "members": [{"value": USER_ID, "display": "ada"}, {"value": "00u1"}, {"value": USER_ID}],
    },
    *(
        {"schemas": [_MESSAGES + "PatchOp"], "Operations": operations}
        for operations in (
            [{"op": "replace", "value": {"id": GROUP_ID, "displayName": "Finance"}}],
            [{"op": "add", "path": "members", "value": [{"value": USER_ID}]}],
            [{"op": "Remove", "path": "members", "value": [{"value": USER_ID}, {"value": "x"}]}],
            [{"op": "remove", "path": f'members[value eq "{USER_ID}"]'}],
            [{"op": "replace", "value": {"active": "False"}}],
            [{"op": "Replace", "path": 'emails[type eq "work"].value', "value": "b@example.com"}],
            [{"op": "add", "path": _ENTERPRISE + ":manager", "value": "1"}],
            [{"op": "add", "value": {"name.givenName": "B", _ENTERPRISE + ":department": "x"}}],
            [{"op": "remove", "path": "displayName"}, {"op": "remove", "path": "members"}],
        )
    ),
    {
        "schemas": [_MESSAGES + "SearchRequest"],
        "filter": 'userName sw "a" and not (active eq false)',
        "attributes": ["userName", "members"],
        "sortBy": "displayName",
        "sortOrder": "descending",
        "startIndex": 1,
        "count": 10,
    },
]
_WORDS = [
    *("userName", "emails", "emails.value", 'emails[type eq "work"]', "members", "members.value"),
    *(
        "displayName",
        "externalId",
        "id",
        "active",
        "meta.lastModified",
        "name.familyName",
        "groups",
    ),
    *(_CORE + "User:userName", _ENTERPRISE + ":manager.value", _PROVISIONING + ":counts", "x", ""),
    *("eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr", "and", "or", "not", "(", ")"),
    *("[", "]", ".", ":", '"', "\\", "true", "false", "null", "0", "-1", "1e400", "99999999999999"),
    *(
        '"a"',
        '"%"',
        '"_\\\\"',
        '"\\u0000"',
        '"2020-01-01T00:00:00Z"',
        '"0000-00-00"',
        f'"{USER_ID}"',
    ),
]
_PARAMETERS = [
    *("filter", "attributes", "excludedAttributes", "sortBy", "sortOrder", "startIndex", "count"),
    *("cursor", "aadOptscim062020", "x"),
]
_SEGMENTS = [
    *("Users", "Groups", ".search", "Me", "Bulk", "Schemas", "ResourceTypes", "User", "x"),
    *("ServiceProviderConfig", _CORE + "User", USER_ID, GROUP_ID, "..", "%00", "%2F", "%ff", ""),
]
_PATHS = [
    *("/Users", "/Groups", f"/Users/{USER_ID}", f"/Groups/{GROUP_ID}", "/Users/.search"),
    *("/Groups/.search", "/.search", "/Schemas", "/ServiceProviderConfig", "/ResourceTypes"),
]
_HEADERS = {
    "Accept": ["*/*", "application/scim+json", "application/json;q=0.5", "text/html", ";q=", "*"],
    "Content-Type": [
        *("application/scim+json", "application/json; charset=utf-8", "text/plain", ""),
        *("multipart/form-data; boundary=x", "application/json; charset=\xff"),
    ],
    "If-Match": ['W/"1"', '"1"', "*", 'W/"99999999999999999999"', "", '"a", "b"'],
    "If-None-Match": ['W/"1"', "*", "x"],
    "Content-Encoding": ["gzip", "identity", ""],
    "Accept-Charset": ["utf-8", "x"],
    "Host": ["localhost", "", "a b", "[::1", "x:y:z", "\xff"],
    "X-Forwarded-For": ["1.2.3.4", "\xff"],
    "Range": ["bytes=0-1", "x"],
    "Expect": ["x"],
}
_LATIN = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20)
_TEXT = st.text(max_size=20) | st.sampled_from(_WORDS) | st.sampled_from([USER_ID, GROUP_ID])
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | _TEXT
    | st.sampled_from(["\x00", "\ud800", "a" * 3_000, "İ", "ß", "9" * 400]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*_WORDS[:16], "value", "type", "primary", "op", "path", "$ref"])
            | st.text(max_size=8),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """A valid body with a few of its places changed, removed or put elsewhere."""
    body = json.loads(json.dumps(draw(st.sampled_from(_BODIES))))
    for _ in range(draw(st.integers(0, 3))):
        place = body
        while isinstance(place, dict | list) and place:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
                _change(draw, place, key)
                break
            place = inner
    data = json.dumps(body).encode()
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(data) - 1))
        data = data[:at] + draw(st.binary(max_size=3)) + data[at + draw(st.integers(0, 3)) :]
    return data


def _change(draw: st.DrawFn, place: Any, key: Any) -> None:
    kind = draw(st.sampled_from(["other", "other", "gone", "nested", "added"]))
    if kind == "gone":
        del place[key]
    elif kind == "nested":
        place[key] = [place[key], place[key]]
    elif kind == "added" and isinstance(place, dict):
        place[draw(_TEXT)] = draw(JSON_VALUES)
    else:
        place[key] = draw(JSON_VALUES)


_BODY = (
    st.none()
    | st.binary(max_size=60)
    | JSON_VALUES.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
    | _mutated()
    | _mutated()
    | _mutated()
)
_FILTER = st.lists(st.sampled_from(_WORDS), max_size=9).map(" ".join) | st.text(max_size=30)
_QUERY = st.dictionaries(st.sampled_from(_PARAMETERS), _FILTER | _TEXT, max_size=3)


@st.composite
def requests(draw: st.DrawFn) -> FuzzedRequest:
    """Any request: mostly to addresses that exist, with bodies that begin as valid ones."""
    path = draw(
        st.sampled_from(_PATHS)
        | st.sampled_from(_PATHS)
        | st.lists(st.sampled_from(_SEGMENTS) | st.text(max_size=5), max_size=4).map(
            lambda parts: "/" + "/".join(parts)
        )
    )
    method = draw(
        st.sampled_from(["GET", "POST", "PUT", "PATCH", "POST", "PUT", "PATCH", "DELETE"])
        | st.sampled_from(["HEAD", "OPTIONS", "TRACE", "BREW", "get"])
    )
    headers = {"Content-Type": "application/scim+json"} if draw(st.integers(0, 9)) else {}
    for name in draw(st.sets(st.sampled_from(sorted(_HEADERS)), max_size=2)):
        headers[name] = draw(st.sampled_from(_HEADERS[name]) | _LATIN)
    query = draw(_QUERY)
    return FuzzedRequest(method, path, _encoded(query), headers, draw(_BODY))


@st.composite
def searches(draw: st.DrawFn) -> FuzzedRequest:
    """A search with a filter of the grammar's words in any order, in a query or a body."""
    filter_ = draw(_FILTER)
    path = draw(st.sampled_from(["/Users", "/Groups"]))
    if draw(st.booleans()):
        query = {"filter": filter_} | draw(_QUERY)
        return FuzzedRequest("GET", path, _encoded(query))
    body = {"schemas": [_MESSAGES + "SearchRequest"], "filter": filter_}
    body |= draw(st.dictionaries(st.sampled_from(_PARAMETERS), JSON_VALUES, max_size=2))
    headers = {"Content-Type": "application/scim+json"}
    target = draw(st.sampled_from([f"{path}/.search", "/.search"]))
    return FuzzedRequest("POST", target, "", headers, json.dumps(body).encode())


def _encoded(query: dict[str, str]) -> str:
    return urlencode(query, errors="surrogatepass")
