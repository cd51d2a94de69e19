"""The whole product in trust mode `approve`, without a membership source: what people see of it."""

from collections.abc import Iterator

import pytest

from groupseal.identifiers import key_fingerprint
from groupseal.reasons import Reason
from groupseal.trust import TrustMode
from tests.support.folders import server_folder
from tests.support.postgres import RunningPostgres
from tests.support.trusted_world import SECONDS, TrustedWorld, opens, seconds_until
from tests.support.valkey import RunningValkey
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def world(
    postgres: RunningPostgres, migrated_template: str, shared_valkey: RunningValkey
) -> Iterator[TrustedWorld]:
    with (
        server_folder("trust-approve") as folder,
        TrustedWorld(
            postgres, migrated_template, shared_valkey.url, folder, mode=TrustMode.APPROVE
        ) as running,
    ):
        yield running


def test_a_key_that_is_approved_on_an_idle_tenant_is_bound_and_granted(world: TrustedWorld) -> None:
    """The member waits and sees why; after the command, nobody has to do anything."""
    (ada,) = world.people("ada")
    client = world.enrol(ada)
    team = world.team("Engineering", ada)

    def state() -> tuple[str, str | None]:
        (device,) = client.devices()
        return device.state, device.reason

    wait_for(lambda: state()[1] == Reason.KEY_APPROVAL_NEEDED, SECONDS, "the reason at the member")
    assert state()[0] == "submitted"
    assert opens(client, team) is None
    assert Reason.KEY_APPROVAL_NEEDED in world.operator_sees()
    waiting = world.command("keys", "list", "--waiting")["waiting"]
    fingerprint = key_fingerprint(client.key_id)
    assert fingerprint in {each["fingerprint"] for each in waiting}

    world.command("keys", "approve", client.member_id, fingerprint)
    seconds = world.wait_until_committed(team, ada)
    print(f"approved key committed: {seconds:.1f} s")  # noqa: T201 # the figure is of interest
    assert opens(client, team) == 1
    assert state() == ("bound", None)
    world.assert_sound()


def test_a_lost_laptop_is_replaced_once_an_approver_says_so(world: TrustedWorld) -> None:
    """Until then the lost key opens on; afterwards it opens nothing, and the group has rotated."""
    (ada,) = world.people("ada")
    lost = world.enrol(ada)
    wait_for(lambda: lost.devices()[0].reason is not None, SECONDS, "that the key waits")
    world.command("keys", "approve", lost.member_id, key_fingerprint(lost.key_id))
    team = world.team("Engineering", ada)
    world.wait_until_committed(team, ada)
    new = world.enrol(ada, replaces=True)

    def waits() -> bool:
        return any(
            each.key_id == new.key_id and each.reason == Reason.KEY_APPROVAL_NEEDED
            for each in new.devices()
        )

    wait_for(waits, SECONDS, "that the new key waits")
    assert (opens(lost, team), opens(new, team)) == (1, None)
    world.command("keys", "approve", new.member_id, key_fingerprint(new.key_id))
    seconds_until(lambda: opens(new, team) == 2, "the new key in the next epoch")
    assert opens(lost, team) is None
    world.assert_sound()
