"""Okta, application made in its wizard: PUT only, whole objects, deactivation and groups too."""

from typing import Any

from tests.support.scim_client import ScimClient

_USER = "urn:ietf:params:scim:schemas:core:2.0:User"
_GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"


def _new_user(number: int) -> dict[str, Any]:
    address = f"member{number}@example.com"
    return {
        "schemas": [_USER],
        "userName": address,
        "name": {"givenName": "Member", "familyName": str(number)},
        "emails": [{"primary": True, "value": address, "type": "work"}],
        "displayName": f"Member {number}",
        "locale": "en-US",
        "externalId": f"00u{number}",
        "groups": [],
        "password": "placeholder",
        "active": True,
    }


def _provision(okta: ScimClient, number: int) -> str:
    """Look up, then create: as for every user that is assigned."""
    body = _new_user(number)
    found = okta.send(
        "GET",
        "/Users",
        filter=f'userName eq "{body["userName"]}"',
        startIndex="1",
        count="100",
    )
    assert found.status_code == 200
    assert found.json["totalResults"] == 0
    created = okta.send("POST", "/Users", body)
    assert created.status_code == 201
    return str(created.json["id"])


def test_the_connection_is_tested(scim: ScimClient) -> None:
    """200 with numeric counts, on an empty tenant."""
    for path, count in (("/Users", "2"), ("/Groups", "100")):
        response = scim.send("GET", path, startIndex="1", count=count)
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "application/scim+json"
        body = response.json
        assert [type(body[name]) for name in ("totalResults", "itemsPerPage", "startIndex")] == [
            int
        ] * 3
        assert body["Resources"] == []


def test_from_first_push_to_last_removal(scim: ScimClient) -> None:
    """Users, a group with all of them, a new member, a removal, a deactivation, a return."""
    ids = [_provision(scim, number) for number in range(3)]

    found = scim.send("GET", "/Groups", filter='displayName eq "Finance"', startIndex="1")
    assert found.json["totalResults"] == 0
    members = [{"value": one, "display": "Member"} for one in ids]
    created = scim.send(
        "POST", "/Groups", {"schemas": [_GROUP], "displayName": "Finance", "members": members}
    )
    assert created.status_code == 201
    group = created.json["id"]
    assert scim.send("GET", f"/Groups/{group}").status_code == 200
    again = scim.put_group(group, "Finance", ids)
    assert again.status_code == 200
    assert again.json["meta"]["version"] == created.json["meta"]["version"], "nothing changed"
    assert scim.wanted(group) == set(ids)

    ids.append(_provision(scim, 3))
    assert scim.put_group(group, "Finance", ids).status_code == 200
    assert scim.wanted(group) == set(ids)

    assert scim.put_group(group, "Finance", ids[1:]).status_code == 200
    assert scim.wanted(group) == set(ids[1:])

    leaver = scim.send("GET", f"/Users/{ids[1]}").json
    response = scim.send("PUT", f"/Users/{ids[1]}", leaver | {"active": False})
    assert response.json["active"] is False
    assert scim.wanted(group) == set(ids[2:])

    returned = scim.send("GET", "/Users", filter='userName eq "member1@example.com"')
    assert returned.json["totalResults"] == 1
    assert returned.json["Resources"][0]["active"] is False
    scim.send("PUT", f"/Users/{ids[1]}", _new_user(1))
    assert scim.wanted(group) == set(ids[1:])

    renamed = scim.put_group(group, "Finance and Law", ids[1:])
    assert renamed.json["displayName"] == "Finance and Law"
    assert scim.put_group(group, "Finance and Law", []).status_code == 200
    assert scim.wanted(group) == set()


def test_a_new_member_arrives_after_the_group(scim: ScimClient) -> None:
    """The group's PUT names him by externalId before he is created; he joins by himself."""
    ids = [_provision(scim, number) for number in range(2)]
    group = scim.create_group("Finance", ids)
    assert scim.put_group(group, "Finance", [*ids, "00u2"]).status_code == 200
    assert scim.wanted(group) == set(ids)
    late = _provision(scim, 2)
    assert scim.wanted(group) == {*ids, late}
    assert scim.put_group(group, "Finance", [*ids, late]).status_code == 200
    assert scim.wanted(group) == {*ids, late}
