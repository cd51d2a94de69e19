"""Which keys the policy lets into which groups, by their suite."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from encryption_api import encryption_pb2 as pb
from groupseal.bindings import BindingRequest
from groupseal.reasons import Reason
from groupseal.suites import Suite
from tests.support.devices import Device
from tests.support.policies import Approver, PolicyOnDisk
from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor, some_id
from tests.support.waiting import wait_for


def classical_key(organisation: bytes) -> pb.KeyBinding:
    """A new member's key that is not of X-Wing."""
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


@pytest.mark.slow  # waits for two changes of the policy
def test_a_classical_key_enters_no_protected_group_and_no_other_without_the_policys_leave(
    tmp_path: Path,
) -> None:
    """Bound and let into a plain group; held at the protected one, and anywhere once the policy
    leaves its suite out, until the policy takes it in again."""
    rules = {
        "protected": [{"match": [{"name": "Finance"}], "approvals": 1}],
        "approvers": [Approver("ana").entry()],
    }
    policy = PolicyOnDisk(tmp_path / "policy.yaml", **rules)
    environment = {
        "GROUPSEAL_SERVICE_ALLOWED_SUITES": "xwing,x25519",
        "GROUPSEAL_SERVICE_POLICY_FILE": str(policy.path),
    }
    service = ServiceProcess(tmp_path / "service", environment=environment)
    with service, service.channel() as channel:
        vendor = Vendor(channel).read()
        key = classical_key(vendor.organisation)
        assert vendor.bind(key)[0].outcome == pb.BINDING_OUTCOME_BOUND
        finance, lunch, choir = some_id(), some_id(), some_id()
        for group, name in ((finance, "Finance"), (lunch, "Lunch")):
            vendor.change(group, [key.member_id], name=pb.GroupName(display_name=name))
        vendor.read_until_granted(lunch, {key.member_id})
        vendor.wait_for_hold(finance, key.member_id, Reason.SUITE_NOT_ALLOWED)

        policy.write(**rules, suites=["xwing"])
        wait_for(lambda: "- xwing" in service.run("policy", "show").stdout, 15, "the policy")
        vendor.change(choir, [key.member_id], name=pb.GroupName(display_name="Choir"))
        vendor.wait_for_hold(choir, key.member_id, Reason.SUITE_NOT_ALLOWED)

        policy.write(**rules)
        vendor.read_until_granted(choir, {key.member_id})
        vendor.wait_for_hold(finance, key.member_id, Reason.SUITE_NOT_ALLOWED)
