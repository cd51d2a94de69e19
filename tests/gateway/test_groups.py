"""Groups: every form in which identity providers change members, and what it costs."""

from typing import Any

import pytest
from sqlalchemy import event

from tests.support.scim_client import ScimClient, values


def test_a_group_is_created_with_members_and_found_by_name(scim: ScimClient) -> None:
    """POST carries the full list; the name is found in any case; the answer counts itself."""
    ada, grace = scim.create_users(2)
    group = scim.create_group("Finance", [ada, grace])
    assert scim.members(group) == {ada, grace}
    found = scim.send(
        "GET", "/Groups", filter='displayName eq "finance"', startIndex="1", count="100"
    ).json
    assert (found["totalResults"], found["itemsPerPage"], found["startIndex"]) == (1, 1, 1)
    assert found["Resources"][0]["id"] == group
    without = scim.send(
        "GET", "/Groups", filter='displayName eq "Finance"', excludedAttributes="members"
    ).json
    assert "members" not in without["Resources"][0]


def test_nothing_found_is_an_empty_list(scim: ScimClient) -> None:
    """Identity providers read 404 as a failure."""
    response = scim.send("GET", "/Groups", filter='displayName eq "Nobody"')
    assert response.status_code == 200
    assert response.json["totalResults"] == 0
    assert response.json["Resources"] == []


def _on_members(op: str, *members: Any) -> list[dict[str, Any]]:
    return [{"op": op, "path": "members", "value": [*members]}]


def forms(ada: str, grace: str, mary: str) -> list[tuple[str, list[dict[str, Any]], set[str]]]:
    """From {ada, grace}: name of the form, operations, members afterwards."""
    everybody = {ada, grace, mary}
    replace_all = {"op": "replace", "path": "members", "value": values([mary])}
    return [
        ("add", [{"op": "add", "path": "members", "value": values([mary])}], everybody),
        (
            "add with display",
            [{"op": "add", "path": "members", "value": [{"value": mary, "display": "Mary"}]}],
            everybody,
        ),
        (
            "capitalised",
            _on_members("Add", *values([mary])),
            everybody,
        ),
        (
            "add one object",
            [{"op": "add", "path": "members", "value": {"value": mary}}],
            everybody,
        ),
        (
            "add again",
            _on_members("add", *values([ada, ada])),
            {ada, grace},
        ),
        (
            "add without path",
            [{"op": "add", "value": {"members": values([mary])}}],
            everybody,
        ),
        ("remove by filter", [{"op": "remove", "path": f'members[value eq "{ada}"]'}], {grace}),
        ("remove by list", [{"op": "Remove", "path": "members", "value": values([ada])}], {grace}),
        ("remove absent", [{"op": "remove", "path": f'members[value eq "{mary}"]'}], {ada, grace}),
        ("remove all", [{"op": "remove", "path": "members"}], set()),
        ("replace", [replace_all], {mary}),
        ("replace with none", [{"op": "replace", "path": "members", "value": []}], set()),
        ("replace without path", [{"op": "replace", "value": {"members": values([mary])}}], {mary}),
        (
            "mixed in one request",
            [
                {"op": "remove", "path": f'members[value eq "{ada}"]'},
                {"op": "add", "path": "members", "value": values([mary])},
                {"op": "replace", "value": {"id": "ignored", "displayName": "Renamed"}},
            ],
            {grace, mary},
        ),
        (
            "remove and add again",
            [
                {"op": "remove", "path": f'members[value eq "{ada}"]'},
                {"op": "add", "path": "members", "value": values([ada])},
            ],
            {ada, grace},
        ),
        (
            "replace, then add and remove",
            [
                replace_all,
                {"op": "add", "path": "members", "value": values([ada])},
                {"op": "remove", "path": f'members[value eq "{mary}"]'},
            ],
            {ada},
        ),
    ]


@pytest.mark.parametrize("number", range(len(forms("", "", ""))))
def test_members_change_in_every_form(scim: ScimClient, number: int) -> None:
    """SCIM shows the members that the operations lead to, and they are wanted of the service."""
    ada, grace, mary = scim.create_users(3)
    group = scim.create_group("Finance", [ada, grace])
    name, operations, expected = forms(ada, grace, mary)[number]
    response = scim.patch(f"/Groups/{group}", *operations)
    assert response.status_code == 204, name
    assert scim.members(group) == expected, name
    assert scim.wanted(group) == expected, name


def test_put_takes_the_whole_list(scim: ScimClient) -> None:
    """PUT with id and members, as the wizard's applications send it; the answer is the group."""
    ada, grace, mary = scim.create_users(3)
    group = scim.create_group("Finance", [ada, grace])
    response = scim.put_group(group, "Finance", [grace, mary])
    assert response.status_code == 200
    assert {member["value"] for member in response.json["members"]} == {grace, mary}
    assert scim.wanted(group) == {grace, mary}


def test_what_changes_nothing_costs_nothing(scim: ScimClient) -> None:
    """A rename to the same name, members who are there already: no new version, no dirty mark."""
    ada, grace = scim.create_users(2)
    group = scim.create_group("Finance", [ada, grace])
    before = _state(scim, group)
    scim.patch(
        f"/Groups/{group}", {"op": "replace", "value": {"id": group, "displayName": "Finance"}}
    )
    scim.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": values([ada])})
    scim.patch(
        f"/Groups/{group}", {"op": "replace", "path": "members", "value": values([grace, ada])}
    )
    scim.put_group(group, "Finance", [ada, grace])
    assert _state(scim, group) == before


def test_a_put_of_a_large_group_touches_one_row(scim: ScimClient) -> None:
    """10,000 members with one difference: one membership is written, and one added."""
    scim.execute(
        """
        INSERT INTO users (tenant_id, id, user_name, user_name_key)
        SELECT :tenant, gen_random_uuid(), 'bulk' || n, 'bulk' || n
        FROM generate_series(1, 10001) n
        """,
        tenant=scim.tenant_id,
    )
    users = [str(row.id) for row in scim.rows("SELECT id FROM users")]
    group = scim.create_group("Large", users[:-1])
    before = {row.user_id: row.place for row in _places(scim, group)}
    response = scim.put_group(group, "Large", users[1:])
    assert response.status_code == 200
    assert len(response.json["members"]) == 10_000
    after = {row.user_id: row.place for row in _places(scim, group)}
    changed = {str(user) for user, place in after.items() if before.get(user) != place}
    assert changed == {users[0], users[-1]}
    assert scim.wanted(group) == set(users[1:])


def test_one_member_costs_the_same_in_every_group(scim: ScimClient) -> None:
    """The number of statements of a PATCH does not grow with the group."""
    users = scim.create_users(60)
    small = scim.create_group("Small", users[:2])
    large = scim.create_group("Large", users[:50])
    counts = []
    for group, user in ((small, users[58]), (small, users[59]), (large, users[59])):
        statements: list[str] = []

        def note(*args: Any, statements: list[str] = statements) -> None:
            statements.append(args[2])

        event.listen(scim.wiring.engine, "before_cursor_execute", note)
        add = {"op": "add", "path": "members", "value": values([user])}
        assert scim.patch(f"/Groups/{group}", add).status_code == 204
        event.remove(scim.wiring.engine, "before_cursor_execute", note)
        counts.append(len(statements))
    assert counts[1] == counts[2] <= 5, counts


def test_unknown_members_are_awaited(scim: ScimClient) -> None:
    """The known ones join at once; the unknown one when his externalId appears."""
    ada = scim.create_user("ada@example.com")
    group = scim.create_group("Finance", [ada, "00u-later"])
    assert scim.members(group) == {ada}
    version = _state(scim, group).desired_version
    grace = scim.create_user("grace@example.com", externalId="00u-later")
    assert scim.members(group) == scim.wanted(group) == {ada, grace}
    assert _state(scim, group).desired_version == version + 1
    assert scim.rows("SELECT 1 FROM unresolved_members") == []


def test_an_awaited_member_may_be_taken_back(scim: ScimClient) -> None:
    """A list that no longer names him, or his removal, ends the waiting."""
    group = scim.create_group("Finance", ["one", "two", "three"])
    scim.patch(f"/Groups/{group}", {"op": "remove", "path": 'members[value eq "one"]'})
    scim.put_group(group, "Finance", ["two"])
    assert [row.value for row in scim.rows("SELECT value FROM unresolved_members")] == ["two"]


def test_a_user_is_named_by_id_or_external_id(scim: ScimClient) -> None:
    """Both name the same member; together in one list they are one."""
    ada = scim.create_user("ada@example.com", externalId="00u1")
    group = scim.create_group("Finance", ["00u1", ada])
    assert scim.members(group) == {ada}
    scim.put_group(group, "Finance", ["00u1"])
    assert scim.members(group) == {ada}
    scim.patch(f"/Groups/{group}", {"op": "remove", "path": 'members[value eq "00u1"]'})
    assert scim.members(group) == set()


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "owners", "value": []},
        {"op": "merge", "path": "members", "value": []},
        {"op": "add", "path": "members", "value": [{"ref": "x"}]},
        {"op": "add", "path": "members", "value": [7]},
        {"op": "add", "path": "members", "value": None},
        {"op": "replace", "path": "members", "value": None},
        {"op": "replace", "path": 'members[value eq "x"]', "value": []},
        {"op": "remove", "path": 'members[display eq "x"]'},
        {"op": "remove", "path": "members[value eq x"},
        {"op": "remove"},
        {"op": "remove", "path": "displayName"},
        {"op": "replace", "value": {"displayName": ""}},
        {"op": "replace", "value": {"nickname": "x"}},
        {"op": "replace", "path": "id", "value": "x"},
        {"op": "add"},
        "add",
    ],
)
def test_what_is_not_understood_changes_nothing(scim: ScimClient, operation: Any) -> None:
    """400 for the request as a whole, valid operations before included."""
    ada, grace = scim.create_users(2)
    group = scim.create_group("Finance", [ada])
    before = _state(scim, group)
    valid = {"op": "add", "path": "members", "value": values([grace])}
    response = scim.patch(f"/Groups/{group}", valid, operation)
    assert response.status_code == 400
    assert response.json["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert scim.members(group) == {ada}
    assert _state(scim, group) == before


def test_deleting_a_group_ends_every_membership(scim: ScimClient) -> None:
    """204, then 404; the rows wait for the ledger, and the name is free."""
    (ada,) = scim.create_users(1)
    group = scim.create_group("Finance", [ada])
    assert scim.send("DELETE", f"/Groups/{group}").status_code == 204
    assert scim.send("GET", f"/Groups/{group}").status_code == 404
    assert scim.send("DELETE", f"/Groups/{group}").status_code == 404
    assert scim.wanted(group) == set()
    assert _state(scim, group).dirty
    assert scim.create_group("Finance") != group


def test_a_push_confirms_who_is_held(scim: ScimClient) -> None:
    """After a restore a hold ends with a new push that names the member, in both dialects."""
    ada, grace, mary = scim.create_users(3)
    group = scim.create_group("Finance", [ada, grace, mary])
    scim.execute(
        "UPDATE memberships SET held_reason = 'held_after_restore', wanted = false "
        "WHERE user_id <> :id",
        id=mary,
    )
    scim.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": values([ada])})
    assert scim.wanted(group) == {ada, mary}
    scim.put_group(group, "Finance", [ada, grace, mary])
    assert scim.wanted(group) == {ada, grace, mary}


def test_a_name_in_use_is_a_conflict(scim: ScimClient) -> None:
    """409 uniqueness for a second group of that name, new or renamed."""
    scim.create_group("Finance")
    other = scim.create_group("Sales")
    created = scim.send("POST", "/Groups", {"displayName": "finance"})
    renamed = scim.patch(
        f"/Groups/{other}", {"op": "replace", "path": "displayName", "value": "Finance"}
    )
    for response in (created, renamed):
        assert response.status_code == 409
        assert response.json["scimType"] == "uniqueness"


def test_versions_guard_changes(scim: ScimClient) -> None:
    """If-Match with an old ETag is refused; If-None-Match with the present one is 304."""
    (ada,) = scim.create_users(1)
    group = scim.create_group("Finance")
    etag = scim.send("GET", f"/Groups/{group}").headers["ETag"]
    assert etag == 'W/"1"'
    add = {"op": "add", "path": "members", "value": values([ada])}
    first = scim.patch(f"/Groups/{group}", add, **{"If-Match": etag})
    assert first.status_code == 204
    assert first.headers["ETag"] == 'W/"2"'
    assert scim.patch(f"/Groups/{group}", add, **{"If-Match": etag}).status_code == 412
    read = scim.send("GET", f"/Groups/{group}", headers={"If-None-Match": 'W/"2"'})
    assert read.status_code == 304


def _state(scim: ScimClient, group: str) -> Any:
    (row,) = scim.rows(
        "SELECT version, desired_version, desired_version > reconciled_version AS dirty "
        "FROM groups WHERE id = :id",
        id=group,
    )
    return row


def _places(scim: ScimClient, group: str) -> list[Any]:
    """Where each membership's row is stored: another place after every write."""
    return scim.rows(
        "SELECT user_id, CAST(ctid AS text) AS place FROM memberships WHERE group_id = :id",
        id=group,
    )
