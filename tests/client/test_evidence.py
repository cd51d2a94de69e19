"""Enrolling where the customer's identity provider vouches for keys, at a real provider.

The evidence that the client makes is judged by the encryption service's own verifier.
"""

import base64
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest

from groupseal.entries import Entry, KeyBound
from groupseal.reasons import Reason
from groupseal.trust import TrustMode, TrustSettings
from member_client.client import MemberClient
from member_client.enrolment import Enrolment
from member_client.errors import UnreachableError, UsageError, WaitingError
from tests.client.conftest import World
from tests.support.evidence_makers import MINUTE_MS, TestClock
from tests.support.signing_in import Person, query_of
from tests.support.tls_server import WebServer

DEVICES = "/member/v1/devices"
ORGANISATION = "/member/v1/organisation"


def enrol(
    world: World, person: Person, member: bytes | None = None, *, replaces: bool = False
) -> tuple[MemberClient, Enrolment]:
    client = world.client(world.new_home())
    code = world.vendor.code_for(member or uuid4().bytes)
    return client, client.enrol(
        world.address, code, manner=person.manner, replaces=replaces, ledger_patience_seconds=0
    )


def bodies(world: World) -> list[KeyBound]:
    found = [Entry.from_bytes(data).body for data in world.org.entries]
    return [body for body in found if isinstance(body, KeyBound)]


def test_signing_in_once_binds_the_key(vouched: World, ada_at_browser: Person) -> None:
    """The service accepts the evidence; the ledger says by what the key was bound."""
    client, done = enrol(vouched, ada_at_browser)
    assert done.device.state == "bound"
    client.sync()
    assert client.ledger.projection.keys[client.key_id].trust_mode is TrustMode.OIDC
    (address,) = ada_at_browser.sent_to
    query = query_of(address)
    assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
    assert query["redirect_uri"].startswith("http://127.0.0.1:")
    assert query["scope"] == "openid"
    assert "prompt" not in query


def test_the_vendors_word_on_the_provider_is_never_looked_at(
    vouched: World, ada_at_browser: Person
) -> None:
    """A gateway that names a login page of its own is not asked to log anybody in."""
    _, answer = vouched.vendor.answer("GET", ORGANISATION, vouched.a_token(), None)
    with WebServer() as evil:
        hostile = {"issuer": evil.url(""), "client_id": "evil", "trust_mode": "pin"}
        vouched.vendor.answers[ORGANISATION] = 200, {**answer, **hostile}
        _, done = enrol(vouched, ada_at_browser)
        assert evil.connections == 0
    assert done.device.state == "bound"
    assert done.trust.issuer == ada_at_browser.provider.issuer
    assert ada_at_browser.sent_to[0].startswith(ada_at_browser.provider.issuer)


def test_a_ledger_that_is_not_served_yet_is_waited_for(
    vouched: World, ada_at_browser: Person
) -> None:
    """Nothing is signed in for or handed in; the same code goes on from there."""
    client, code = vouched.client(vouched.new_home()), vouched.vendor.code_for(uuid4().bytes)

    def again() -> Enrolment:
        return client.enrol(
            vouched.address, code, manner=ada_at_browser.manner, ledger_patience_seconds=0
        )

    vouched.vendor.ledger, vouched.vendor.head = [], ""
    with pytest.raises(WaitingError):
        again()
    # The first entry alone would pass for the ledger of a vendor-trusted organisation.
    vouched.vendor.ledger, vouched.vendor.head = vouched.org.entries[:1], None
    with pytest.raises(WaitingError):
        again()
    assert not ada_at_browser.sent_to
    assert not vouched.vendor.submissions
    vouched.vendor.ledger = None
    assert again().device.state == "bound"


def test_a_retry_hands_in_what_was_signed_in_for(vouched: World, ada_at_browser: Person) -> None:
    """The vendor is away in the worst moment: the person does not sign in twice."""
    client, code = vouched.client(vouched.new_home()), vouched.vendor.code_for(uuid4().bytes)
    vouched.vendor.answers[DEVICES] = 503, {}
    with pytest.raises(UnreachableError):
        client.enrol(vouched.address, code, manner=ada_at_browser.manner)
    del vouched.vendor.answers[DEVICES]
    done = client.enrol(vouched.address, code, manner=ada_at_browser.manner)
    assert done.device.state == "bound"
    assert len(ada_at_browser.sent_to) == 1


def test_a_key_that_waits_is_left_waiting(vouched: World, ada_at_browser: Person) -> None:
    """Enrolling again asks nobody to sign in while the evidence is on its way."""
    vouched.vendor.binds = False
    client, code = vouched.client(vouched.new_home()), vouched.vendor.code_for(uuid4().bytes)
    for _ in range(2):
        done = client.enrol(vouched.address, code, manner=ada_at_browser.manner)
        assert done.device.state == "submitted"
    assert len(ada_at_browser.sent_to) == len(vouched.vendor.submissions) == 1


def test_evidence_that_expired_is_renewed_for_the_same_key(
    vouched: World, ada_at_browser: Person, clock: TestClock
) -> None:
    """It lay at the vendor while the service was away."""
    clock.forward(24 * 60 * MINUTE_MS)
    client, done = enrol(vouched, ada_at_browser)
    assert (done.device.state, done.device.reason) == ("refused", Reason.EVIDENCE_EXPIRED)
    clock.forward(-24 * 60 * MINUTE_MS)
    renewed = client.renew(ada_at_browser.manner)
    assert (renewed.state, renewed.key_id) == ("bound", done.device.key_id)
    # Nothing to renew any more.
    assert client.renew(ada_at_browser.manner).state == "bound"
    assert len(ada_at_browser.sent_to) == 2


def test_replacing_takes_a_fresh_sign_in_and_removes_the_lost_device(
    vouched: World, ada_at_browser: Person
) -> None:
    member = uuid4().bytes
    lost, _ = enrol(vouched, ada_at_browser, member)
    new, done = enrol(vouched, ada_at_browser, member, replaces=True)
    assert done.device.state == "bound"
    query = query_of(ada_at_browser.sent_to[1])
    assert query["prompt"] == "login"
    assert int(query["max_age"]) > 0
    new.sync()
    projection = new.ledger.projection
    assert [key.key_id for key in projection.keys_of(member)] == [new.key_id]
    assert lost.key_id in projection.former_keys
    assert bodies(vouched)[-1].replaces


def test_a_waiting_device_can_become_a_replacement(vouched: World, ada_at_browser: Person) -> None:
    """The same key, proven and vouched for under the other label; a retry does not take it back."""
    vouched.vendor.binds = False
    client, _ = enrol(vouched, ada_at_browser)
    client.replace(ada_at_browser.manner)
    assert [body["replaces"] for body in vouched.vendor.submissions] == [False, True]
    assert len({body["hpke_public_key"] for body in vouched.vendor.submissions}) == 1
    vouched.vendor.binds = True
    assert client.renew(ada_at_browser.manner).state == "bound"
    assert bodies(vouched)[-1].replaces
    with pytest.raises(UsageError, match="remove-device"):
        client.replace(ada_at_browser.manner)


def test_the_id_token_stays_on_this_device_and_is_not_kept(
    vouched: World, ada_at_browser: Person
) -> None:
    """What is handed in is sealed, and no file holds the token."""
    client, _ = enrol(vouched, ada_at_browser)
    (body,) = vouched.vendor.submissions
    stored = [file.read_bytes() for file in client._context.home.folder.iterdir()]
    for data in (base64.b64decode(body["sealed_evidence"]), *stored):
        # Every JWS begins so: base64url of {".
        assert b"eyJ" not in data
        assert base64.b64encode(b"eyJ") not in data


def test_a_key_bound_by_the_vendors_word_gives_way_to_one_with_evidence(
    vouched: World, ada_at_browser: Person
) -> None:
    """The organisation left mode `pin`: a key is bound once, so the device gets a new one."""
    strict = vouched.org.trust
    vouched.org.decide_by(TrustSettings(TrustMode.PIN))
    client, _ = enrol(vouched, ada_at_browser)
    old = client.key_id
    vouched.org.decide_by(strict)
    client.sync()
    assert [notice.code for notice in client.notices()] == ["weak_key"]
    vouched.vendor.answers[DEVICES] = 503, {}
    with pytest.raises(UnreachableError):
        client.renew(ada_at_browser.manner)
    # Until the new key is handed in, the old one is the device's.
    assert client.key_id == old
    del vouched.vendor.answers[DEVICES]
    assert client.renew(ada_at_browser.manner).key_id == client.key_id != old
    client.sync()
    assert client.ledger.projection.keys[client.key_id].trust_mode is TrustMode.OIDC
    assert client.notices() == []
    client.remove_device(old)
    client.sync()
    assert list(client.ledger.projection.keys) == [client.key_id]


@pytest.mark.parametrize("mode", [TrustMode.PIN, TrustMode.APPROVE])
def test_no_sign_in_where_no_provider_vouches(
    serve: Callable[..., World], ada_at_browser: Person, mode: TrustMode
) -> None:
    world = serve(TrustSettings(mode))
    _, answer = world.vendor.answer("GET", ORGANISATION, world.a_token(), None)
    issuer = ada_at_browser.provider.issuer
    world.vendor.answers[ORGANISATION] = 200, {**answer, "trust_mode": "oidc", "issuer": issuer}
    _, done = enrol(world, ada_at_browser)
    assert done.trust.mode is mode
    assert not ada_at_browser.sent_to
    assert "sealed_evidence" not in world.vendor.submissions[0]


def test_a_claim_outside_the_core_set_is_asked_for(
    serve: Callable[..., World], ada_at_browser: Person
) -> None:
    """Providers release such claims for `profile` only."""
    provider = ada_at_browser.provider
    world = serve(
        replace(
            TrustSettings(TrustMode.OIDC, provider.issuer, provider.client_id), subject_claim="oid"
        )
    )
    enrol(world, ada_at_browser)
    assert query_of(ada_at_browser.sent_to[0])["scope"] == "openid profile"
