"""Changes of groups, at once and again: nothing lost, nothing written twice."""

from functools import partial
from typing import Any
from uuid import UUID

import pytest

from tests.support.at_once import at_once
from tests.support.scim_client import ScimClient, values


def _writes(scim: ScimClient, group: str) -> Any:
    """What every write of a group, its memberships or its events changes."""
    (row,) = scim.rows(
        "SELECT CAST(xmin AS text) AS writer, version, desired_version, updated_at,"
        " (SELECT count(*) FROM timeline) AS events FROM groups WHERE id = :id",
        id=UUID(group),
    )
    members = scim.rows(
        "SELECT user_id, CAST(xmin AS text) AS writer FROM memberships WHERE group_id = :id",
        id=UUID(group),
    )
    return row, {str(member.user_id): member.writer for member in members}


def _patched(scim: ScimClient, group: str, operation: dict[str, Any]) -> int:
    return scim.patch(f"/Groups/{group}", operation).status_code


def _put(scim: ScimClient, group: str, body: dict[str, Any], etag: str) -> int:
    return scim.send("PUT", f"/Groups/{group}", body, headers={"If-Match": etag}).status_code


def _add(*users: str) -> dict[str, Any]:
    return {"op": "add", "path": "members", "value": values(list(users))}


def _remove(user: str) -> dict[str, Any]:
    return {"op": "remove", "path": f'members[value eq "{user}"]'}


def _rename(name: str) -> dict[str, Any]:
    return {"op": "replace", "value": {"displayName": name}}


def test_a_rename_and_a_change_of_members_at_once_keep_both(scim: ScimClient) -> None:
    """PATCHes of the name and of members do not undo each other."""
    users = scim.create_users(6)
    group = scim.create_group("Finance 0", users[:1])
    for number in range(1, 5):
        answers = at_once(
            partial(_patched, scim, group, _rename(f"Finance {number}")),
            partial(_patched, scim, group, _add(users[number])),
            partial(_patched, scim, group, _remove(users[number - 1])),
        )
        assert answers == [204, 204, 204]
        shown = scim.send("GET", f"/Groups/{group}").json
        assert shown["displayName"] == f"Finance {number}"
        assert [one["value"] for one in shown["members"]] == [users[number]]


def test_of_two_puts_with_the_same_etag_one_wins(scim: ScimClient) -> None:
    """The other is refused with 412, and its roster is nowhere."""
    users = scim.create_users(4)
    group = scim.create_group("Finance")
    lists = [users[:2], users[2:]]
    for number in range(4):
        etag = scim.send("GET", f"/Groups/{group}").headers["ETag"]

        bodies = [
            {"displayName": f"Finance {number}", "members": values(members)} for members in lists
        ]
        answers = at_once(*(partial(_put, scim, group, body, etag) for body in bodies))
        assert set(answers) == {200, 412}
        assert scim.members(group) == set(lists[answers.index(200)])


@pytest.mark.parametrize(
    "form", ["add", "remove", "replace", "rename", "rename with id", "externalId", "put"]
)
def test_a_request_that_is_repeated_writes_nothing(scim: ScimClient, form: str) -> None:
    """A lost answer is no harm: neither row, version nor event comes of the second one."""
    ada, grace, mary = scim.create_users(3)
    group = scim.create_group("Finance", [ada, grace])
    operations = {
        "add": _add(mary, mary, ada),
        "remove": _remove(ada),
        "replace": {"op": "replace", "path": "members", "value": values([mary, ada])},
        "rename": _rename("Accounting"),
        "rename with id": {"op": "replace", "value": {"id": group, "displayName": "Accounting"}},
        "externalId": {"op": "add", "path": "externalId", "value": "idp-1"},
    }

    def send() -> int:
        if form == "put":
            return scim.put_group(group, "Accounting", [mary, ada]).status_code
        return scim.patch(f"/Groups/{group}", operations[form]).status_code

    before = _writes(scim, group)
    first = send()
    assert first in {200, 204}
    after = _writes(scim, group)
    assert after[0].version == before[0].version + 1
    assert send() == first
    assert _writes(scim, group) == after


def test_a_rename_to_its_own_name_writes_nothing_and_wakes_nobody(scim: ScimClient) -> None:
    """As Okta sends it with every push, with the id; PUT, and another case are told apart."""
    (ada,) = scim.create_users(1)
    group = scim.create_group("Finance", [ada])
    before = _writes(scim, group)
    etag = scim.send("GET", f"/Groups/{group}").headers["ETag"]
    for answer in (
        scim.patch(f"/Groups/{group}", _rename("Finance")),
        scim.patch(
            f"/Groups/{group}", {"op": "replace", "value": {"id": group, "displayName": "Finance"}}
        ),
        scim.patch(
            f"/Groups/{group}", {"op": "Replace", "path": "displayName", "value": "Finance"}
        ),
        scim.put_group(group, "Finance", [ada]),
    ):
        assert answer.status_code in {200, 204}
        assert answer.headers["ETag"] == etag
    assert _writes(scim, group) == before
    assert scim.patch(f"/Groups/{group}", _rename("FINANCE")).status_code == 204
    assert scim.send("GET", f"/Groups/{group}").json["displayName"] == "FINANCE"


@pytest.mark.parametrize("change", ["add", "remove"])
def test_a_put_with_one_difference_touches_one_row(scim: ScimClient, change: str) -> None:
    """One membership is written and one event; the others stay as they are."""
    users = scim.create_users(8)
    before_list, after_list = users[:7], users[:8] if change == "add" else users[:6]
    group = scim.create_group("Finance", before_list)
    before = _writes(scim, group)
    assert scim.put_group(group, "Finance", after_list).status_code == 200
    after = _writes(scim, group)
    changed = {user for user, writer in after[1].items() if before[1].get(user) != writer}
    assert changed == {users[7] if change == "add" else users[6]}
    assert after[0].events == before[0].events + 1
    assert scim.members(group) == set(after_list)
