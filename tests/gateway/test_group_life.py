"""The end of a group and what comes after, and what the timeline keeps of a life."""

from tests.support.scim_client import ScimClient, values


def test_a_group_pushed_again_after_its_end_is_a_new_group(scim: ScimClient) -> None:
    """Another id, the members of the new push alone, nothing of the old one answered any more."""
    ada, grace, mary = scim.create_users(3)
    old = scim.create_group("Finance", [ada, grace, "00u-awaited"])
    assert scim.send("DELETE", f"/Groups/{old}").status_code == 204

    push = scim.send("GET", "/Groups", filter='displayName eq "Finance"').json
    assert (push["totalResults"], push["Resources"]) == (0, [])
    new = scim.create_group("Finance", [mary])
    assert new != old
    assert scim.send("GET", f"/Groups/{new}").headers["ETag"] == 'W/"1"'
    assert scim.members(new) == scim.wanted(new) == {mary}
    assert scim.wanted(old) == set()

    awaited = scim.create_user("late@example.com", externalId="00u-awaited")
    assert awaited not in scim.wanted(old) | scim.wanted(new)


def test_nothing_brings_a_deleted_group_back_over_scim(scim: ScimClient) -> None:
    """Every method answers 404 and changes nothing; lists and references know it no more."""
    (ada,) = scim.create_users(1)
    old = scim.create_group("Finance", [ada])
    assert scim.send("DELETE", f"/Groups/{old}").status_code == 204
    add = {"op": "add", "path": "members", "value": values([ada])}
    for answer in (
        scim.send("GET", f"/Groups/{old}"),
        scim.put_group(old, "Finance", [ada]),
        scim.patch(f"/Groups/{old}", add),
        scim.patch(f"/Groups/{old}", {"op": "replace", "value": {"displayName": "Finance"}}),
        scim.send("DELETE", f"/Groups/{old}"),
    ):
        assert answer.status_code == 404
        assert answer.json["status"] == "404"
    for filter_ in (f'id eq "{old}"', f'members eq "{ada}"', 'displayName eq "Finance"'):
        assert scim.send("GET", "/Groups", filter=filter_).json["totalResults"] == 0
    user = scim.send("GET", f"/Users/{ada}").json
    assert old not in {group["value"] for group in user.get("groups", [])}
    assert scim.wanted(old) == set()


def test_the_name_of_a_deleted_group_may_change_hands(scim: ScimClient) -> None:
    """Another group takes it by a rename; deleting that one, too, leaves two tombstones."""
    first, second = scim.create_group("Finance"), scim.create_group("Law")
    assert scim.send("DELETE", f"/Groups/{first}").status_code == 204
    rename = {"op": "replace", "value": {"id": second, "displayName": "Finance"}}
    assert scim.patch(f"/Groups/{second}", rename).status_code == 204
    assert scim.send("DELETE", f"/Groups/{second}").status_code == 204
    third = scim.create_group("Finance")
    assert len({first, second, third}) == 3
    assert scim.send("GET", "/Groups").json["totalResults"] == 1


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
