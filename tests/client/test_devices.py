"""Several devices of one member: vouching for one, removing one, and a vendor that meddles."""

import base64
import json
from typing import Any
from uuid import uuid4

import pytest

from groupseal.errors import ProtocolError, SignatureError, WrongContextError
from groupseal.identifiers import key_fingerprint
from groupseal.reasons import Reason
from member_client.api import KeySignature
from member_client.errors import NotGrantedError, RefusedError, UsageError, WaitingError
from member_client.key_file import DeviceKeys, Identity
from tests.client.conftest import Member, World
from tests.client.test_cli import run
from tests.support.member_server import b64


@pytest.fixture
def old(world: World) -> Member:
    return world.member()


@pytest.fixture
def new(world: World, old: Member) -> Member:
    """Another device of the same member, whose key waits."""
    world.vendor.binds = False
    device = world.member(old.id)
    world.vendor.binds = True
    return device


def test_an_old_device_vouches_for_a_new_one(world: World, old: Member, new: Member) -> None:
    """The ledger says which key endorsed which; the vouching device is not warned of it."""
    pending = old.client.pending_device(new.key_id.hex()[:16])
    assert pending.fingerprint == key_fingerprint(new.key_id)
    assert old.client.endorse(pending).state == "bound"
    (mine, other) = old.client.device_views()
    assert (mine.this_device, other.this_device) == (True, False)
    assert other.bound is not None
    assert other.bound.endorsing_key_id == old.key_id
    assert old.client.notices() == []


def test_both_devices_open_after_it(world: World, old: Member, new: Member) -> None:
    old.client.endorse(old.client.pending_device(new.key_id.hex()))
    group = world.group_of(old)
    for device in (old, new):
        assert device.client.open(group.text_id).keys.secret.reveal() == group.secrets[1]


def test_swapped_keys_are_not_vouched_for(world: World, old: Member, new: Member) -> None:
    """A vendor that shows its own public keys under the member's key id, or without possession."""
    evil = DeviceKeys.make()
    request = Identity(world.org.id, old.id, evil).binding_request()

    def under_her_key_id(shown: dict[str, Any]) -> dict[str, Any]:
        return {
            **shown,
            "hpke_public_key": b64(evil.hpke_public_key),
            "signing_public_key": b64(evil.signing_public_key),
            "possession_proof": b64(evil.sign(request.message())),
        }

    def without_possession(shown: dict[str, Any]) -> dict[str, Any]:
        return {**shown, "possession_proof": b64(bytes(64))}

    def as_a_replacement(shown: dict[str, Any]) -> dict[str, Any]:
        return {**shown, "replaces": True}

    expected: list[tuple[Any, type[ProtocolError]]] = [
        (under_her_key_id, WrongContextError),
        (without_possession, SignatureError),
        (as_a_replacement, SignatureError),
    ]
    before = len(world.vendor.submissions)
    for hostile, error in expected:
        world.vendor.shows = hostile
        with pytest.raises(error):
            old.client.pending_device(new.key_id.hex())
    assert len(world.vendor.submissions) == before


def test_a_key_of_the_vendors_own_has_another_fingerprint(
    world: World, old: Member, new: Member
) -> None:
    """Consistent, and proven: only comparing tells. The command compares before it signs."""
    evil = DeviceKeys.make()
    request = Identity(world.org.id, old.id, evil).binding_request()
    shown_instead = {
        "key_id": evil.key_id.hex(),
        "hpke_public_key": b64(evil.hpke_public_key),
        "signing_public_key": b64(evil.signing_public_key),
        "possession_proof": b64(evil.sign(request.message())),
    }
    world.vendor.shows = lambda shown: {**shown, **shown_instead}
    theirs, hers = evil.key_id.hex()[:16], key_fingerprint(new.key_id)
    refused = run("endorse", theirs, "--fingerprint", hers, home=old.home)
    assert refused.exit_code == 2
    assert "not the fingerprint" in refused.stderr
    assert len(world.org.keys) == 1


def test_endorse_asks_for_the_fingerprint(world: World, old: Member, new: Member) -> None:
    """Typed as people type; --yes stands for having compared it."""
    typed = key_fingerprint(new.key_id).lower().replace("-", " ").encode() + b"\n"
    done = run("endorse", new.key_id.hex()[:16], "--json", home=old.home, input=typed)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["state"] == "bound"
    again = run("endorse", new.key_id.hex()[:16], "--yes", home=old.home)
    assert again.exit_code == 2
    assert "bound already" in again.stderr


def test_a_replacement_is_vouched_for_only_if_that_is_said(
    world: World, old: Member, new: Member
) -> None:
    """It removes the vouching device too."""
    world.vendor.binds = False
    new.client.replace()
    world.vendor.binds = True
    key = new.key_id.hex()[:16]
    assert run("endorse", key, "--yes", home=old.home).exit_code == 2
    assert run("endorse", key, "--yes", "--replaces", home=old.home).exit_code == 0
    assert list(world.org.keys) == [new.key_id]


def test_a_key_that_is_not_bound_vouches_for_nothing(
    world: World, old: Member, new: Member
) -> None:
    with pytest.raises(WaitingError):
        new.client.remove_device(old.key_id)
    world.org.unbind(old.key_id)
    with pytest.raises(RefusedError) as refused:
        old.client.endorse(old.client.pending_device(new.key_id.hex()))
    assert refused.value.reason == Reason.KEY_WAS_REMOVED


def test_a_key_is_named_by_enough_of_its_digits(world: World, old: Member, new: Member) -> None:
    for wrong in ("", new.key_id.hex()[:7], "0" * 16, "not hex", new.key_id.hex() + "00"):
        with pytest.raises(UsageError, match="digits"):
            old.client.pending_device(wrong)


def test_a_removed_device_opens_nothing_new(world: World, old: Member) -> None:
    """Signed by a bound key; the removed one is never handed in again."""
    lost = world.member(old.id)
    group = world.group_of(old)
    removal = old.client.remove_device(old.client.find_bound(lost.key_id.hex()[:16]))
    assert removal.removal == "done"
    world.org.close_epoch(group, [])
    world.org.open_epoch(group)
    assert old.client.open(group.text_id).epoch == 2
    world.vendor.grants = {k: v for k, v in group.grants.items() if k[1] != lost.key_id}
    with pytest.raises(NotGrantedError):
        lost.client.open(group.text_id)
    with pytest.raises(RefusedError, match="new folder"):
        lost.client.renew()
    views = {view.key_id: view for view in old.client.device_views()}
    assert views[lost.key_id].removed


def test_remove_device_asks_first(world: World, old: Member) -> None:
    lost = world.member(old.id)
    key = lost.key_id.hex()[:16]
    assert run("remove-device", key, home=old.home, input=b"n\n").exit_code == 1
    assert lost.key_id in world.org.keys
    done = run("remove-device", key, "--yes", "--json", home=old.home)
    assert json.loads(done.stdout)["key_id"] == lost.key_id.hex()
    assert lost.key_id not in world.org.keys


def test_a_removal_is_for_one_key_of_one_member(world: World, old: Member) -> None:
    """What one device signed removes no other key: the request names it."""
    lost, other = world.member(old.id), world.member()
    sent: list[KeySignature] = []
    api = old.client._api
    real = api.remove_device

    def overheard(key_id: bytes, by: KeySignature) -> Any:
        sent.append(by)
        return real(key_id, by)

    api.remove_device = overheard  # type: ignore[method-assign] # what a gateway would see
    old.client.remove_device(lost.key_id)
    body = {"signing_key_id": b64(sent[0].key_id), "signature": b64(sent[0].signature)}
    for key_id in (old.key_id, other.key_id):
        with pytest.raises(SignatureError):
            world.vendor._remove(key_id, old.id, body)
    assert base64.b64decode(body["signature"]) == sent[0].signature


def test_a_key_that_the_vendor_hides_is_listed(world: World, old: Member) -> None:
    """It cannot hide a bound key: the ledger binds it."""
    ghost = world.member(old.id)
    hidden = ghost.key_id.hex()
    world.vendor.shows = lambda shown: None if shown["key_id"] == hidden else shown
    views = {view.key_id: view for view in old.client.device_views()}
    assert views[ghost.key_id].is_bound
    assert views[ghost.key_id].offered is None
    listed = run("devices", home=old.home)
    assert "does not show this key" in listed.stdout


def test_a_key_that_only_the_vendor_says_is_bound_is_not(
    world: World, old: Member, new: Member
) -> None:
    """Exit code 1: the ledger decides."""
    world.vendor.shows = lambda shown: {**shown, "state": "bound"}
    shown = run("devices", "--json", home=new.home)
    assert shown.exit_code == 1
    by_key = {each["key_id"]: each for each in json.loads(shown.stdout)["devices"]}
    assert by_key[new.key_id.hex()]["ledger"] is None
    assert "the ledger does not say so" in run("devices", home=new.home).stdout


def test_devices_says_by_what_a_key_is_bound(world: World, old: Member) -> None:
    """Mode `pin` is called what it is."""
    listed = run("devices", home=old.home)
    assert "vendor-trusted" in listed.stdout
    assert key_fingerprint(old.key_id) in listed.stdout
    (bound,) = json.loads(run("devices", "--json", home=old.home).stdout)["devices"]
    assert bound["ledger"] == {
        "bound": True,
        "position": 1,
        "time_ms": world.org.now_ms,
        "trust_mode": "pin",
        "vendor_trusted": True,
        "endorsed_by": None,
    }


def test_nobody_elses_key_is_listed(world: World, old: Member) -> None:
    world.member(uuid4().bytes)
    assert [view.key_id for view in old.client.device_views()] == [old.key_id]
