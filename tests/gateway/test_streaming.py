"""Large rosters: streamed from the database, from one moment, and without leaking connections."""

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from flask import Flask
from sqlalchemy import event

from directory import rosters
from scim_gateway.attributes import PROVISIONING_GROUP_SCHEMA as EXTENSION
from tests.support.scim_client import ScimClient, values

SIZE = 12


@pytest.fixture(autouse=True)
def small_chunks() -> Iterator[None]:
    """What happens to large groups only happens to small ones."""
    with patch.object(rosters, "CHUNK", 5):
        yield


def _checked_out(scim: ScimClient) -> int:
    return scim.wiring.engine.pool.checkedout()  # type: ignore[attr-defined,no-any-return] # QueuePool


def _open(app: Flask, scim: ScimClient, group: str, method: str = "GET", **query: str) -> Any:
    return app.test_client().open(
        f"/scim/v2/Groups/{group}",
        method=method,
        query_string=query,
        headers={"Authorization": f"Bearer {scim.token}"},
        buffered=False,
    )


def test_members_have_every_sub_attribute(scim: ScimClient) -> None:
    """RFC 7643 §4.2: value, display, $ref, type; names are escaped; what is not asked for is away.

    The group is the same whether it is read alone or in a list.
    """
    name = 'Ada "the first" \\ Lovelace\n\u2028'
    ada = scim.create_user("ada@example.com", displayName=name)
    others = scim.create_users(SIZE)
    group = scim.create_group("Finance", [ada, *others])
    answer = scim.send("GET", f"/Groups/{group}", excludedAttributes=EXTENSION)
    (shown,) = [one for one in answer.json["members"] if one["value"] == ada]
    location = scim.send("GET", f"/Users/{ada}").json["meta"]["location"]
    assert shown == {"value": ada, "display": name, "$ref": location, "type": "User"}
    assert {one["value"] for one in answer.json["members"]} == {ada, *others}
    assert len(answer.json["members"]) == SIZE + 1
    assert answer.headers["ETag"] == answer.json["meta"]["version"]
    (listed,) = scim.send("GET", "/Groups").json["Resources"]
    assert listed == answer.json
    narrow = scim.send("GET", f"/Groups/{group}", attributes="members.value,members.type").json
    assert narrow["members"][0].keys() == {"value", "type"}
    assert narrow.keys() == {"schemas", "id", "members"}
    without = scim.send("GET", f"/Groups/{group}", excludedAttributes="members.$ref").json
    assert without["members"][0].keys() == {"value", "display", "type"}


@pytest.mark.parametrize("size", [0, 4, 5, 6, 10])
def test_groups_of_every_size_are_complete(scim: ScimClient, size: int) -> None:
    """At the edges of a chunk, too; nobody is an empty list."""
    users = scim.create_users(size)
    group = scim.create_group("Finance", users)
    answer = scim.send("GET", f"/Groups/{group}").json
    assert sorted(one["value"] for one in answer["members"]) == sorted(users)
    assert answer[EXTENSION]["counts"]["desired"] == size
    detail = scim.send("GET", f"/Groups/{group}", attributes=f"{EXTENSION}:members,members").json
    assert len(detail["members"]) == len(detail[EXTENSION]["members"]) == size


def test_a_roster_is_of_one_moment(app: Flask, scim: ScimClient) -> None:
    """Members who change while it is sent are not in it; its ETag is of the roster that is."""
    users = scim.create_users(SIZE)
    group = scim.create_group("Finance", users)
    version = scim.send("GET", f"/Groups/{group}").headers["ETag"]
    response = _open(app, scim, group)
    pieces = iter(response.response)
    first = next(pieces)
    remove = {"op": "remove", "path": "members", "value": values(users)}
    assert scim.patch(f"/Groups/{group}", remove).status_code == 204
    content = json.loads(b"".join([first, *pieces]))
    response.close()
    assert {one["value"] for one in content["members"]} == set(users)
    assert response.headers["ETag"] == version == content["meta"]["version"]
    assert scim.members(group) == set()
    assert _checked_out(scim) == 0


@pytest.mark.parametrize("pieces", [0, 1, 3])
def test_a_client_that_goes_away_leaves_no_connection_behind(
    app: Flask, scim: ScimClient, pieces: int
) -> None:
    """Before the first byte, or midway; and after HEAD, whose body is not asked for."""
    group = scim.create_group("Finance", scim.create_users(SIZE))
    for _ in range(2 * scim.wiring.settings.gateway_threads):
        response = _open(app, scim, group)
        body = iter(response.response)
        for _ in range(pieces):
            next(body)
        response.close()
        assert _checked_out(scim) == 0
    head = _open(app, scim, group, method="HEAD")
    head.close()
    assert head.status_code == 200
    assert _checked_out(scim) == 0


def test_a_failure_before_the_answer_is_an_error_and_leaks_nothing(
    app: Flask, scim: ScimClient
) -> None:
    """What is registered after the view may fail: its error is sent, the roster is not."""
    group = scim.create_group("Finance", scim.create_users(SIZE))

    def fail(response: Any) -> Any:
        if response.is_streamed and response.status_code == 200:
            raise RuntimeError("after the view")
        return response

    app.after_request_funcs.setdefault(None, []).append(fail)
    answer = scim.send("GET", f"/Groups/{group}")
    assert answer.status_code == 500
    assert _checked_out(scim) == 0


def test_a_put_answers_with_the_roster_it_made(scim: ScimClient) -> None:
    """Of any size; it may be narrowed, and a bad projection is refused before anything changes."""
    users = scim.create_users(SIZE)
    group = scim.create_group("Finance")
    answer = scim.put_group(group, "Finance", users)
    assert {one["value"] for one in answer.json["members"]} == set(users)
    body = {"displayName": "Other", "members": []}
    query = {"attributes": "id", "excludedAttributes": "members"}
    refused = scim.send("PUT", f"/Groups/{group}", body, **query)  # type: ignore[arg-type] # text
    assert refused.status_code == 400
    assert scim.members(group) == set(users)


@pytest.mark.slow
def test_a_hundred_thousand_members_take_bounded_memory(app: Flask, scim: ScimClient) -> None:
    """Eighteen megabytes of members pass through a few; the statements are those of the chunks."""
    scim.execute(
        """
        WITH made AS (
            INSERT INTO users (tenant_id, id, user_name, user_name_key)
            SELECT :tenant, gen_random_uuid(), 'bulk' || n, 'bulk' || n
            FROM generate_series(1, 100000) n RETURNING id, user_name
        ), grouped AS (
            INSERT INTO groups (tenant_id, id, display_name, display_name_key)
            VALUES (:tenant, gen_random_uuid(), 'Large', 'large') RETURNING id
        )
        INSERT INTO memberships (tenant_id, group_id, user_id, desired, wanted, display)
        SELECT :tenant, grouped.id, made.id, true, true, made.user_name FROM made, grouped
        """,
        tenant=scim.tenant_id,
    )
    group = str(scim.rows("SELECT id FROM groups")[0].id)
    statements = 0

    def note(*_: Any) -> None:
        nonlocal statements
        statements += 1

    event.listen(scim.wiring.engine, "before_cursor_execute", note)
    with patch.object(rosters, "CHUNK", 5_000):
        tracemalloc.start()
        response = _open(app, scim, group, excludedAttributes=EXTENSION)
        size = sum(len(piece) for piece in response.response)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        response.close()
    event.remove(scim.wiring.engine, "before_cursor_execute", note)
    assert size > 15_000_000
    assert peak < 8_000_000
    assert statements <= 25
