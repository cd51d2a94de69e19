"""Okta, application of its catalogue: PATCH for deactivation and for groups, PUT for profiles."""

from tests.support.scim_client import ScimClient, values

_GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"


def test_a_group_is_pushed(scim: ScimClient) -> None:
    """Create, rename that changes nothing, add and remove in one request, full push, unlink."""
    ada, grace, mary = scim.create_users(3)
    assert scim.send("GET", "/Groups", filter='displayName eq "Sales"').json["Resources"] == []
    created = scim.send(
        "POST", "/Groups", {"schemas": [_GROUP], "displayName": "Sales", "members": []}
    )
    group = created.json["id"]
    path = f"/Groups/{group}"
    same_name = {"op": "replace", "value": {"id": group, "displayName": "Sales"}}

    before = scim.rows("SELECT desired_version, version FROM groups")
    assert scim.patch(path, same_name).status_code == 204
    assert scim.rows("SELECT desired_version, version FROM groups") == before

    adding = {
        "op": "add",
        "path": "members",
        "value": [{"value": ada, "display": "ada"}, {"value": grace, "display": "grace"}],
    }
    assert scim.patch(path, same_name, adding).status_code == 204
    assert scim.wanted(group) == {ada, grace}

    mixed = (
        {"op": "remove", "path": f'members[value eq "{ada}"]'},
        {"op": "add", "path": "members", "value": [{"value": mary, "display": "mary"}]},
    )
    assert scim.patch(path, *mixed).status_code == 204
    assert scim.wanted(group) == {grace, mary}

    push_now = {"op": "replace", "path": "members", "value": values([ada, grace])}
    assert scim.patch(path, push_now).status_code == 204
    assert scim.wanted(group) == {ada, grace}

    assert scim.patch(path, {"op": "replace", "path": "members", "value": []}).status_code == 204
    assert scim.wanted(group) == set()

    rename = {"op": "replace", "value": {"id": group, "displayName": "Sales, EMEA"}}
    assert scim.patch(path, rename).status_code == 204
    assert scim.send("GET", path).json["displayName"] == "Sales, EMEA"
    assert scim.send("DELETE", path).status_code == 204


def test_a_user_leaves_and_returns(scim: ScimClient) -> None:
    """Deactivation by PATCH without a path; on reassignment he is found and activated."""
    ada = scim.create_user("ada@example.com", externalId="00u1")
    group = scim.create_group("Finance", [ada])
    for active, wanted in ((False, set()), (True, {ada})):
        operation = {"op": "replace", "value": {"active": active}}
        response = scim.patch(f"/Users/{ada}", operation)
        assert response.status_code == 200
        assert response.json["active"] is active
        assert scim.wanted(group) == wanted


def test_every_change_is_on_the_timeline(scim: ScimClient) -> None:
    """What was pushed and what followed, in order, per membership."""
    ada, grace = scim.create_users(2)
    group = scim.create_group("Finance", [ada])
    scim.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": values([ada, grace])})
    scim.patch(f"/Users/{ada}", {"op": "replace", "value": {"active": False}})
    scim.patch(f"/Users/{ada}", {"op": "replace", "value": {"active": True}})
    scim.patch(f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{grace}"]'})
    rows = scim.rows("SELECT kind, group_id, user_id FROM timeline ORDER BY id")
    shown = [
        (row.kind, str(row.group_id) if row.group_id else None, str(row.user_id)) for row in rows
    ]
    assert shown == [
        ("pushed_add", group, ada),
        ("pushed_add", group, grace),
        ("user_deactivated", None, ada),
        ("user_activated", None, ada),
        ("pushed_remove", group, grace),
    ]
