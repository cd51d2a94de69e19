"""Devices: added by a bound key's signature, replaced after a loss, removed; protected groups."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from encryption_api import encryption_pb2 as pb
from groupseal.approvals import ApprovalStatement
from groupseal.entries import EpochClosed, KeyBound, KeyUnbound
from groupseal.reasons import Reason
from tests.support.devices import Device
from tests.support.policies import DAY_MS, Approver, PolicyOnDisk
from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor, some_id
from tests.support.waiting import wait_for

BOUND, REFUSED = pb.BINDING_OUTCOME_BOUND, pb.BINDING_OUTCOME_REFUSED
UNBOUND = pb.BINDING_OUTCOME_UNBOUND


def another_device(device: Device) -> Device:
    """Of the same member."""
    return Device(device.organisation, device.member)


def test_a_replaced_key_opens_nothing_new_in_any_group(vendor: Vendor) -> None:
    """The lost key is unbound, every group of the member rotates, and the new key is in each."""
    lost, other = vendor.bound_devices(2)
    groups = [some_id() for _ in range(5)]
    for group in groups:
        vendor.change(group, [lost.member, other.member])
        vendor.read_until_granted(group, {lost.member, other.member})
    secrets = {group: vendor.open(lost, group) for group in groups}
    new = another_device(lost)
    (answer,) = vendor.bind(new.binding(endorser=lost, replaces=True))
    assert answer.outcome == BOUND

    def all_rotated() -> bool:
        vendor.read()
        return all(
            vendor.group(g).state.epoch == 2
            and vendor.group(g).state.is_open
            and (new.member, new.key_id) in vendor.group(g).grants
            for g in groups
        )

    wait_for(all_rotated, 20, "the rotation of every group")
    assert lost.key_id in vendor.projection.former_keys
    for group in groups:
        assert vendor.open(new, group) == vendor.open(other, group) != secrets[group]
        assert (lost.member, lost.key_id) not in vendor.group(group).grants
        assert vendor.envelopes[(group, lost.member, lost.key_id)][0] == 1
    bound = vendor.entries[answer.position].entry.body
    assert isinstance(bound, KeyBound)
    assert bound.replaces
    unbound = [e.entry.body for e in vendor.entries if isinstance(e.entry.body, KeyUnbound)]
    assert unbound == [KeyUnbound(lost.member, lost.key_id, Reason.KEY_REPLACED)]


def test_a_replacement_closes_large_groups_before_it_opens_them_again(vendor: Vendor) -> None:
    """The old epoch goes at once, in an entry in which nobody leaves."""
    devices = vendor.bound_devices(70)
    group = some_id()
    vendor.change(group, [d.member for d in devices])
    vendor.read_until_granted(group, {d.member for d in devices})
    new = another_device(devices[0])
    vendor.bind(new.binding(endorser=devices[0], replaces=True))
    wait_for(
        lambda: (new.member, new.key_id) in vendor.read().group(group).grants, 20, "the new key"
    )
    closed = [b for e in vendor.entries_of(group) if isinstance(b := e.entry.body, EpochClosed)]
    assert [(body.epoch, body.joined, body.left) for body in closed] == [(1, (), ())]
    assert vendor.open(new, group) == vendor.open(devices[1], group)


def test_a_request_to_add_is_no_request_to_replace(vendor: Vendor) -> None:
    """The vendor cannot turn one into the other: both signatures are over which it is."""
    old = vendor.bound_devices(1)[0]
    new = another_device(old)
    turned = new.binding(endorser=old)
    turned.replaces = True
    assert vendor.bind(turned)[0].reason == Reason.POSSESSION_UNPROVEN
    mixed = new.binding(replaces=True)
    added = new.binding(endorser=old)
    mixed.endorsing_key_id, mixed.endorsement = added.endorsing_key_id, added.endorsement
    (answer,) = vendor.bind(mixed)
    assert (answer.outcome, answer.reason) == (REFUSED, Reason.ANOTHER_KEY_IS_BOUND)
    assert old.key_id in vendor.read().projection.keys


def test_a_removed_key_is_never_bound_again(vendor: Vendor) -> None:
    """A device removes another one of its member; repeating it changes nothing."""
    first = vendor.bound_devices(1)[0]
    second = another_device(first)
    vendor.bind(second.binding(endorser=first))
    group = some_id()
    vendor.change(group, [first.member])
    vendor.read_until_granted(group, {first.member})
    answer, again = vendor.remove(*[second.removal(first.key_id)] * 2)
    assert (answer.outcome, again.outcome) == (UNBOUND, UNBOUND)
    assert answer.position == again.position
    wait_for(lambda: vendor.read().group(group).state.epoch == 2, 20, "the next epoch")
    assert (first.member, first.key_id) not in vendor.group(group).grants
    assert vendor.open(second, group)
    (refused,) = vendor.bind(first.binding(endorser=second))
    assert (refused.outcome, refused.reason) == (REFUSED, Reason.KEY_WAS_REMOVED)


def test_nobody_else_removes_a_key(vendor: Vendor) -> None:
    """Not another member, not an unbound device, not a signature over something else."""
    mine, stranger = vendor.bound_devices(2)
    unbound = another_device(mine)
    forged = mine.removal(mine.key_id)
    forged.key_id = stranger.key_id
    forged.member_id = stranger.member
    for removal in (
        stranger.removal(mine.key_id, of=mine.member),
        unbound.removal(mine.key_id),
        forged,
    ):
        (answer,) = vendor.remove(removal)
        assert (answer.outcome, answer.reason) == (REFUSED, Reason.SIGNATURE_INVALID)
    assert {mine.key_id, stranger.key_id} <= set(vendor.read().projection.keys)


def test_the_organisation_unbinds_a_key(vendor: Vendor, service: ServiceProcess) -> None:
    """By command; the member's groups rotate, and in mode `pin` the next key is the first again."""
    lost, other = vendor.bound_devices(2)
    group = some_id()
    vendor.change(group, [lost.member, other.member])
    vendor.read_until_granted(group, {lost.member, other.member})
    service.run("keys", "unbind", lost.key_id.hex())
    vendor.read_until_granted(group, {other.member})
    assert vendor.group(group).state.epoch == 2
    new = another_device(lost)
    assert vendor.bind(new.binding())[0].outcome == BOUND
    vendor.read_until_granted(group, {lost.member, other.member})
    assert vendor.group(group).state.epoch == 2


# Protected groups


@pytest.fixture
def approvers() -> list[Approver]:
    return [Approver("ana"), Approver("ben"), Approver("eve")]


@pytest.fixture
def protected(tmp_path: Path, approvers: list[Approver]) -> Iterator[ServiceProcess]:
    """Two of ana and ben sign keys into groups that are or were called Finance."""
    policy = PolicyOnDisk(
        tmp_path / "policy.yaml",
        approvers=[a.entry() for a in approvers],
        protected=[{"match": [{"name": "Finance*"}], "approvals": 2, "approvers": ["ana", "ben"]}],
    )
    environment = {"GROUPSEAL_SERVICE_POLICY_FILE": str(policy.path)}
    with ServiceProcess(tmp_path / "service", environment=environment) as running:
        yield running
        found = running.run("fsck", check=False)
        assert found.returncode == 0, found.stdout + found.stderr


@pytest.fixture
def guarded(protected: ServiceProcess) -> Iterator[Vendor]:
    with protected.channel() as channel:
        yield Vendor(channel).read()


def finance(vendor: Vendor, *members: bytes) -> bytes:
    group = some_id()
    vendor.change(group, members, name=pb.GroupName(display_name="Finance"))
    return group


def approve(
    service: ServiceProcess,
    vendor: Vendor,
    group: bytes,
    device: Device,
    approver: Approver,
    *,
    expires_ms: int | None = None,
) -> tuple[int, str]:
    """Has an approver's signature added by command; exit code and output."""
    expires = vendor.last_time_ms + DAY_MS if expires_ms is None else expires_ms
    statement = ApprovalStatement(vendor.organisation, group, device.member, device.key_id, expires)
    document = service.folder / f"approval-{os.urandom(4).hex()}.json"
    document.write_text(approver.approval(statement))
    done = service.run("approvals", "add", str(document), check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_protected_group_is_entered_by_n_approvals(
    protected: ServiceProcess, guarded: Vendor, approvers: list[Approver]
) -> None:
    """One of two is not enough, nor twice the same, nor a third who may not; two are."""
    ana, ben, eve = approvers
    (device,) = guarded.bound_devices(1)
    group = finance(guarded, device.member)
    assert guarded.holds() == {(group, device.member): Reason.APPROVAL_NEEDED}
    for approver in (ana, ana, eve):
        assert approve(protected, guarded, group, device, approver)[0] == 0
    assert guarded.holds() == {(group, device.member): Reason.APPROVAL_NEEDED}
    assert approve(protected, guarded, group, device, ben)[0] == 0
    guarded.read_until_granted(group, {device.member}, within=10)
    assert guarded.open(device, group)


def test_an_approval_is_for_one_key_one_group_and_a_time(
    protected: ServiceProcess, guarded: Vendor, approvers: list[Approver]
) -> None:
    """It opens no other group; expired, or of a stranger, it is refused."""
    ana, ben, _ = approvers
    first, second = guarded.bound_devices(2)
    one, other = finance(guarded, first.member), finance(guarded, first.member, second.member)
    for approver in (ana, ben):
        assert approve(protected, guarded, one, first, approver)[0] == 0
    guarded.read_until_granted(one, {first.member}, within=10)
    assert set(guarded.holds()) == {(other, first.member), (other, second.member)}
    past = guarded.last_time_ms - 1
    code, text = approve(protected, guarded, other, first, ana, expires_ms=past)
    assert code == 1
    assert "expire" in text
    code, text = approve(protected, guarded, other, first, Approver("mallory"))
    assert code == 1
    assert "approvers" in text


def test_protection_sticks_whatever_the_vendor_calls_the_group(
    protected: ServiceProcess, guarded: Vendor
) -> None:
    """Renamed by the vendor, the group stays protected."""
    (device,) = guarded.bound_devices(1)
    group = finance(guarded)
    guarded.read()
    guarded.change(group, [device.member], name=pb.GroupName(display_name="Lunch"))
    assert guarded.holds() == {(group, device.member): Reason.APPROVAL_NEEDED}


def test_into_a_protected_group_a_new_device_comes_by_the_old_ones_signature(
    protected: ServiceProcess, guarded: Vendor, approvers: list[Approver]
) -> None:
    """Of a key that is in the group itself; also when the new one replaces it at once."""
    (device,) = guarded.bound_devices(1)
    group = finance(guarded, device.member)
    outside = another_device(device)
    guarded.bind(outside.binding(endorser=device))
    for approver in approvers[:2]:
        approve(protected, guarded, group, device, approver)
    guarded.read_until_granted(group, {device.member}, within=10)
    # Endorsed before the endorser was in the group: that vouches for nothing there.
    assert (outside.member, outside.key_id) not in guarded.group(group).grants
    new = another_device(device)
    guarded.bind(new.binding(endorser=device, replaces=True))
    name = (new.member, new.key_id)
    wait_for(lambda: name in guarded.read().group(group).grants, 10, "the new device's grant")
    assert guarded.open(new, group)
    assert guarded.group(group).state.epoch == 2


def test_an_approved_key_stays_over_rotations(
    protected: ServiceProcess, guarded: Vendor, approvers: list[Approver]
) -> None:
    """Approvals are for entering: who stays needs none, who comes back may use it until it ends."""
    first, second = guarded.bound_devices(2)
    group = finance(guarded, first.member, second.member)
    soon = guarded.read().last_time_ms + 600_000
    for device in (first, second):
        for approver in approvers[:2]:
            approve(protected, guarded, group, device, approver, expires_ms=soon)
    guarded.read_until_granted(group, {first.member, second.member}, within=10)
    guarded.change(group, removed=[second.member])
    guarded.read_until_granted(group, {first.member})
    guarded.change(group, [second.member])
    guarded.read_until_granted(group, {first.member, second.member})


def test_an_endorsement_lasts_as_long_as_the_membership(
    protected: ServiceProcess, guarded: Vendor, approvers: list[Approver]
) -> None:
    """Taken off a protected group and added again, only what is approved gets in."""
    ana, ben, _ = approvers
    (device,) = guarded.bound_devices(1)
    group = finance(guarded, device.member)
    for approver in (ana, ben):
        assert approve(protected, guarded, group, device, approver)[0] == 0
    guarded.read_until_granted(group, {device.member}, within=10)
    endorsed = another_device(device)
    guarded.bind(endorsed.binding(endorser=device))
    wait_for(
        lambda: (endorsed.member, endorsed.key_id) in guarded.read().group(group).grants,
        10,
        "the endorsed key",
    )
    guarded.change(group, removed=[device.member])
    guarded.read_until_granted(group, set())
    guarded.change(group, [device.member])
    guarded.read_until_granted(group, {device.member})
    assert set(guarded.group(group).grants) == {(device.member, device.key_id)}


def test_another_device_of_somebody_inside_waits_where_it_is_seen(
    protected: ServiceProcess, guarded: Vendor, approvers: list[Approver]
) -> None:
    """Its owner is in the group with the first device; approvers find the second one listed."""
    (device,) = guarded.bound_devices(1)
    second = another_device(device)
    guarded.bind(second.binding(endorser=device))
    group = finance(guarded, device.member)
    for approver in approvers[:2]:
        assert approve(protected, guarded, group, device, approver)[0] == 0
    guarded.read_until_granted(group, {device.member}, within=10)
    assert set(guarded.group(group).grants) == {(device.member, device.key_id)}
    for command in ("approvals", "holds"):
        listed = protected.run(command, "list", "--json").stdout
        assert second.key_id.hex() in listed
        assert device.key_id.hex() not in listed
