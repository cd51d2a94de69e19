"""What holds additions back, and lets them go on by itself; what never waits for it (I5)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from encryption_api import encryption_pb2 as pb
from groupseal.entries import EpochClosed, GroupReconciled, PolicyChanged
from groupseal.reasons import Reason
from tests.support.policies import PolicyOnDisk
from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor, some_id
from tests.support.waiting import wait_for

DONE = pb.OUTCOME_DONE


@pytest.fixture
def policy(tmp_path: Path) -> PolicyOnDisk:
    return PolicyOnDisk(tmp_path / "policy.yaml")


@pytest.fixture
def service(tmp_path: Path, policy: PolicyOnDisk) -> Iterator[ServiceProcess]:
    """With a policy file that says nothing yet."""
    environment = {"GROUPSEAL_SERVICE_POLICY_FILE": str(policy.path)}
    with ServiceProcess(tmp_path / "service", environment=environment) as running:
        yield running
        found = running.run("fsck", check=False)
        assert found.returncode == 0, found.stdout + found.stderr


@pytest.fixture
def vendor(service: ServiceProcess) -> Iterator[Vendor]:
    with service.channel() as channel:
        yield Vendor(channel).read()


def named(name: str) -> dict[str, Any]:
    return {"name": pb.GroupName(display_name=name)}


def test_a_freeze_holds_additions_and_no_removal(vendor: Vendor, service: ServiceProcess) -> None:
    """Frozen: who is new waits, who leaves loses the epoch at once, who stays gets the next one.

    Thawed: the grant follows without a command of the vendor.
    """
    ana, ben, new = vendor.bound_devices(3)
    group = some_id()
    vendor.change(group, [ana.member, ben.member])
    vendor.read_until_granted(group, {ana.member, ben.member})
    service.run("freeze", "on")
    answer = vendor.change(group, [new.member], [ben.member])
    assert answer.outcome == DONE
    assert [(r.member_id, r.reason) for r in answer.refusals] == [(new.member, Reason.FROZEN)]
    vendor.read_until_granted(group, {ana.member})
    assert vendor.group(group).state.epoch == 2
    assert vendor.open(ana, group)
    assert vendor.holds() == {(group, new.member): Reason.FROZEN}
    service.run("freeze", "off")
    vendor.read_until_granted(group, {ana.member, new.member}, within=10)
    assert vendor.holds() == {}
    assert vendor.group(group).state.epoch == 2


def test_what_is_frozen_stays_so_over_a_restart(vendor: Vendor, service: ServiceProcess) -> None:
    (device,) = vendor.bound_devices(1)
    service.run("freeze", "on")
    service.stop()
    service.start()
    with service.channel() as channel:
        after = Vendor(channel).read()
        group = some_id()
        after.change(group, [device.member])
        assert after.holds() == {(group, device.member): Reason.FROZEN}
        described = after.stub.GetOrganisation(pb.GetOrganisationRequest(), timeout=10)
        assert described.frozen


def test_a_quota_refills_and_a_larger_one_takes_effect_by_itself(
    vendor: Vendor, policy: PolicyOnDisk
) -> None:
    """Two seals an hour in a group: two are granted; raised to five, the other three follow."""
    policy.write(limits={"seals_per_hour_per_group": 2})
    wait_for_policies(vendor, 2)
    devices = vendor.bound_devices(5)
    group = some_id()
    answer = vendor.change(group, [d.member for d in devices])
    assert {r.reason for r in answer.refusals} == {Reason.QUOTA_USED_UP}
    assert len(answer.refusals) == 3
    assert len(vendor.read().granted(group)) == 2
    policy.write(limits={"seals_per_hour_per_group": 5})
    vendor.read_until_granted(group, {d.member for d in devices}, within=15)


def test_a_removal_needs_no_quota(vendor: Vendor, policy: PolicyOnDisk) -> None:
    """With nothing left of it, those who stay get the next epoch all the same."""
    devices = vendor.bound_devices(4)
    group = some_id()
    members = {d.member for d in devices}
    vendor.change(group, members)
    vendor.read_until_granted(group, members)
    policy.write(limits={"seals_per_hour": 1})
    wait_for_policies(vendor, 2)
    other = some_id()
    vendor.change(other, members)
    assert len(vendor.read().granted(other)) == 1
    gone = devices[0].member
    vendor.change(group, removed=[gone])
    vendor.read_until_granted(group, members - {gone})


def test_a_group_that_the_policy_does_not_allow_waits_for_the_policy(
    vendor: Vendor, policy: PolicyOnDisk
) -> None:
    policy.write(groups={"allow": [{"name": "Team *"}]})
    wait_for_policies(vendor, 2)
    (device,) = vendor.bound_devices(1)
    allowed, other = some_id(), some_id()
    vendor.change(allowed, [device.member], **named("Team One"))
    vendor.change(other, [device.member], **named("Board"))
    vendor.read_until_granted(allowed, {device.member})
    assert vendor.holds() == {(other, device.member): Reason.GROUP_NOT_ALLOWED}
    # A name that is allowed does not wash off the one that is not.
    vendor.change(other, **named("Team Board"))
    assert vendor.holds() == {(other, device.member): Reason.GROUP_NOT_ALLOWED}
    policy.write(groups={"allow": [{"name": "Team *"}, {"name": "Board"}]})
    vendor.read_until_granted(other, {device.member}, within=10)


def test_a_policy_is_in_the_ledger_and_a_wrong_one_is_not_in_force(
    vendor: Vendor, policy: PolicyOnDisk, service: ServiceProcess
) -> None:
    """The last good one stays; what is wrong is said; the next good one is taken."""
    policy.write(freeze=True)
    wait_for_policies(vendor, 2)
    policy.write_text("version: 1\nfreeze: perhaps\n")

    def fault() -> str:
        described = vendor.stub.GetOrganisation(pb.GetOrganisationRequest(), timeout=10)
        assert described.frozen, "the last good one stays in force"
        return described.policy_fault

    wait_for(lambda: "freeze" in fault(), 10, "the fault")
    policy.write()
    wait_for_policies(vendor, 3)
    assert vendor.stub.GetOrganisation(pb.GetOrganisationRequest(), timeout=10).policy_fault == ""


def test_holds_are_listed_from_a_version_on_and_watched(
    vendor: Vendor, service: ServiceProcess
) -> None:
    """A watcher hears of a hold of an idle group; a reader asks for what is new alone."""
    ana, ben = vendor.bound_devices(2)
    service.run("freeze", "on")
    group = some_id()
    watch = vendor.stub.WatchLedger(pb.WatchLedgerRequest(), timeout=30)
    first = next(watch)
    vendor.change(group, [ana.member])
    seen = next(m for m in watch if m.holds_version > first.holds_version)
    assert seen.size > first.size
    vendor.read()
    vendor.change(group, [ben.member])
    newer = vendor.holds(seen.holds_version)
    assert newer == {(group, ben.member): Reason.FROZEN}
    assert vendor.holds() == {(group, m): Reason.FROZEN for m in (ana.member, ben.member)}
    service.run("freeze", "off")
    granted = next(m for m in watch if m.size > seen.size)
    assert granted.size > seen.size
    watch.cancel()


def test_who_leaves_while_held_is_held_no_longer(vendor: Vendor, service: ServiceProcess) -> None:
    (device,) = vendor.bound_devices(1)
    service.run("freeze", "on")
    group = some_id()
    vendor.change(group, [device.member])
    vendor.read()
    vendor.change(group, removed=[device.member])
    assert vendor.holds() == {}
    service.run("freeze", "off")
    vendor.read()
    assert vendor.granted(group) == set()


def test_a_large_group_closes_and_opens_under_a_freeze(
    vendor: Vendor, service: ServiceProcess
) -> None:
    """The closed epoch comes first, in an entry of its own; a held newcomer is not in the next."""
    devices = vendor.bound_devices(70)
    *old, new = devices
    group = some_id()
    vendor.change(group, [d.member for d in old])
    vendor.read_until_granted(group, {d.member for d in old})
    service.run("freeze", "on")
    vendor.change(group, [new.member], [old[0].member])
    vendor.read_until_granted(group, {d.member for d in old[1:]})
    bodies = [e.entry.body for e in vendor.entries_of(group)]
    closed = next(i for i, body in enumerate(bodies) if isinstance(body, EpochClosed))
    opened = bodies[closed + 1]
    assert isinstance(opened, GroupReconciled)
    assert (opened.opens, opened.epoch, opened.grants_count) == (True, 2, 68)
    assert vendor.holds() == {(group, new.member): Reason.FROZEN}


def wait_for_policies(vendor: Vendor, count: int) -> None:
    """Until so many policies have been in force."""

    def changed() -> bool:
        found = [e for e in vendor.read().entries if isinstance(e.entry.body, PolicyChanged)]
        return len(found) >= count

    wait_for(changed, 10, "the policy in the ledger")
