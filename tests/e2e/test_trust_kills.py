"""Killed in the middle of a hold, an approval, a replacement: what follows is as if nothing was."""

from collections.abc import Callable, Iterator

import pytest

from groupseal.reasons import Reason
from member_client.client import MemberClient
from tests.support.folders import server_folder
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_api import OktaApi
from tests.support.policies import Approver
from tests.support.postgres import RunningPostgres
from tests.support.trusted_world import Somebody, Team, TrustedWorld, opens, seconds_until
from tests.support.valkey import RunningValkey

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ANA = Approver("ana")
PROTECTED = {"protected": [{"match": [{"name": "Board*"}], "approvals": 1}]}
# Before and after what a transaction does is durable, and before and after what it tells.
STEPS = [
    ("service", "before commit"),
    ("service", "committed"),
    ("worker", "keys_answered"),
    ("worker", "applied"),
]
PATIENCE = 40.0


@pytest.fixture(scope="module")
def world(
    postgres: RunningPostgres,
    migrated_template: str,
    shared_valkey: RunningValkey,
    identity_provider: IdentityProvider,
) -> Iterator[TrustedWorld]:
    with OktaApi(page=50) as okta, server_folder("trust-kills") as folder:
        okta.limit = None
        with TrustedWorld(
            postgres,
            migrated_template,
            shared_valkey.url,
            folder,
            provider=identity_provider,
            okta=okta,
            approvers=[ANA],
            faults=True,
        ) as running:
            running.set_policy_first(**PROTECTED)
            yield running


@pytest.mark.parametrize(("process", "step"), STEPS, ids=lambda value: value.replace(" ", "-"))
def test_a_hold_an_approval_and_a_replacement_survive(
    world: TrustedWorld, process: str, step: str
) -> None:
    """Each ends where it would have ended, nobody is let in on the way, both stores are sound."""
    control, supervised = world.world.controls[process], world.world.processes[process]
    before = supervised.deaths
    (ada, bob), (lost, at_bob) = world.enrolled("ada", "bob")
    team = world.team("Sales", ada, bob)

    control.arm(step)
    board = world.team("Board", ada, bob)
    settled(world, lambda: reasons(world, board, ada, bob) == {Reason.APPROVAL_NEEDED})
    assert world.committed(board) == set()

    control.arm(step)
    for client in (lost, at_bob):
        approve(world, board, client)
    settled(world, lambda: world.committed(board) == {ada.id, bob.id})
    assert opens(lost, board) == opens(at_bob, board) == 1

    control.arm(step)
    new = world.enrol(ada, replaces=True)
    settled(world, lambda: world.is_bound(new))
    settled(world, lambda: (world.epoch(team), world.epoch(board)) == (2, 2))
    settled(world, lambda: opens(new, team) == 2 and opens(at_bob, team) == 2)
    assert opens(lost, team) is None
    settled(world, lambda: reasons(world, board, ada) == {Reason.APPROVAL_NEEDED})
    assert opens(new, board) is None
    assert opens(at_bob, board) == 2
    control.disarm()
    assert supervised.deaths > before, f"{process} never came to {step!r}"
    world.assert_sound()


def reasons(world: TrustedWorld, team: Team, *people: Somebody) -> set[str | None]:
    return {world.reason(team, each) for each in people}


def approve(world: TrustedWorld, board: Team, client: MemberClient) -> None:
    """Again, if the service died before it answered: an approval that is there is no fault."""
    settled(world, lambda: world.try_to_approve(ANA, board, client))


def settled(world: TrustedWorld, condition: Callable[[], bool]) -> None:
    try:
        seconds_until(condition, "what should follow", PATIENCE)
    except AssertionError as error:
        logs = {name: each.log[-1500:] for name, each in world.world.processes.items()}
        raise AssertionError(f"{error}\n{logs}") from None
