"""A group that the vendor gives no name is taken for what is worst, until it has one."""

from pathlib import Path

from encryption_api import encryption_pb2 as pb
from groupseal.reasons import Reason
from tests.support.policies import Approver, PolicyOnDisk
from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor, some_id


def test_leaving_the_name_out_is_no_way_in_and_naming_the_group_lets_it_go_on(
    tmp_path: Path,
) -> None:
    """Held while nameless; the first name is looked at by itself; a second one opens nothing."""
    policy = PolicyOnDisk(
        tmp_path / "policy.yaml",
        groups={"allow": [{"name": "Team *"}, {"name": "Finance"}]},
        protected=[{"match": [{"name": "Finance"}], "approvals": 1}],
        approvers=[Approver("ana").entry()],
    )
    environment = {"GROUPSEAL_SERVICE_POLICY_FILE": str(policy.path)}
    service = ServiceProcess(tmp_path / "service", environment=environment)
    with service, service.channel() as channel:
        vendor = Vendor(channel).read()
        (device,) = vendor.bound_devices(1)
        team, finance = some_id(), some_id()
        for group in (team, finance):
            vendor.change(group, [device.member])
            vendor.wait_for_hold(group, device.member, Reason.GROUP_NOT_ALLOWED)
        vendor.read()
        vendor.change(team, name=pb.GroupName(display_name="Team A"))
        vendor.change(finance, name=pb.GroupName(display_name="Finance"))
        vendor.read_until_granted(team, {device.member})
        vendor.wait_for_hold(finance, device.member, Reason.APPROVAL_NEEDED)
        vendor.change(finance, name=pb.GroupName(display_name="Team B"))
        vendor.read()
        assert vendor.holds()[(finance, device.member)] == Reason.APPROVAL_NEEDED
        assert vendor.granted(finance) == set()
        found = service.run("fsck", check=False)
        assert found.returncode == 0, found.stdout
