"""Each process is killed once at every step of each kind of change; nothing is lost (I9)."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

import pytest

from tests.faults import run_gateway
from tests.faults.steps import steps_in
from tests.faults.world import World
from tests.support.folders import server_folder
from tests.support.postgres import RunningPostgres
from tests.support.valkey import RunningValkey

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# More than this keep a key when one leaves, so that closing and opening are two entries.
LARGE, SMALL = 70, 5
STEPS = [
    *(("worker", step) for step in steps_in("worker")),
    *(("service", step) for step in steps_in("encryption_service")),
    *(("gateway", step) for step in run_gateway.STEPS),
]


@dataclass
class Scene:
    """A large and a small group that change in every way, again and again."""

    world: World
    large: UUID
    small: UUID
    rosters: dict[UUID, set[UUID]]
    numbers: "count[int]" = field(default_factory=count)

    def changes(self) -> list[Callable[[], None]]:
        """One of each kind, in an order that differs from one case to the next."""
        kinds = [self.exchange, self.shrink, self.enrol]
        first = next(self.numbers) % len(kinds)
        return kinds[first:] + kinds[:first]

    def exchange(self) -> None:
        """A new name, one who leaves and two who come, in one push: closed and opened at once."""
        members = self.rosters[self.small]
        outside = sorted(self.rosters[self.large] - members)[:2]
        self.push(self.small, add=outside, remove=sorted(members)[:1], name=self.a_name())

    def shrink(self) -> None:
        """One leaves the large group: an entry closes the epoch, another one opens the next."""
        self.push(self.large, remove=sorted(self.rosters[self.large])[:1])

    def enrol(self) -> None:
        """Somebody who was let in without a key gets one; somebody else comes, nobody leaves."""
        (user,) = self.world.tenant.users(1)
        for group in (self.large, self.small):
            self.push(group, add=[user])
        self.world.wait_until_settled()
        self.world.devices.submit([user])
        outside = self.world.devices.keys.keys() - self.rosters[self.large] - {user}
        self.push(self.large, add=sorted(outside)[:1], name=self.a_name())

    def a_name(self) -> str:
        return f"Group {next(self.numbers)}"

    def push(
        self, group: UUID, *, add: Iterable[UUID] = (), remove: Iterable[UUID] = (), name: str = ""
    ) -> None:
        added, removed = [str(user) for user in add], [str(user) for user in remove]
        self.world.okta.patch_group(str(group), name or f"Group {group}", added, removed)
        self.rosters[group] = (self.rosters[group] | set(add)) - set(remove)


@pytest.fixture(scope="module")
def scene(
    postgres: RunningPostgres, migrated_template: str, shared_valkey: RunningValkey
) -> Iterator[Scene]:
    with (
        server_folder("faults") as folder,
        World(postgres, migrated_template, shared_valkey.url, folder, faults=True) as world,
    ):
        users = world.tenant.users(LARGE)
        world.devices.submit(users)
        large, small = (
            UUID(world.okta.create_group(name, [str(user) for user in members]))
            for name, members in (("Large", users), ("Small", users[:SMALL]))
        )
        world.wait_until_settled()
        yield Scene(world, large, small, {large: set(users), small: set(users[:SMALL])})


@pytest.mark.parametrize(("process", "step"), STEPS, ids=lambda value: value.replace(" ", "-"))
def test_killed_at_a_step_everything_converges(scene: Scene, process: str, step: str) -> None:
    """Killed when it first comes there in each change, started again, nothing else done."""
    world, control = scene.world, scene.world.controls[process]
    before = world.processes[process].deaths
    for change in scene.changes():
        control.arm(step)
        change()
        world.wait_until_settled()
        control.disarm()
    assert world.processes[process].deaths > before, f"{process} never came to {step!r}"
    world.assert_exactly_these_open(scene.rosters)
    world.assert_sound()


def test_every_step_that_is_reached_is_one_of_those(scene: Scene) -> None:
    """No step has a name that reading the code does not find."""
    for change in scene.changes():
        change()
        scene.world.wait_until_settled()
    for process, control in scene.world.controls.items():
        assert control.reached == {step for owner, step in STEPS if owner == process}
