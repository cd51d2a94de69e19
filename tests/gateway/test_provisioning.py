"""The provisioning extension: what of the desired state is in effect."""

from typing import Any
from uuid import UUID

import pytest

from directory.membership_state import MembershipFacts
from directory.standing import Standing, standing_of
from groupseal.reasons import Reason
from scim_gateway.attributes import PROVISIONING_GROUP_SCHEMA as GROUP
from scim_gateway.attributes import PROVISIONING_USER_SCHEMA as USER
from tests.support.scim_client import ScimClient, values

_NOBODY = {
    "desired": 0,
    "committed": 0,
    "waiting": 0,
    "refused": 0,
    "held": 0,
    "inactive": 0,
    "leaving": 0,
}


def of_group(scim: ScimClient, group: str, attributes: str = "") -> Any:
    """The extension of a group that is read."""
    return scim.send("GET", f"/Groups/{group}", attributes=attributes).json[GROUP]


def of_user(scim: ScimClient, user: str, attributes: str = "") -> Any:
    """The same of a user."""
    return scim.send("GET", f"/Users/{user}", attributes=attributes).json[USER]


def bind(scim: ScimClient, user: str) -> bytes:
    """A bound key, as the ledger's copy would hold it; returns its id."""
    key_id = UUID(user).bytes * 2
    scim.execute(
        "INSERT INTO member_keys (tenant_id, key_id, member_id, suite, hpke_public_key,"
        " signing_public_key, possession_proof, state)"
        " VALUES (:tenant, :key, :user, 1, 'x', 'y', 'z', 'bound')",
        tenant=scim.tenant_id,
        key=key_id,
        user=UUID(user),
    )
    return key_id


def grant(scim: ScimClient, group: str, user: str, epoch: int) -> None:
    """A committed membership, as the ledger's copy would hold it."""
    key_id = bind(scim, user)
    parameters = {
        "tenant": scim.tenant_id, "group": UUID(group), "user": UUID(user), "key": key_id
    }  # fmt: skip
    scim.execute(
        "INSERT INTO grants (tenant_id, group_id, member_id, key_id, epoch, envelope,"
        " envelope_hash, position, batch_index) VALUES (:tenant, :group, :user, :key, :epoch, 'e',"
        " 'h', 1, 0)",
        epoch=epoch,
        **parameters,
    )
    scim.execute(
        "UPDATE memberships SET rostered = true, grant_key_id = :key"
        " WHERE tenant_id = :tenant AND group_id = :group AND user_id = :user",
        **parameters,
    )


def settle(scim: ScimClient, group: str, epoch: int, *, is_open: bool = True) -> None:
    """The group is reconciled."""
    scim.execute(
        "UPDATE groups SET reconciled_version = desired_version, epoch = :epoch,"
        " epoch_open = :open WHERE id = :group",
        group=UUID(group),
        epoch=epoch,
        open=is_open,
    )
    scim.execute("UPDATE tenants SET state = 'new'")


def test_every_state_is_counted_with_its_reason(scim: ScimClient) -> None:
    """Committed, waiting for a key or a worker, refused, held, inactive, leaving, unresolved."""
    names = ("done", "old", "keyless", "queued", "refused", "held", "inactive", "leaving")
    users = {name: scim.create_user(f"{name}@example.com") for name in names}
    group = scim.create_group("Finance", list(users.values()))
    for name, epoch in (("done", 2), ("old", 1), ("leaving", 2)):
        grant(scim, group, users[name], epoch)
    for name in ("queued", "refused", "held"):
        bind(scim, users[name])
    scim.execute(
        "UPDATE memberships SET reason = 'roster_too_large' WHERE user_id = :user",
        user=UUID(users["refused"]),
    )
    scim.execute(
        "UPDATE memberships SET held_reason = 'held_after_restore', wanted = false"
        " WHERE user_id = :user",
        user=UUID(users["held"]),
    )
    scim.patch(f"/Users/{users['inactive']}", {"op": "replace", "value": {"active": False}})
    removal = {"op": "remove", "path": f'members[value eq "{users["leaving"]}"]'}
    scim.patch(f"/Groups/{group}", removal)
    awaited = {"op": "add", "path": "members", "value": values(["later-2", "later-1"])}
    scim.patch(f"/Groups/{group}", awaited)
    settle(scim, group, 2)

    told = of_group(scim, group)
    assert told.pop("since") is not None
    assert told == {
        "state": "pending",
        "reason": "not_connected",
        "epoch": 2,
        "epochOpen": True,
        "counts": {
            "desired": 7,
            "committed": 1,
            "waiting": 3,
            "refused": 1,
            "held": 1,
            "inactive": 1,
            "leaving": 1,
            "unresolved": 2,
        },
        "reasons": [
            {"reason": "no_key", "count": 1},
            {"reason": "queued", "count": 1},
            {"reason": "roster_too_large", "count": 1},
            {"reason": "rotating", "count": 1},
        ],
        "unresolved": ["later-1", "later-2"],
    }
    detail = of_group(scim, group, attributes=f"{GROUP}:members")
    assert set(detail) == {"members"}
    shown = {one["value"]: (one["state"], one.get("reason")) for one in detail["members"]}
    assert shown == {
        users["done"]: ("committed", None),
        users["old"]: ("waiting", "rotating"),
        users["keyless"]: ("waiting", "no_key"),
        users["queued"]: ("waiting", "queued"),
        users["refused"]: ("refused", "roster_too_large"),
        users["held"]: ("held", "held_after_restore"),
        users["inactive"]: ("inactive", None),
        users["leaving"]: ("leaving", None),
    }
    assert all(one["since"] for one in detail["members"])


def test_a_group_in_one_word(scim: ScimClient) -> None:
    """Pending until it is reconciled, waiting for whom only a person can help, then in sync; while
    the key is being replaced it is pending again; halted with the tenant.
    """
    (ada,) = scim.create_users(1)
    group = scim.create_group("Finance", [ada])
    assert of_group(scim, group)["state"] == "pending"
    settle(scim, group, 1)
    told = of_group(scim, group)
    assert (told["state"], told["reasons"]) == ("waiting", [{"reason": "no_key", "count": 1}])
    assert "reason" not in told
    grant(scim, group, ada, 1)
    told = of_group(scim, group)
    assert told == {
        "state": "in_sync",
        "epoch": 1,
        "epochOpen": True,
        "counts": {**_NOBODY, "desired": 1, "committed": 1, "unresolved": 0},
        "reasons": [],
        "unresolved": [],
    }
    settle(scim, group, 1, is_open=False)
    assert of_group(scim, group)["state"] == "pending"
    scim.execute("UPDATE tenants SET halted_reason = 'ledger_forked'")
    told = of_group(scim, group)
    assert (told["state"], told["reason"]) == ("halted", "ledger_forked")


def test_a_user_sees_his_groups_and_what_is_in_effect(scim: ScimClient) -> None:
    """`groups` is the desired state; the extension counts devices and memberships."""
    ada, grace = scim.create_users(2)
    finance, sales = scim.create_group("Finance", [ada, grace]), scim.create_group("Sales", [ada])
    gone = scim.create_group("Gone", [ada])
    scim.send("DELETE", f"/Groups/{gone}")
    settle(scim, finance, 1)
    grant(scim, finance, ada, 1)
    user = scim.send("GET", f"/Users/{ada}").json
    assert user["schemas"][-1] == USER
    assert [(one["display"], one["value"], one["type"]) for one in user["groups"]] == [
        ("Finance", finance, "direct"),
        ("Sales", sales, "direct"),
    ]
    assert user["groups"][0]["$ref"].endswith(f"/scim/v2/Groups/{finance}")
    told = user[USER]
    assert told["devices"] == 1
    assert told["counts"] == {**_NOBODY, "desired": 2, "committed": 1, "waiting": 1}
    assert told["reasons"] == [{"reason": "queued", "count": 1}]
    assert of_user(scim, grace)["counts"]["waiting"] == 1
    detail = of_user(scim, ada, attributes=f"{USER}:memberships")
    assert {(one["value"], one["state"]) for one in detail["memberships"]} == {
        (finance, "committed"),
        (sales, "waiting"),
    }
    listed = scim.send("GET", "/Users", attributes="userName,groups.display").json["Resources"]
    assert [one.get("groups", []) for one in listed] == [
        [{"display": "Finance"}, {"display": "Sales"}],
        [{"display": "Finance"}],
    ]
    without = scim.send("GET", f"/Users/{ada}", excludedAttributes=f"groups,{USER}").json
    assert without.keys().isdisjoint({"groups", USER})
    assert USER not in without["schemas"]


def test_lists_and_changes_count_only_on_request(scim: ScimClient) -> None:
    """Counting takes time in large groups; `attributes` asks for it, a page at a time."""
    users = scim.create_users(2)
    first, second = scim.create_group("First", users), scim.create_group("Second", users[:1])
    listed = scim.send("GET", "/Groups").json["Resources"]
    assert all(GROUP not in one and GROUP not in one["schemas"] for one in listed)
    asked = scim.send("GET", "/Groups", attributes=f"displayName,{GROUP}").json["Resources"]
    counts = {one["id"]: one[GROUP]["counts"]["waiting"] for one in asked}
    assert counts == {first: 2, second: 1}
    assert all("members" not in one and "members" not in one[GROUP] for one in asked)
    detail = scim.send("GET", "/Groups", attributes=f"{GROUP}:members.value").json["Resources"]
    shown = {one["id"]: {m["value"] for m in one[GROUP]["members"]} for one in detail}
    assert shown == {first: set(users), second: {users[0]}}
    assert GROUP not in scim.put_group(first, "First", users).json
    assert GROUP not in scim.send("GET", f"/Groups/{first}", excludedAttributes="members").json
    everybody = scim.send("GET", "/Users", attributes=f"{USER}").json["Resources"]
    assert [one[USER]["counts"]["desired"] for one in everybody] == [2, 1]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"reason": Reason.ENVELOPE_MISSING}, (Standing.WAITING, Reason.ENVELOPE_MISSING)),
        ({"reason": Reason.TOO_MANY_DEVICES}, (Standing.REFUSED, Reason.TOO_MANY_DEVICES)),
        ({"desired": False, "wanted": False}, None),
        ({"desired": False, "wanted": False, "rostered": True}, (Standing.LEAVING, None)),
        ({"wanted": False, "rostered": True}, (Standing.INACTIVE, None)),
        ({"wanted": False}, (Standing.INACTIVE, None)),
    ],
)
def test_where_a_membership_stands(changed: dict[str, Any], expected: object) -> None:
    """On top of its state: what waits, what was refused, and what is desired of an inactive one."""
    facts = {
        "desired": True, "wanted": True, "rostered": False, "held_reason": None, "reason": None,
        "grant_epoch": None, "epoch": 1, "epoch_open": True, "has_bound_key": True,
    }  # fmt: skip
    assert standing_of(MembershipFacts(**{**facts, **changed})) == expected
