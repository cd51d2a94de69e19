"""Deleted groups: a tombstone for SCIM, and an operator's way back."""

from uuid import UUID, uuid4

import pytest

from directory.errors import NotFoundError, NotRestorableError, TakenError
from directory.group_restore import DeletedGroup, Restored, deleted_groups, restore_group
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from tests.gateway.test_cli import Command, groupseal
from tests.support.scim_client import ScimClient, values

__all__ = ["groupseal"]


def _restore(scim: ScimClient, group: str, name: str | None = None) -> Restored:
    with UnitOfWork(scim.wiring.engine) as uow:
        restored = restore_group(TenantScope(uow.connection, scim.tenant_id), UUID(group), name)
        uow.commit()
    return restored


def _deleted(scim: ScimClient) -> list[DeletedGroup]:
    with UnitOfWork(scim.wiring.engine) as uow:
        return deleted_groups(TenantScope(uow.connection, scim.tenant_id))


def test_a_deleted_group_is_gone_at_once(scim: ScimClient) -> None:
    """404 over SCIM, in no list, nobody wanted in it; its name is free."""
    users = scim.create_users(2)
    group = scim.create_group("Finance", users)
    assert scim.send("DELETE", f"/Groups/{group}").status_code == 204
    assert scim.send("GET", f"/Groups/{group}").status_code == 404
    assert scim.send("DELETE", f"/Groups/{group}").status_code == 404
    assert scim.patch(f"/Groups/{group}", {"op": "remove", "path": "members"}).status_code == 404
    assert scim.send("GET", "/Groups").json["totalResults"] == 0
    assert scim.wanted(group) == set()
    again = scim.create_group("Finance", users[:1])
    assert again != group
    assert scim.members(again) == set(users[:1])


def test_a_restored_group_has_exactly_the_members_it_had(scim: ScimClient) -> None:
    """Under its id; who was removed before stays out, who was deleted since too; the inactive one
    is a member who is not wanted, the held one is held; awaited values are awaited, or join.
    """
    ada, grace, mary, joan, edith = scim.create_users(5)
    group = scim.create_group("Finance", [ada, grace, mary, joan, edith])
    scim.patch(f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{ada}"]'})
    awaited = values(["idp-1", "idp-2"])
    scim.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": awaited})
    scim.execute(
        "UPDATE memberships SET held_reason = 'held_after_restore', wanted = false"
        " WHERE user_id = :user",
        user=UUID(joan),
    )
    version = scim.send("GET", f"/Groups/{group}").headers["ETag"]
    scim.send("DELETE", f"/Groups/{group}")
    scim.send("DELETE", f"/Users/{grace}")
    scim.patch(f"/Users/{mary}", {"op": "replace", "value": {"active": False}})
    arrived = scim.create_user("arrived@example.com", externalId="idp-1")
    # The ledger has let everybody go meanwhile.
    scim.execute("DELETE FROM memberships WHERE NOT desired AND NOT rostered")

    assert _restore(scim, group) == Restored(UUID(group), "Finance", 4, 1, 1)
    assert scim.members(group) == {mary, joan, edith, arrived}
    assert scim.wanted(group) == {edith, arrived}
    assert scim.send("GET", f"/Groups/{group}").headers["ETag"] != version
    (held,) = scim.rows("SELECT user_id FROM memberships WHERE held_reason IS NOT NULL")
    assert str(held.user_id) == joan
    (dirty,) = scim.rows("SELECT desired_version > reconciled_version AS dirty FROM groups")
    assert dirty.dirty
    late = scim.create_user("late@example.com", externalId="idp-2")
    assert late in scim.members(group)
    scim.patch(f"/Users/{mary}", {"op": "replace", "value": {"active": True}})
    assert mary in scim.wanted(group)
    kinds = {row.kind for row in scim.rows("SELECT kind FROM timeline")}
    assert "group_restored" in kinds


def test_a_group_is_restored_before_the_ledger_has_let_its_members_go(scim: ScimClient) -> None:
    """Their rows are there still, and become members again."""
    users = scim.create_users(2)
    group = scim.create_group("Finance", users)
    scim.execute("UPDATE memberships SET rostered = true")
    scim.send("DELETE", f"/Groups/{group}")
    _restore(scim, group)
    assert scim.members(group) == scim.wanted(group) == set(users)


def test_what_cannot_be_restored_says_why(scim: ScimClient, other_scim: ScimClient) -> None:
    """Unknown, another tenant's, live, restored already, its name taken, or too old."""
    (ada,) = scim.create_users(1)
    group = scim.create_group("Finance", [ada])
    with pytest.raises(NotFoundError):
        _restore(scim, str(uuid4()))
    with pytest.raises(NotRestorableError, match="not deleted"):
        _restore(scim, group)
    scim.send("DELETE", f"/Groups/{group}")
    with pytest.raises(NotFoundError):
        _restore(other_scim, group)
    assert _deleted(other_scim) == []
    new = scim.create_group("FINANCE", [ada])
    with pytest.raises(TakenError, match="--as NAME"):
        _restore(scim, group)
    assert _restore(scim, group, "Finance (old)").display_name == "Finance (old)"
    assert scim.members(group) == scim.members(new) == {ada}
    with pytest.raises(NotRestorableError, match="not deleted"):
        _restore(scim, group)

    scim.send("DELETE", f"/Groups/{group}")
    assert [one.display_name for one in _deleted(scim)] == ["Finance (old)"]
    scim.execute("UPDATE groups SET deleted_at = deleted_at - interval '31 days'")
    scim.execute("UPDATE deleted_groups SET deleted_at = deleted_at - interval '31 days'")
    assert _deleted(scim) == []
    with pytest.raises(NotRestorableError, match="30 days only"):
        _restore(scim, group)
    scim.send("DELETE", f"/Groups/{new}")
    assert [str(row.group_id) for row in scim.rows("SELECT group_id FROM deleted_groups")] == [new]


def test_an_operator_restores_a_group(groupseal: Command, scim: ScimClient) -> None:
    """The commands list, refuse with a sentence and status 1, and restore; fsck finds nothing."""
    users = scim.create_users(2)
    group = scim.create_group("Finance", users)
    tenant = ("--tenant", "tenant")
    assert "No group was deleted" in groupseal.run("groups", "deleted", *tenant).stdout
    scim.send("DELETE", f"/Groups/{group}")
    (listed,) = groupseal.json("groups", "deleted", *tenant)["groups"]
    assert (listed["id"], listed["members"]) == (group, 2)
    assert "Finance: 2 members" in groupseal.run("groups", "deleted", *tenant).stdout
    one = (*tenant, "--group", group)
    taken = scim.create_group("Finance")
    assert "--as NAME" in groupseal.run("groups", "restore", *one, status=1).stderr
    scim.send("DELETE", f"/Groups/{taken}")
    restored = groupseal.json("groups", "restore", *one)
    assert restored == {
        "id": group, "display_name": "Finance", "members": 2, "gone": 0, "unresolved": 0
    }  # fmt: skip
    assert "not deleted" in groupseal.run("groups", "restore", *one, status=1).stderr
    wrong = groupseal.run("groups", "restore", *tenant, "--group", "Finance", status=1)
    assert "groupseal groups deleted" in wrong.stderr
    assert scim.members(group) == set(users)
    assert groupseal.json("fsck") == {"findings": []}
