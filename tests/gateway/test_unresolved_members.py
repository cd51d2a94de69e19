"""Members that name no user yet: kept, shown, resolved, dropped, and never looked up elsewhere."""

from typing import Any
from unittest.mock import patch

from directory import memberships
from scim_gateway.attributes import PROVISIONING_GROUP_SCHEMA as EXTENSION
from tests.support.scim_client import ScimClient, values


def _awaited(scim: ScimClient) -> set[str]:
    return {row.value for row in scim.rows("SELECT value FROM unresolved_members")}


def _add(scim: ScimClient, group: str, *members: str) -> Any:
    operation = {"op": "add", "path": "members", "value": values(list(members))}
    return scim.patch(f"/Groups/{group}", operation)


def test_known_members_of_a_request_take_effect_beside_unknown_ones(scim: ScimClient) -> None:
    """In POST, PATCH and PUT; the unknown ones are in the extension and not among the members."""
    ada, grace, mary = scim.create_users(3)
    group = scim.create_group("Finance", [ada, "u1"])
    assert scim.members(group) == {ada}
    assert _add(scim, group, "u2", grace).status_code == 204
    assert scim.members(group) == {ada, grace}
    shown = scim.send("GET", f"/Groups/{group}").json
    assert {one["value"] for one in shown["members"]} == {ada, grace}
    assert shown[EXTENSION]["counts"]["unresolved"] == 2
    assert sorted(shown[EXTENSION]["unresolved"]) == ["u1", "u2"]
    assert scim.put_group(group, "Finance", ["u3", mary, "u2"]).status_code == 200
    assert scim.members(group) == {mary}
    assert _awaited(scim) == {"u2", "u3"}
    assert scim.send("DELETE", f"/Groups/{group}").status_code == 204
    assert _awaited(scim) == set()


def test_a_user_who_comes_to_be_known_joins_every_group_that_awaits_him(scim: ScimClient) -> None:
    """By POST, or by an externalId that PUT or PATCH gives him; once, whatever names he has."""
    first = scim.create_group("First", ["idp-1", "idp-2"])
    second = scim.create_group("Second", ["idp-1"])
    ada = scim.create_user("ada@example.com", externalId="idp-1")
    assert scim.members(first) == scim.members(second) == {ada}
    grace = scim.create_user("grace@example.com")
    give = {"op": "replace", "value": {"externalId": "idp-2"}}
    assert scim.patch(f"/Users/{grace}", give).status_code == 200
    assert scim.members(first) == {ada, grace}
    assert _awaited(scim) == set()


def test_another_tenants_user_is_never_meant(scim: ScimClient, other_scim: ScimClient) -> None:
    """Neither when the group is pushed nor when the user comes, by id or externalId."""
    theirs = other_scim.create_user("ada@example.com", externalId="idp-1")
    group = scim.create_group("Finance", [theirs, "idp-1", "idp-2"])
    other_scim.create_user("grace@example.com", externalId="idp-2")
    assert scim.members(group) == set()
    assert _awaited(scim) == {theirs, "idp-1", "idp-2"}


def test_unknown_members_are_bounded(scim: ScimClient) -> None:
    """One too many is refused with the remedy and changes nothing; known ones may still come."""
    ada, grace = scim.create_users(2)
    group = scim.create_group("Finance", [ada])
    with patch.object(memberships, "MAX_UNRESOLVED", 3):
        assert _add(scim, group, "u1", "u2", "u3").status_code == 204
        assert _add(scim, group, "u3").status_code == 204
        refused = _add(scim, group, grace, "u4")
        assert 400 <= refused.status_code < 500
        assert "push the users first" in refused.json["detail"]
        assert scim.members(group) == {ada}
        assert _awaited(scim) == {"u1", "u2", "u3"}
        assert _add(scim, group, grace).status_code == 204
        assert scim.put_group(group, "Finance", ["u4", "u5", "u6"]).status_code == 200
    assert _awaited(scim) == {"u4", "u5", "u6"}


def test_a_hundred_of_them_are_shown(scim: ScimClient) -> None:
    """The oldest first, and how many there are."""
    group = scim.create_group("Finance", [f"u{number:03}" for number in range(150)])
    told = scim.send("GET", f"/Groups/{group}").json[EXTENSION]
    assert told["counts"]["unresolved"] == 150
    assert told["unresolved"] == [f"u{number:03}" for number in range(100)]
    settled = "UPDATE groups SET reconciled_version = desired_version"
    scim.execute(settled)
    told = scim.send("GET", f"/Groups/{group}").json[EXTENSION]
    assert told["state"] == "waiting"
    assert told["since"] is not None
