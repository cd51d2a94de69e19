"""/devices in the member API: evidence, endorsements, replacements, removals, and their limits."""

import base64
from typing import Any

import pytest
from flask import Flask

from directory.devices import MAX_KEYS
from groupseal.bindings import BindingRequest
from groupseal.entries import TrustChanged
from groupseal.evidence import MAX_SEALED_EVIDENCE
from groupseal.key_removal import KeyRemoval
from groupseal.labels import Label
from groupseal.trust import MembershipCheck, TrustMode, TrustSettings
from tests.gateway.test_members import Member
from tests.support.made_tenant import MadeTenant
from tests.support.scim_client import Answer, ScimClient

EVIDENCE = b"sealed evidence that nobody here can read"


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def made(scim: ScimClient) -> MadeTenant:
    return MadeTenant(scim)


@pytest.fixture
def ada(app: Flask, scim: ScimClient, made: MadeTenant) -> Member:  # connected
    return Member(app, scim, scim.create_user("ada@example.com", externalId="00u1")).sign_in()


@pytest.fixture
def old(app: Flask, scim: ScimClient, made: MadeTenant, ada: Member) -> Member:
    """Another device of the same member, bound."""
    other = Member(app, scim, ada.member_id, ada.token)
    other.bind(made)
    made.copy()
    return other


def replacing(member: Member, organisation: bytes) -> dict[str, Any]:
    """The body that submits this device in place of all others."""
    added = member.request(organisation)
    request = BindingRequest(
        added.organisation,
        added.member,
        added.suite,
        added.hpke_public_key,
        added.signing_public_key,
        replaces=True,
    )
    proof = member.signing_key.sign(request.message())
    return member.device(organisation) | {"replaces": True, "possession_proof": text(proof)}


def remove(
    member: Member, organisation: bytes, key_id: bytes, by: Member, **changed: str
) -> Answer:
    message = KeyRemoval(organisation, member.request(organisation).member, key_id).message()
    body = {
        "signing_key_id": text(by.request(organisation).key_id),
        "signature": text(by.signing_key.sign(message)),
    }
    return member.send("POST", f"/devices/{key_id.hex()}/removal", body | changed)


def stored(scim: ScimClient, columns: str) -> Any:
    (row,) = scim.rows(
        f"SELECT {columns} FROM member_keys WHERE state <> 'bound'"  # noqa: S608 # constant names
    )
    return row


def test_evidence_is_kept_sealed_and_shown_to_nobody(
    scim: ScimClient, made: MadeTenant, ada: Member
) -> None:
    body = ada.device(made.org.id) | {"sealed_evidence": text(EVIDENCE)}
    answer = ada.send("POST", "/devices", body)
    assert (answer.status_code, answer.json["state"]) == (202, "submitted")
    assert bytes(stored(scim, "sealed_evidence").sealed_evidence) == EVIDENCE
    assert text(EVIDENCE) not in ada.send("GET", "/devices").text


def test_new_evidence_makes_a_refused_or_waiting_key_due_again(
    scim: ScimClient, made: MadeTenant, ada: Member
) -> None:
    """The same evidence, or none, changes nothing."""
    body = ada.device(made.org.id)
    ada.send("POST", "/devices", body)
    for state, reason in (("refused", "evidence_needed"), ("submitted", "evidence_expired")):
        scim.execute(
            "UPDATE member_keys SET state = :state, reason = :reason, attempts = 3,"
            " next_attempt_at = now() + interval '1 hour', offered = true",
            state=state,
            reason=reason,
        )
        assert ada.send("POST", "/devices", body).json["reason"] == reason
        fresh = body | {"sealed_evidence": text(reason.encode())}
        answer = ada.send("POST", "/devices", fresh)
        assert (answer.json["state"], answer.json["reason"]) == ("submitted", None)
        row = stored(scim, "attempts, offered, next_attempt_at <= now() AS due")
        assert (row.attempts, row.offered, row.due) == (0, False, True)
        scim.execute("UPDATE member_keys SET reason = 'queued'")
        assert ada.send("POST", "/devices", fresh).json["reason"] == "queued"


def test_a_bound_key_is_not_submitted_again(made: MadeTenant, old: Member) -> None:
    body = replacing(old, made.org.id) | {"sealed_evidence": text(EVIDENCE)}
    assert old.send("POST", "/devices", body).json["state"] == "bound"


def test_an_endorsement_is_taken_on_with_another_device_s_signature(
    scim: ScimClient, made: MadeTenant, ada: Member, old: Member
) -> None:
    """The listing has everything that the old device needs to sign."""
    ada.send("POST", "/devices", ada.device(made.org.id))
    waiting = [d for d in old.send("GET", "/devices").json["devices"] if d["state"] != "bound"]
    (shown,) = waiting
    request = BindingRequest(
        made.org.id,
        ada.request(made.org.id).member,
        ada.request(made.org.id).suite,
        base64.b64decode(shown["hpke_public_key"]),
        base64.b64decode(shown["signing_public_key"]),
        shown["replaces"],
    )
    assert request == ada.request(made.org.id)
    assert text(request.key_id) == shown["key_id"]
    endorsement = old.signing_key.sign(request.message(Label.ENDORSEMENT))
    body = ada.device(made.org.id) | {
        "endorsing_key_id": text(old.request(made.org.id).key_id),
        "endorsement": text(endorsement),
    }
    assert ada.send("POST", "/devices", body).status_code == 202
    assert bytes(stored(scim, "endorsement").endorsement) == endorsement


def test_a_replacement_has_its_own_proof(scim: ScimClient, made: MadeTenant, ada: Member) -> None:
    """A proof to add a device replaces none, nor the other way round."""
    body = replacing(ada, made.org.id)
    for wrong in (ada.device(made.org.id) | {"replaces": True}, body | {"replaces": False}):
        answer = ada.send("POST", "/devices", wrong)
        assert (answer.status_code, answer.json["reason"]) == (400, "possession_unproven")
    assert ada.send("POST", "/devices", body).status_code == 202
    assert stored(scim, "replaces").replaces is True


@pytest.mark.parametrize(
    ("changed", "status", "named"),
    [
        ({"replaces": "yes"}, 400, "replaces"),
        ({"replaces": None}, 400, "replaces"),
        ({"sealed_evidence": "?"}, 400, "sealed_evidence"),
        ({"sealed_evidence": 7}, 400, "sealed_evidence"),
        ({"sealed_evidence": ""}, 400, "sealed_evidence"),
        ({"sealed_evidence": text(bytes(MAX_SEALED_EVIDENCE + 1))}, 413, "sealed_evidence"),
        ({"endorsement": text(bytes(64))}, 400, "endorsing_key_id"),
        ({"endorsement": text(bytes(63)), "endorsing_key_id": text(bytes(32))}, 400, "endorsement"),
        ({"endorsement": text(bytes(64)), "endorsing_key_id": text(b"x")}, 400, "endorsing_key_id"),
    ],
)
def test_what_cannot_be_taken_is_named(
    made: MadeTenant, ada: Member, changed: dict[str, Any], status: int, named: str
) -> None:
    answer = ada.send("POST", "/devices", ada.device(made.org.id) | changed)
    assert (answer.status_code, answer.json["reason"]) == (status, "malformed")
    assert answer.json["detail"].startswith(named)
    assert ada.send("GET", "/devices").json["devices"] == []


def test_the_longest_evidence_is_taken(made: MadeTenant, ada: Member) -> None:
    body = ada.device(made.org.id) | {"sealed_evidence": text(bytes(MAX_SEALED_EVIDENCE))}
    assert ada.send("POST", "/devices", body).status_code == 202


def test_keys_that_are_gone_do_not_count_as_devices(
    app: Flask, scim: ScimClient, made: MadeTenant, ada: Member
) -> None:
    """One may replace a device more often than one may have devices."""
    for _ in range(MAX_KEYS):
        device = Member(app, scim, ada.member_id, ada.token)
        assert device.send("POST", "/devices", device.device(made.org.id)).status_code == 202
    answer = ada.send("POST", "/devices", ada.device(made.org.id))
    assert (answer.status_code, answer.json["reason"]) == (409, "too_many_devices")
    scim.execute("UPDATE member_keys SET state = 'unbound'")
    assert ada.send("POST", "/devices", ada.device(made.org.id)).status_code == 202


def test_a_removal_is_passed_on_once(scim: ScimClient, made: MadeTenant, old: Member) -> None:
    """202, idempotent; the state of the key stays what the ledger says."""
    key_id = old.request(made.org.id).key_id
    for _ in range(2):
        answer = remove(old, made.org.id, key_id, old)
        assert answer.status_code == 202, answer.text
        assert answer.json == {
            "key_id": text(key_id),
            "state": "bound",
            "removal": "submitted",
            "reason": None,
        }
    (row,) = scim.rows("SELECT key_id, signing_key_id, state FROM key_removals")
    assert (bytes(row.key_id), bytes(row.signing_key_id)) == (key_id, key_id)
    (shown,) = old.send("GET", "/devices").json["devices"]
    assert (shown["state"], shown["removal"]) == ("bound", "submitted")
    made.org.unbind(key_id, "key_removed_by_member")
    made.copy()
    (shown,) = old.send("GET", "/devices").json["devices"]
    assert (shown["state"], shown["reason"]) == ("unbound", "key_removed_by_member")
    assert shown["removal"] == "done"
    assert remove(old, made.org.id, key_id, old).json["state"] == "unbound"


def test_nobody_removes_another_one_s_key(
    app: Flask, scim: ScimClient, made: MadeTenant, old: Member
) -> None:
    """Not by address, not by signature, and not with a key that is not bound."""
    key_id = old.request(made.org.id).key_id
    grace = Member(app, scim, scim.create_user("grace@example.com")).sign_in()
    grace.bind(made)
    made.copy()
    unbound = Member(app, scim, old.member_id, old.token)
    unbound.send("POST", "/devices", unbound.device(made.org.id))
    attempts = [
        (remove(grace, made.org.id, key_id, grace), 404, "not_found"),
        (remove(old, made.org.id, bytes(32), old), 404, "not_found"),
        (remove(old, made.org.id, key_id, grace), 403, "sender_unknown"),
        (remove(old, made.org.id, key_id, unbound), 403, "sender_unknown"),
        (
            remove(old, made.org.id, key_id, old, signature=text(bytes(64))),
            400,
            "signature_invalid",
        ),
        (remove(old, made.org.id, key_id, old, signature=text(b"x")), 400, "malformed"),
        (remove(old, made.org.id, key_id, old, signing_key_id="?"), 400, "malformed"),
        (remove(old, made.org.id, unbound.request(made.org.id).key_id, old), 409, "queued"),
        (old.send("POST", "/devices/xyz/removal", {}), 400, "malformed"),
        (old.send("POST", f"/devices/{' ' * 64}/removal", {}), 400, "malformed"),
    ]
    for answer, status, reason in attempts:
        assert (answer.status_code, answer.json["reason"]) == (status, reason), answer.text
    assert scim.rows("SELECT key_id FROM key_removals") == []


def test_a_key_of_another_tenant_is_unknown(
    app: Flask, other_scim: ScimClient, made: MadeTenant, old: Member
) -> None:
    """By whatever signature; and the other tenant's key may be submitted here, if it is ours."""
    there = MadeTenant(other_scim)
    foreign = Member(app, other_scim, other_scim.create_user("eve@example.com")).sign_in()
    key_id = foreign.bind(there)
    there.copy()
    for by in (old, foreign):
        answer = remove(old, made.org.id, key_id, by)
        assert (answer.status_code, answer.json["reason"]) == (404, "not_found")
        answer = remove(foreign, there.org.id, old.request(made.org.id).key_id, by)
        assert answer.status_code == 404
    assert other_scim.rows("SELECT key_id FROM key_removals") == []


def test_the_organisation_says_how_it_decides(made: MadeTenant, ada: Member) -> None:
    """As the ledger last said; the client believes the ledger only."""
    shown = ada.send("GET", "/organisation").json
    assert (shown["trust_mode"], shown["vendor_trusted"]) == ("pin", True)
    assert shown["issuer"] is None
    settings = TrustSettings(
        *(TrustMode.OIDC, "https://id.example.com", "groupseal", "sub"),
        *(MembershipCheck.OBSERVE, "okta"),
    )
    made.org.append(TrustChanged(settings))
    made.copy()
    shown = ada.send("GET", "/organisation").json
    assert {name: shown[name] for name in (*_SETTINGS, "vendor_trusted")} == {
        "trust_mode": "oidc",
        "issuer": "https://id.example.com",
        "client_id": "groupseal",
        "subject_claim": "sub",
        "membership_check": "observe",
        "vendor_trusted": False,
    }


_SETTINGS = ("trust_mode", "issuer", "client_id", "subject_claim", "membership_check")
