"""Pages of searches: by number, and by cursor (RFC 9865)."""

import time
from typing import Any
from uuid import uuid4

from directory.search_pages import Position
from scim_gateway.cursors import CURSOR_SECONDS, Cursor, cursor_text, search_digest
from tests.support.scim_client import Answer, ScimClient


def _page(scim: ScimClient, path: str = "/Users", **query: str) -> Any:
    answer = scim.send("GET", path, headers={}, **query)
    assert answer.status_code == 200, answer.text
    return answer.json


def _ids(page: Any) -> list[str]:
    return [one["id"] for one in page["Resources"]]


def _refusal(answer: Answer) -> tuple[int, str]:
    return answer.status_code, answer.json["scimType"]


def _seven(scim: ScimClient) -> None:
    """Users of whom some have no name and some the same."""
    for number in range(7):
        name = {"displayName": f"d{number % 2}"} if number % 3 else {}
        scim.create_user(f"u{number}", active=number % 2 == 0, **name)


def test_every_page_by_number_holds_what_belongs_there(scim: ScimClient) -> None:
    """From either end, without gaps and doubles."""
    _seven(scim)
    for query in (
        {},
        {"sortBy": "userName", "sortOrder": "descending"},
        {"sortBy": "displayName"},
        {"sortBy": "displayName", "sortOrder": "descending"},
    ):
        everybody = _ids(_page(scim, **query))
        assert len(everybody) == len(set(everybody)) == 7
        for start in range(1, 9):
            page = _page(scim, startIndex=str(start), count="3", **query)
            assert _ids(page) == everybody[start - 1 : start + 2], (query, start)
            assert (page["totalResults"], page["startIndex"]) == (7, start)
            assert page["itemsPerPage"] == len(page["Resources"])


def test_a_page_has_a_hundred_unless_asked_and_a_thousand_at_most(scim: ScimClient) -> None:
    """No count, or too much of one; a count of nothing tells how many there are."""
    tenant = scim.tenant_id
    scim.execute(
        "INSERT INTO users (tenant_id, id, user_name, user_name_key)"
        " SELECT :tenant, gen_random_uuid(), 'u' || n, 'u' || n FROM generate_series(1, 1001) n",
        tenant=tenant,
    )
    assert len(_page(scim)["Resources"]) == 100
    assert len(_page(scim, count="5000", attributes="id")["Resources"]) == 1000
    for count in ("0", "-5"):
        nothing = _page(scim, count=count)
        assert (nothing["totalResults"], nothing["Resources"]) == (1001, [])


def test_a_walk_by_cursor_sees_everybody_once_and_goes_back(scim: ScimClient) -> None:
    """Also those without a key, and those with the same."""
    _seven(scim)
    for by in ("", "userName", "displayName", "active", "meta.lastModified"):
        query = {"count": "3"} | ({"sortBy": by} if by else {})
        everybody = _ids(_page(scim, **query | {"count": "100"}))
        first = _page(scim, cursor="", **query)
        assert "previousCursor" not in first
        assert "startIndex" not in first
        second = _page(scim, cursor=first["nextCursor"], **query)
        third = _page(scim, cursor=second["nextCursor"], **query)
        assert _ids(first) + _ids(second) + _ids(third) == everybody, by
        assert [page["totalResults"] for page in (first, second, third)] == [7, 7, 7]
        assert "nextCursor" not in third
        back = _page(scim, cursor=third["previousCursor"], **query)
        assert _ids(back) == _ids(second)
        start = _page(scim, cursor=back["previousCursor"], **query)
        assert _ids(start) == _ids(first)
        assert "previousCursor" not in start
        assert _ids(_page(scim, cursor=start["nextCursor"], **query)) == _ids(second)


def test_who_comes_or_goes_during_a_walk_neither_shifts_nor_doubles_a_page(
    scim: ScimClient,
) -> None:
    """A page begins at a place, not at a number."""
    ids = scim.create_users(4)
    first = _page(scim, cursor="", count="2")
    assert scim.send("DELETE", f"/Users/{ids[0]}").status_code == 204
    late = scim.create_user("late")
    second = _page(scim, cursor=first["nextCursor"], count="2")
    third = _page(scim, cursor=second["nextCursor"])
    assert (_ids(first), _ids(second), _ids(third)) == (ids[:2], ids[2:], [late])


def test_groups_are_walked_with_a_filter(scim: ScimClient) -> None:
    """A cursor continues the search that it came from."""
    for number in range(5):
        scim.create_group(f"g{number}")
    query = {"filter": 'displayName ne "g2"', "count": "2"}
    first = _page(scim, "/Groups", cursor="", **query)
    second = _page(scim, "/Groups", cursor=first["nextCursor"], **query)
    names = [one["displayName"] for one in first["Resources"] + second["Resources"]]
    assert names == ["g0", "g1", "g3", "g4"]
    assert "nextCursor" not in second


def test_users_and_groups_are_walked_together(scim: ScimClient) -> None:
    """POST /.search with cursors."""
    everything = {*scim.create_users(3), scim.create_group("a"), scim.create_group("b")}
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = scim.send("POST", "/.search", {"count": 2, "cursor": cursor}).json
        seen += _ids(page)
        cursor = page.get("nextCursor")
    assert len(seen) == 5
    assert set(seen) == everything


def test_a_cursor_fits_its_own_search_alone(scim: ScimClient, other_scim: ScimClient) -> None:
    """Not another filter, order, kind or tenant: invalidCursor, and nothing is returned."""
    for client in (scim, other_scim):
        client.create_users(3)
    cursor = _page(scim, cursor="", count="1")["nextCursor"]
    for answer in (
        scim.send("GET", "/Users", cursor=cursor, filter="userName pr"),
        scim.send("GET", "/Users", cursor=cursor, sortBy="userName"),
        scim.send("GET", "/Groups", cursor=cursor),
        scim.send("POST", "/.search", {"cursor": cursor}),
        other_scim.send("GET", "/Users", cursor=cursor),
        scim.send("GET", "/Users", cursor=cursor[:-3]),
        scim.send("GET", "/Users", cursor="ä"),
        scim.send("GET", "/Users", cursor="W10"),
        scim.send("GET", "/Users", cursor="x" * 5000),
    ):
        assert _refusal(answer) == (400, "invalidCursor")


def test_the_size_of_pages_stays(scim: ScimClient) -> None:
    """invalidCount for another count than the first page's, and for one that is no size."""
    scim.create_users(3)
    cursor = _page(scim, cursor="", count="1")["nextCursor"]
    for count in ("2", "-1", "1001", "x"):
        answer = scim.send("GET", "/Users", cursor=cursor, count=count)
        assert _refusal(answer) == (400, "invalidCount")
    assert len(_page(scim, cursor=cursor)["Resources"]) == 1
    answer = scim.send("GET", "/Users", cursor=cursor, startIndex="2")
    assert _refusal(answer) == (400, "invalidValue")


def _made_up(scim: ScimClient, key: object, age: float = 0, *, by: str = "None") -> str:
    digest = search_digest(str(scim.tenant_id), "users", "None", by.lower(), "False")
    cursor = Cursor(Position(key, str(uuid4())), False, 1, 1)
    return cursor_text(cursor, digest, time.time() - age)


def test_an_old_cursor_has_expired(scim: ScimClient) -> None:
    """expiredCursor, after the time that ServiceProviderConfig announces."""
    scim.create_users(1)
    answer = scim.send(
        "GET",
        "/Users",
        cursor=_made_up(scim, "u", CURSOR_SECONDS + 5, by="userName"),
        sortBy="userName",
    )
    assert _refusal(answer) == (400, "expiredCursor")
    fresh = _made_up(scim, "a", by="userName")
    assert len(_page(scim, cursor=fresh, sortBy="userName")["Resources"]) == 1


def test_a_changed_cursor_is_refused(scim: ScimClient) -> None:
    """A place of another type than the order's would be a fault in the database."""
    for key in ("text", True, 7, ["x"], {"a": 1}):
        answer = scim.send("GET", "/Users", cursor=_made_up(scim, key))
        assert _refusal(answer) == (400, "invalidCursor")
