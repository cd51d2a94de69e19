"""The ledger says which policy decided, also when there is none any more."""

from pathlib import Path

import pytest

from encryption_service.policy.parse import parse_policy
from encryption_service.policy.policy import DEFAULT_POLICY
from groupseal.entries import PolicyChanged
from tests.support.policies import PolicyOnDisk
from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor


def digests(service: ServiceProcess) -> list[bytes]:
    """What the ledger says of policies, in order."""
    with service.channel() as channel:
        bodies = [each.entry.body for each in Vendor(channel).read().entries]
    return [body.policy_digest for body in bodies if isinstance(body, PolicyChanged)]


@pytest.mark.slow  # four starts of a service
def test_a_policy_that_is_taken_away_leaves_its_end_in_the_ledger(tmp_path: Path) -> None:
    """A ledger whose last word is an old policy would promise what nobody keeps."""
    policy = PolicyOnDisk(tmp_path / "policy.yaml", freeze=True)
    with ServiceProcess(tmp_path / "service") as service:
        assert digests(service) == []
        service.stop()
        service.environment["GROUPSEAL_SERVICE_POLICY_FILE"] = str(policy.path)
        service.start()
        frozen = parse_policy(policy.path.read_bytes()).digest
        assert digests(service) == [frozen]
        service.stop()
        del service.environment["GROUPSEAL_SERVICE_POLICY_FILE"]
        service.start()
        assert digests(service) == [frozen, DEFAULT_POLICY.digest]
        service.stop()
        service.start()
        assert digests(service) == [frozen, DEFAULT_POLICY.digest]
