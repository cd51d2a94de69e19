"""The member API: sessions, devices, and exactly what a member may see."""

import base64
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask

from directory.credentials import create_code
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from groupseal.bindings import BindingRequest
from groupseal.entries import Entry
from groupseal.grants import Grant, grant_leaf
from groupseal.merkle import verify_inclusion
from groupseal.shared_items import SharedItem
from groupseal.suites import Suite
from tests.support.at_once import at_once
from tests.support.made_tenant import MadeTenant
from tests.support.org_maker import xwing_public_key
from tests.support.scim_client import Answer, ScimClient


@dataclass
class Member:
    """One member's client: a device's keys and, after `sign_in`, a token."""

    app: Flask
    scim: ScimClient
    member_id: str
    token: str = ""

    def __post_init__(self) -> None:
        self.signing_key = Ed25519PrivateKey.generate()
        self.public_key = xwing_public_key(self.signing_key.private_bytes_raw())

    def send(
        self, method: str, path: str, body: object = None, token: str | None = None, **query: Any
    ) -> Answer:
        response = self.app.test_client().open(
            f"/member/v1{path}",
            method=method,
            json=body,
            # "from" cannot be the name of an argument.
            query_string={"from" if name == "start" else name: v for name, v in query.items()},
            headers={"Authorization": f"Bearer {token or self.token}"},
        )
        return Answer(
            response.status_code, dict(response.headers), response.text, response.get_json()
        )

    def code(self, valid_for: timedelta = timedelta(hours=1)) -> str:
        with UnitOfWork(self.scim.wiring.engine) as uow:
            scope = TenantScope(uow.connection, self.scim.tenant_id)
            code, _ = create_code(scope, UUID(self.member_id), valid_for)
            uow.commit()
        return code

    def sign_in(self) -> "Member":
        response = self.send("POST", "/sessions", {"code": self.code()})
        assert response.status_code == 200, response.text
        self.token = response.json["token"]
        return self

    def request(self, organisation: bytes) -> BindingRequest:
        return BindingRequest(
            organisation,
            UUID(self.member_id).bytes,
            Suite.XWING,
            self.public_key,
            self.signing_key.public_key().public_bytes_raw(),
        )

    def device(self, organisation: bytes) -> dict[str, Any]:
        """The body that submits this device."""
        request = self.request(organisation)
        proof = self.signing_key.sign(request.message())
        return {
            "suite": 1,
            "hpke_public_key": _text(request.hpke_public_key),
            "signing_public_key": _text(request.signing_public_key),
            "possession_proof": _text(proof),
        }

    def bind(self, made: MadeTenant) -> bytes:
        """Submits the device, and has the organisation bind it; returns the key id."""
        assert self.send("POST", "/devices", self.device(made.org.id)).status_code == 202
        request = self.request(made.org.id)
        made.org.bind(request, self.signing_key.sign(request.message()))
        return request.key_id


@dataclass
class World:
    """Ada and Grace, signed in, with bound devices, in one group with an open epoch."""

    scim: ScimClient
    made: MadeTenant
    ada: Member
    grace: Member
    group: str
    ada_key: bytes
    grace_key: bytes

    def grant(self, member: Member, key: bytes) -> Answer:
        return member.send("GET", f"/groups/{self.group}/grant", key_id=key.hex())


@pytest.fixture
def ada(app: Flask, scim: ScimClient) -> Member:
    """A member who has signed in."""
    return Member(app, scim, scim.create_user("ada@example.com", externalId="00u1")).sign_in()


@pytest.fixture
def world(app: Flask, scim: ScimClient, ada: Member) -> World:
    """The group's first epoch is open, granted to both."""
    made = MadeTenant(scim)
    grace = Member(app, scim, scim.create_user("grace@example.com")).sign_in()
    keys = (ada.bind(made), grace.bind(made))
    group = scim.create_group("Finance", [ada.member_id, grace.member_id])
    made_group = made.group(group, "Finance")
    made.org.open_epoch(made_group, sorted(UUID(m.member_id).bytes for m in (ada, grace)))
    made.copy()
    return World(scim, made, ada, grace, group, *keys)


def test_a_code_signs_in_once(ada: Member) -> None:
    """Look-alikes, case and hyphens do not count; used, expired and unknown codes are 401."""
    code = ada.code()
    typed = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    first = ada.send("POST", "/sessions", {"code": typed})
    assert first.status_code == 200
    assert first.json["member_id"] == ada.member_id
    assert first.json["tenant_id"] == str(ada.scim.tenant_id)
    assert first.json["user_name"] == "ada@example.com"
    for bad in (code, ada.code(timedelta(seconds=-1)), "AAAAA-AAAAA-AAAAA-AAAAA"):
        response = ada.send("POST", "/sessions", {"code": bad})
        assert (response.status_code, response.json["reason"]) == (401, "code_invalid")
    malformed: object
    for malformed in ({}, {"code": 7}, {"code": ""}, {"code": "x" * 100}, []):
        assert ada.send("POST", "/sessions", malformed).status_code == 400


def test_of_two_who_try_one_code_one_wins(ada: Member) -> None:
    """Single use holds under concurrency."""
    body = {"code": ada.code()}
    answers = at_once(*[lambda: ada.send("POST", "/sessions", body).status_code] * 5)
    assert sorted(map(str, answers)) == ["200"] + ["401"] * 4


def test_an_inactive_user_is_signed_out(ada: Member) -> None:
    """Token and code are dead from the moment of deactivation."""
    code = ada.code()
    assert ada.send("GET", "/groups").status_code == 200
    ada.scim.patch(f"/Users/{ada.member_id}", {"op": "replace", "value": {"active": False}})
    response = ada.send("GET", "/groups")
    assert (response.status_code, response.json["reason"]) == (401, "unauthorized")
    assert ada.send("POST", "/sessions", {"code": code}).status_code == 401


def test_nothing_without_a_session(ada: Member) -> None:
    """401 on every endpoint, for no token, a wrong one and a SCIM token; health is open."""
    group = str(UUID(int=1))
    for method, path in (
        ("GET", "/organisation"),
        ("POST", "/devices"),
        ("GET", "/devices"),
        ("GET", "/ledger"),
        ("GET", "/groups"),
        ("GET", f"/groups/{group}/grant"),
        ("GET", f"/groups/{group}/history"),
        ("GET", f"/groups/{group}/items"),
        ("POST", f"/groups/{group}/items"),
    ):
        for token in ("wrong", ada.scim.token):
            assert ada.send(method, path, token=token).status_code == 401, path
    assert ada.send("GET", "/health").status_code == 200
    as_scim = {"Authorization": f"Bearer {ada.token}"}
    assert ada.scim.send("GET", "/Users", headers=as_scim).status_code == 401
    unknown = ada.send("GET", "/nothing")
    assert (unknown.status_code, unknown.json["reason"]) == (404, "not_found")


def test_before_the_tenant_is_connected(ada: Member) -> None:
    """409 not_connected where the organisation matters; a waiting group says so."""
    for method, path, body in (
        ("GET", "/organisation", None),
        ("GET", "/ledger", None),
        ("POST", "/devices", ada.device(bytes(16))),
    ):
        response = ada.send(method, path, body)
        assert (response.status_code, response.json["reason"]) == (409, "not_connected")
    ada.scim.create_group("Finance", [ada.member_id])
    (group,) = ada.send("GET", "/groups").json["groups"]
    assert (group["state"], group["reason"], group["epoch"]) == ("waiting", "no_key", 0)
    grant = ada.send("GET", f"/groups/{group['group_id']}/grant", key_id="00" * 32)
    assert (grant.status_code, grant.json["reason"]) == (409, "no_key")


def test_a_device_is_submitted_with_proof_of_possession(scim: ScimClient, ada: Member) -> None:
    """202, idempotent; a wrong proof, length or suite is refused and not stored."""
    made = MadeTenant(scim)
    body = ada.device(made.org.id)
    first, second = ada.send("POST", "/devices", body), ada.send("POST", "/devices", body)
    assert first.status_code == second.status_code == 202
    assert first.json == second.json
    assert first.json["state"] == "submitted"
    (listed,) = ada.send("GET", "/devices").json["devices"]
    assert listed["key_id"] == first.json["key_id"]
    for changed in (
        {"possession_proof": _text(bytes(64))},
        {"signing_public_key": _text(bytes(32))},
        {"hpke_public_key": _text(bytes(5))},
        {"suite": 9},
        {"suite": True},
        {"suite": "1"},
        {"possession_proof": "not base64!"},
    ):
        response = ada.send("POST", "/devices", body | changed)
        assert response.status_code == 400, changed
        assert response.json["reason"]
    assert len(ada.send("GET", "/devices").json["devices"]) == 1


def test_the_ledger_is_paged_under_one_head(world: World) -> None:
    """Every entry, byte by byte, and a head over `size`."""
    entries: list[str] = []
    page: Any = {"size": 1}
    while len(entries) < page["size"]:
        page = world.ada.send("GET", "/ledger", limit="2", start=len(entries)).json
        assert page["from"] == len(entries)
        entries += page["entries"]
    assert [base64.b64decode(one) for one in entries] == world.made.org.entries
    assert page["head"] == world.made.org.head()
    organisation = world.ada.send("GET", "/organisation").json
    assert organisation["organisation_id"] == str(UUID(bytes=world.made.org.id))
    assert organisation["vendor_trusted"] is True
    assert world.ada.send("GET", "/ledger", start="x").status_code == 400
    assert world.ada.send("GET", "/ledger", start=10**30).status_code == 400


def test_a_grant_comes_with_its_proof(world: World) -> None:
    """The path leads from the grant to the root in the ledger's entry; the group is committed."""
    for member, key in ((world.ada, world.ada_key), (world.grace, world.grace_key)):
        served = world.grant(member, key).json
        entry = Entry.from_bytes(world.made.org.entries[served["position"]])
        leaf = grant_leaf(
            Grant(
                UUID(member.member_id).bytes, key, base64.b64decode(served["envelope_hash"])
            ).to_bytes()
        )
        path = [base64.b64decode(one) for one in served["path"]]
        root = entry.body.grants_root  # type: ignore[union-attr] # a reconcile, or it fails here
        verify_inclusion(leaf, served["batch_index"], served["batch_size"], path, root)
        assert served["epoch"] == 1
        assert served["name_position"] is not None
    (group,) = world.ada.send("GET", "/groups").json["groups"]
    assert (group["state"], group["reason"], group["epoch"]) == ("committed", None, 1)


def test_a_grant_of_another_device_is_not_served(world: World) -> None:
    """Grace's key is nothing to Ada, nor an unknown one; a malformed one is 400."""
    for key in (world.grace_key, bytes(32)):
        response = world.grant(world.ada, key)
        assert (response.status_code, response.json["reason"]) == (404, "not_granted")
    assert world.ada.send("GET", f"/groups/{world.group}/grant", key_id="x").status_code == 400
    assert world.ada.send("GET", "/groups/x/grant", key_id="00" * 32).status_code == 404


@pytest.mark.parametrize("how", ["removed", "deactivated", "group deleted", "user deleted", "held"])
def test_who_has_left_is_served_nothingat_once(world: World, how: str) -> None:
    """Before any rotation: no grant, no history, no items (I5)."""
    scim, ada = world.scim, world.ada
    match how:
        case "removed":
            scim.put_group(world.group, "Finance", [world.grace.member_id])
        case "deactivated":
            scim.patch(f"/Users/{ada.member_id}", {"op": "replace", "value": {"active": False}})
        case "group deleted":
            scim.send("DELETE", f"/Groups/{world.group}")
        case "user deleted":
            scim.send("DELETE", f"/Users/{ada.member_id}")
        case "held":
            held = "UPDATE memberships SET held_reason = 'held_after_restore', wanted = false"
            scim.execute(held)
    for path in ("grant", "history", "items"):
        query = {"key_id": world.ada_key.hex()} if path == "grant" else {}
        response = ada.send("GET", f"/groups/{world.group}/{path}", **query)
        assert response.status_code in {401, 404, 409}, (how, path)
        assert "envelope" not in response.json


def test_a_rotation_is_waited_for(world: World) -> None:
    """Epoch closed: the group is rotating; the next one has a history link to the one before."""
    group = world.made.org.groups[UUID(world.group).bytes]
    world.made.org.close_epoch(group, [UUID(world.grace.member_id).bytes])
    world.made.copy()
    (shown,) = world.ada.send("GET", "/groups").json["groups"]
    assert (shown["state"], shown["reason"]) == ("rotating", "rotating")
    world.made.org.open_epoch(group)
    world.made.copy()
    assert world.grant(world.ada, world.ada_key).json["epoch"] == 2
    (link,) = world.ada.send("GET", f"/groups/{world.group}/history").json["links"]
    assert link["epoch"] == 2
    assert base64.b64decode(link["link"]) == group.links[2]
    assert world.grant(world.grace, world.grace_key).status_code in {404, 409}


def test_items_are_kept_for_members_only(world: World) -> None:
    """Signed by a bound device of the caller, under the newest open epoch; others get nothing."""
    item = _item(world)
    path = f"/groups/{world.group}/items"
    assert world.ada.send("POST", path, {"item": _text(item.to_bytes())}).status_code == 201
    (kept,) = world.grace.send("GET", path).json["items"]
    assert base64.b64decode(kept["item"]) == item.to_bytes()
    refused = {
        "signature_invalid": replace(item, ciphertext=b"changed"),
        "wrong_context": _item(world, group=bytes(16)),
        "sender_unknown": _item(world, sender=UUID(world.grace.member_id).bytes),
        "epoch_closed": _item(world, epoch=7),
    }
    for reason, bad in refused.items():
        response = world.ada.send("POST", path, {"item": _text(bad.to_bytes())})
        assert response.status_code in {400, 403, 409}, reason
        assert response.json["reason"] == reason
    assert world.ada.send("POST", path, {"item": _text(b"x")}).json["reason"] == "malformed"
    assert len(world.ada.send("GET", path).json["items"]) == 1


def test_members_of_another_tenant_see_nothing(
    app: Flask, world: World, other_scim: ScimClient
) -> None:
    """Group and key ids of one tenant are unknown at another."""
    stranger = Member(app, other_scim, other_scim.create_user("ada@example.com")).sign_in()
    MadeTenant(other_scim)
    for path in ("grant", "history", "items"):
        query = {"key_id": world.ada_key.hex()} if path == "grant" else {}
        assert stranger.send("GET", f"/groups/{world.group}/{path}", **query).status_code == 404
    assert stranger.send("GET", "/ledger").json["entries"] == []
    assert stranger.send("GET", "/groups").json == {"groups": []}


def _item(world: World, **changed: Any) -> SharedItem:
    group = world.made.org.groups[UUID(world.group).bytes]
    fields: dict[str, Any] = {
        "organisation": world.made.org.id,
        "group": group.id,
        "epoch": group.epoch,
        "group_public_key": group.public_key,
        "sender": UUID(world.ada.member_id).bytes,
        "sender_key_id": world.ada_key,
        "ciphertext": b"sealed",
    } | changed
    item = SharedItem(**fields)
    return replace(item, signature=world.ada.signing_key.sign(item.message()))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
