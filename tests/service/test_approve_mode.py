"""Mode `approve`: every key waits for somebody of the organisation who compares fingerprints."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from encryption_api import encryption_pb2 as pb
from groupseal.approvals import ApprovalStatement
from groupseal.entries import KeyBound
from groupseal.identifiers import key_fingerprint
from groupseal.reasons import Reason
from groupseal.trust import TrustMode
from tests.support.customer import Customer
from tests.support.devices import Device
from tests.support.policies import DAY_MS, Approver
from tests.support.waiting import wait_for

BOUND, REFUSED = pb.BINDING_OUTCOME_BOUND, pb.BINDING_OUTCOME_REFUSED
WAITING = pb.BINDING_OUTCOME_WAITING


@pytest.fixture(scope="module")
def customer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Customer]:
    with Customer(tmp_path_factory.mktemp("approve"), mode=TrustMode.APPROVE) as running:
        yield running


def offered(customer: Customer, device: Device, user: str = "ada") -> tuple[int, str]:
    (answer,) = customer.vendor.bind(customer.binding(device, user))
    return answer.outcome, answer.reason


def sign(customer: Customer, device: Device, approver: Approver, folder: Path) -> None:
    """Has an approver sign for the key, for a day."""
    statement = ApprovalStatement(
        customer.vendor.organisation,
        None,
        device.member,
        device.key_id,
        customer.vendor.last_time_ms + DAY_MS,
    )
    document = folder / f"approval-{os.urandom(4).hex()}.json"
    document.write_text(approver.approval(statement))
    customer.service.run("approvals", "add", str(document))


def test_a_key_waits_until_it_is_approved_and_is_then_granted_by_itself(
    customer: Customer,
) -> None:
    """On an idle tenant: nobody sends a command between the approval and the grant."""
    device = customer.device()
    group = customer.group("Team", device.member)
    assert offered(customer, device) == (WAITING, Reason.KEY_APPROVAL_NEEDED)
    listed = customer.service.run("keys", "list", "--waiting").stdout
    assert key_fingerprint(device.key_id) in listed
    assert "ada@example.com" in listed
    customer.service.run("keys", "approve", device.member_text, device.key_id.hex())
    customer.vendor.read_until_granted(group, {device.member}, within=10)
    bound = customer.vendor.projection.keys[device.key_id]
    assert bound.trust_mode is TrustMode.APPROVE
    assert offered(customer, device) == (BOUND, "")
    assert key_fingerprint(device.key_id) not in (
        customer.service.run("keys", "list", "--waiting").stdout
    )


def test_a_swapped_key_waits_beside_the_real_one(customer: Customer) -> None:
    """Both are shown by their fingerprints; the one that is approved is the one that is bound."""
    real = customer.device()
    swapped = customer.device(real.member)
    assert offered(customer, swapped) == (WAITING, Reason.KEY_APPROVAL_NEEDED)
    assert offered(customer, real) == (WAITING, Reason.KEY_APPROVAL_NEEDED)
    customer.service.run("keys", "approve", real.member_text, real.key_id.hex())
    customer.service.run("keys", "refuse", swapped.member_text, swapped.key_id.hex())
    assert offered(customer, real) == (BOUND, "")
    assert offered(customer, swapped) == (REFUSED, Reason.KEY_REFUSED_BY_APPROVER)
    keys = {key.key_id for key in customer.vendor.read().projection.keys_of(real.member)}
    assert keys == {real.key_id}


def test_a_bound_device_endorses_another_without_an_approver(customer: Customer) -> None:
    first = customer.enrol("ada")
    second = customer.device(first.member)
    assert customer.vendor.bind(second.binding(endorser=first))[0].outcome == BOUND


def test_a_lost_laptop_is_replaced_by_approval(customer: Customer) -> None:
    """The request to replace waits too; approved, it unbinds the lost key."""
    lost = customer.enrol("ada")
    group = customer.group("Team", lost.member)
    customer.vendor.read_until_granted(group, {lost.member})
    new = customer.device(lost.member)
    binding = new.binding(replaces=True, external_id="ada", user_name="ada@example.com")
    assert customer.vendor.bind(binding)[0].outcome == WAITING
    assert lost.key_id in customer.vendor.read().projection.keys
    customer.service.run("keys", "approve", new.member_text, new.key_id.hex())
    customer.vendor.read_until_granted(group, {lost.member}, within=10)
    assert lost.key_id in customer.vendor.projection.former_keys
    assert customer.vendor.group(group).state.epoch == 2
    assert customer.vendor.open(new, group)


def test_the_vendor_cannot_change_whom_a_bound_member_is(customer: Customer) -> None:
    """What it said with the approved key is what is shown from then on."""
    device = customer.enrol("ada")
    later = customer.device(device.member)
    customer.vendor.bind(customer.binding(later, "mallory"))
    listed = customer.service.run("keys", "list").stdout
    assert "mallory" not in listed


def test_the_policy_may_ask_for_approvers_signatures(tmp_path: Path) -> None:
    """Two of them bind the key; the command alone does not."""
    ana, ben = Approver("ana"), Approver("ben")
    policy = {"approvers": [ana.entry(), ben.entry()], "keys": {"approvals": 2}}
    with Customer(tmp_path, mode=TrustMode.APPROVE, policy=policy) as customer:
        device = customer.device()
        assert offered(customer, device) == (WAITING, Reason.KEY_APPROVAL_NEEDED)
        by_command = customer.service.run(
            "keys", "approve", device.member_text, device.key_id.hex(), check=False
        )
        assert by_command.returncode == 1
        assert "signatures" in by_command.stderr
        for approver in (ana, ben):
            assert device.key_id not in customer.vendor.read().projection.keys
            sign(customer, device, approver, tmp_path)
        (body,) = (
            e.entry.body
            for e in customer.vendor.read().entries
            if isinstance(e.entry.body, KeyBound)
        )
        assert body.evidence_digest is not None
        assert offered(customer, device) == (BOUND, "")


def test_who_signed_for_another_device_has_not_signed_for_a_replacement(tmp_path: Path) -> None:
    """What an approver saw is what the signature stands for."""
    ana, ben = Approver("ana"), Approver("ben")
    policy = {"approvers": [ana.entry(), ben.entry()], "keys": {"approvals": 2}}
    with Customer(tmp_path, mode=TrustMode.APPROVE, policy=policy) as customer:
        device = customer.device()
        assert offered(customer, device) == (WAITING, Reason.KEY_APPROVAL_NEEDED)
        sign(customer, device, ana, tmp_path)
        replacing = device.binding(replaces=True, external_id="ada", user_name="ada@example.com")
        assert customer.vendor.bind(replacing)[0].outcome == WAITING
        sign(customer, device, ben, tmp_path)
        assert customer.vendor.bind(replacing)[0].outcome == WAITING
        sign(customer, device, ana, tmp_path)
        assert customer.vendor.bind(replacing)[0].outcome == BOUND


def test_a_policy_that_asks_for_fewer_signatures_binds_what_has_enough(tmp_path: Path) -> None:
    """By itself: nobody offers or signs the key again."""
    ana, ben = Approver("ana"), Approver("ben")
    approvers = [ana.entry(), ben.entry()]
    policy = {"approvers": approvers, "keys": {"approvals": 2}}
    with Customer(tmp_path, mode=TrustMode.APPROVE, policy=policy) as customer:
        signed, unsigned = customer.device(), customer.device()
        for device in (signed, unsigned):
            assert offered(customer, device) == (WAITING, Reason.KEY_APPROVAL_NEEDED)
        sign(customer, signed, ana, tmp_path)
        customer.policy.write(approvers=approvers, keys={"approvals": 1})
        wait_for(lambda: signed.key_id in customer.vendor.read().projection.keys, 10, "the binding")
        assert unsigned.key_id not in customer.vendor.projection.keys
