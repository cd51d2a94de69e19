"""Whose key is bound, and what is refused, in mode `pin`."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from encryption_api import encryption_pb2 as pb
from groupseal.bindings import BindingRequest
from groupseal.entries import KeyBound, KeyRefused
from groupseal.reasons import Reason
from groupseal.suites import Suite
from tests.support.devices import Device
from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor, some_id
from tests.support.waiting import wait_for

BOUND, REFUSED = pb.BINDING_OUTCOME_BOUND, pb.BINDING_OUTCOME_REFUSED


def test_the_first_key_is_pinned_and_binding_it_again_changes_nothing(vendor: Vendor) -> None:
    """The same key is bound once, at one position, however often it is offered."""
    device = Device(vendor.organisation)
    first, second = vendor.bind(device.binding(), device.binding())
    assert first.outcome == BOUND
    assert first == second == vendor.bind(device.binding())[0]
    assert (first.member_id, first.key_id) == (device.member, device.key_id)
    body = vendor.read().entries[first.position].entry.body
    assert isinstance(body, KeyBound)
    assert body.endorsing_key_id is None


def test_another_key_is_refused_visibly_and_once(vendor: Vendor) -> None:
    """A swapped key leaves one entry in the ledger, however often it is offered."""
    device = Device(vendor.organisation)
    swapped = Device(vendor.organisation, device.member)
    vendor.bind(device.binding())
    first, second = vendor.bind(swapped.binding(), swapped.binding())
    assert (first.outcome, first.reason) == (REFUSED, Reason.ANOTHER_KEY_IS_BOUND)
    assert first == second
    body = vendor.read().entries[first.position].entry.body
    assert body == KeyRefused(device.member, swapped.key_id, Reason.ANOTHER_KEY_IS_BOUND)
    refusals = [e for e in vendor.entries if e.entry.body == body]
    assert len(refusals) == 1


def test_a_bound_key_endorses_another_device(vendor: Vendor) -> None:
    """With a bound key's signature the new device is bound, after a refusal too, and granted."""
    device = Device(vendor.organisation)
    second = Device(vendor.organisation, device.member)
    group = some_id()
    vendor.bind(device.binding())
    vendor.change(group, [device.member])
    assert vendor.bind(second.binding())[0].outcome == REFUSED
    answer = vendor.bind(second.binding(endorser=device))[0]
    assert answer.outcome == BOUND
    vendor.read_until_granted(group, {device.member})

    def both() -> bool:
        return (group, device.member, second.key_id) in vendor.read().envelopes

    wait_for(both, 10, "the second device's envelope")
    assert vendor.open(device, group) == vendor.open(second, group)
    body = vendor.entries[answer.position].entry.body
    assert isinstance(body, KeyBound)
    assert body.endorsing_key_id == device.key_id


def test_endorsements_of_others_do_not_count(vendor: Vendor) -> None:
    """Another member's key, an unbound key, or a signature over something else endorses nothing."""
    device, stranger = Device(vendor.organisation), Device(vendor.organisation)
    vendor.bind(device.binding(), stranger.binding())
    unbound = Device(vendor.organisation, device.member)
    new = Device(vendor.organisation, device.member)
    moved = new.binding(endorser=device)
    moved.endorsement = unbound.binding(endorser=device).endorsement
    for binding in (new.binding(endorser=stranger), new.binding(endorser=unbound), moved):
        (answer,) = vendor.bind(binding)
        assert (answer.outcome, answer.reason) == (REFUSED, Reason.ANOTHER_KEY_IS_BOUND)


def test_a_key_of_another_member_is_refused(vendor: Vendor) -> None:
    """A bound key offered for somebody else is refused, although its proof is good."""
    device = Device(vendor.organisation)
    vendor.bind(device.binding())
    copied = Device(vendor.organisation)
    copied.__dict__.update({**device.__dict__, "member": some_id()})
    copied.request = type(device.request)(
        vendor.organisation,
        copied.member,
        Suite.XWING,
        device.hpke_public_key,
        device.request.signing_public_key,
    )
    (answer,) = vendor.bind(copied.binding())
    assert (answer.outcome, answer.reason) == (REFUSED, Reason.KEY_OF_ANOTHER_MEMBER)


def test_a_member_has_a_few_devices(vendor: Vendor) -> None:
    """The sixth device is refused, endorsed or not."""
    first = Device(vendor.organisation)
    devices = [first, *(Device(vendor.organisation, first.member) for _ in range(5))]
    bindings = [first.binding(), *(d.binding(endorser=first) for d in devices[1:])]
    outcomes = [answer.outcome for answer in vendor.bind(*bindings)]
    assert outcomes == [BOUND] * 5 + [REFUSED]
    assert vendor.bind(bindings[-1])[0].reason == Reason.TOO_MANY_DEVICES


def test_an_unproven_key_leaves_no_trace(vendor: Vendor) -> None:
    """A proof by another key, for another member, or none: refused without an entry."""
    device, other = Device(vendor.organisation), Device(vendor.organisation)
    size = vendor.read().range.size
    for proof in (other.binding().possession_proof, b"", bytes(64)):
        binding = device.binding()
        binding.possession_proof = proof
        (answer,) = vendor.bind(binding)
        assert (answer.outcome, answer.reason) == (REFUSED, Reason.POSSESSION_UNPROVEN)
        assert not answer.HasField("position")
    assert vendor.read().range.size == size


@pytest.mark.parametrize("fault", ["suite", "length", "ml-kem", "low order", "member"])
def test_a_key_that_nothing_seals_to_is_refused(vendor: Vendor, fault: str) -> None:
    """Malformed keys are refused before they can spoil a batch; the others go on."""
    device, good = Device(vendor.organisation), Device(vendor.organisation)
    binding = device.binding()
    match fault:
        case "suite":
            binding.suite = 7
        case "length":
            binding.hpke_public_key = binding.hpke_public_key[:-1]
        case "ml-kem":
            binding.hpke_public_key = b"\xff" * 1184 + binding.hpke_public_key[1184:]
        case "low order":
            binding.hpke_public_key = binding.hpke_public_key[:1184] + bytes(32)
        case "member":
            binding.member_id = b"short"
    refused, bound = vendor.bind(binding, good.binding())
    assert (refused.outcome, refused.reason) == (REFUSED, Reason.MALFORMED)
    assert bound.outcome == BOUND


def test_x25519_is_bound_only_where_it_is_allowed(tmp_path: Path, vendor: Vendor) -> None:
    """The classical suite is refused by default, and a setting allows it."""

    def binding(organisation: bytes) -> pb.KeyBinding:
        device = Device(organisation)
        public = X25519PrivateKey.generate().public_key().public_bytes_raw()
        signing = device.request.signing_public_key
        request = BindingRequest(organisation, device.member, Suite.X25519, public, signing)
        return pb.KeyBinding(
            member_id=device.member,
            suite=Suite.X25519,
            hpke_public_key=public,
            signing_public_key=signing,
            possession_proof=device._signing_key.sign(request.message()),
        )

    (answer,) = vendor.bind(binding(vendor.organisation))
    assert (answer.outcome, answer.reason) == (REFUSED, Reason.SUITE_NOT_ALLOWED)
    allowing = ServiceProcess(
        tmp_path / "x25519", environment={"GROUPSEAL_SERVICE_ALLOWED_SUITES": "xwing,x25519"}
    )
    with allowing, allowing.channel() as channel:
        other, group = Vendor(channel), some_id()
        asked = binding(other.organisation)
        (answer,) = other.bind(asked)
        assert answer.outcome == BOUND
        other.change(group, [asked.member_id, os.urandom(16)])
        other.read()
        epoch, envelope = other.envelopes[(group, asked.member_id, answer.key_id)]
        assert (epoch, len(envelope)) == (1, 80)
