"""Searches among 100,000 users: look-ups touch the rows they need, and the last page is like the
first.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import pytest

from tests.support.scim_client import ScimClient

_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def _fill(scim: ScimClient, count: int) -> None:
    scim.execute(
        "INSERT INTO users (tenant_id, id, external_id, user_name, user_name_key, display_name,"
        " emails, primary_email_key, email_keys, attributes)"
        " SELECT :tenant, gen_random_uuid(), 'x' || n, 'u' || n, 'u' || n, 'Name ' || n,"
        " jsonb_build_array(jsonb_build_object('value', 'u' || n || '@x', 'type', 'work')),"
        " 'u' || n || '@x', ARRAY['u' || n || '@x', 'work u' || n || '@x'],"
        " jsonb_build_object(CAST(:urn AS text), jsonb_build_object('manager',"
        " jsonb_build_object('value', 'm' || n / 10)), 'title', 'T' || n)"
        " FROM generate_series(1, :count) n",
        tenant=scim.tenant_id,
        urn=_URN,
        count=count,
    )
    scim.execute("ANALYZE users")


def _milliseconds(call: Callable[[], Any]) -> float:
    """The median of a few calls."""
    times = []
    for _ in range(7):
        begun = time.perf_counter()
        call()
        times.append((time.perf_counter() - begun) * 1000)
    return median(times)


_LOOK_UPS = [
    'userName eq "U500"',
    'externalId eq "x500"',
    'email eq "u500@x"',
    'emails.value eq "u500@x"',
    'emails[type eq "work"].value eq "u500@x"',
    'displayName eq "name 500"',
    'manager eq "m500"',
]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_among_a_hundred_thousand_users(scim: ScimClient) -> None:
    """Look-ups by index take a fraction of a walk through all; a page by cursor is as fast at the
    end as at the beginning, in the order of age and by name."""
    _fill(scim, 100_000)

    def page(**query: str) -> Any:
        answer = scim.send("GET", "/Users", headers={}, attributes="userName", **query)
        assert answer.status_code == 200, answer.text
        return answer.json

    walk = _milliseconds(partial(page, filter='title eq "t500"'))
    for filter_ in _LOOK_UPS:
        assert page(filter=filter_)["totalResults"] in {1, 10}
        look_up = _milliseconds(partial(page, filter=filter_))
        assert look_up < walk / 4, f"{look_up:.1f} of {walk:.1f} ms: {filter_}"

    for order in ({}, {"sortBy": "meta.created"}, {"sortBy": "userName"}):
        pages = [page(cursor="", count="1000", **order)]
        while "nextCursor" in pages[-1]:
            pages.append(page(cursor=pages[-1]["nextCursor"], **order))
        assert len({one["id"] for each in pages for one in each["Resources"]}) == 100_000
        early, late = (
            _milliseconds(partial(page, cursor=pages[at]["nextCursor"], **order)) for at in (0, -2)
        )
        assert late < 3 * early + 20, f"{early:.1f} and {late:.1f} ms: {order}"
