"""500 leavers, one request each, are not 500 epochs, and leave nothing behind (I5)."""

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from encryption_service.rotation import SMALL_GROUP
from tests.convergence.parts import enrol_members, ledger_size, written_since
from tests.support.waiting import wait_for
from tests.support.world import World
from worker.reconcile_tenant import reconcile_tenant

SIZE, REMOVALS = 2_000, 500
# The next opening waits up to so many times what the last one took (I5).
DELAY_FACTOR = 10
LONGEST_DELAY_MS = 60_000
MOST_EPOCHS = 60


class Worker(threading.Thread):
    """A worker beside the pushes: looks for work again and again, as jobs would make it."""

    def __init__(self, world: World) -> None:
        super().__init__(name="worker")
        self._world = world
        self._over = threading.Event()
        self._wiring = world.worker()
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            while not self._over.wait(0.02):
                reconcile_tenant(self._wiring, self._world.tenant_id)
        except Exception as error:  # noqa: BLE001 # told by the test
            self.failure = error

    def __enter__(self) -> "Worker":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path / "world") as world:
        yield world


@dataclass(frozen=True)
class Opening:
    """As the service measured it, in milliseconds."""

    epoch: int
    took: int
    ended: int

    @property
    def next_begins(self) -> int:
        """When the one after it may begin, at the earliest."""
        return self.ended + min(DELAY_FACTOR * self.took, LONGEST_DELAY_MS)


class Openings:
    """Notes every opening, when it is durable."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._found: dict[int, Opening] = {}
        world.service.on_step = self._on_step

    def _on_step(self, step: str) -> None:
        if step == "committed":
            for row in self._world.service.rows(
                "SELECT epoch, opening_took_ms, opening_ended_ms FROM groups WHERE is_open = 1"
            ):
                self._found[row[0]] = Opening(*row)

    def since(self, epoch: int) -> list[Opening]:
        """Those of this epoch and the ones after it."""
        return [self._found[n] for n in sorted(self._found) if n >= epoch]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_500_removals_make_a_bounded_number_of_epochs(world: World) -> None:
    """While removals keep coming, an opening waits for ten times what the last one took."""
    worker = world.worker()
    members = enrol_members(world, SIZE)
    group = UUID(world.scim.create_group("Everybody", [str(one) for one in members]))
    world.settle(worker, within=120)
    openings = Openings(world)
    start, begun = ledger_size(world), time.monotonic()
    leavers, stay = members[:REMOVALS], set(members[REMOVALS:])
    assert len(stay) > SMALL_GROUP
    with Worker(world) as beside:
        for leaver in leavers:
            answer = world.scim.patch(
                f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{leaver}"]'}
            )
            assert answer.status_code in {200, 204}, answer.text
    assert beside.failure is None, repr(beside.failure)
    pushing_ms = (time.monotonic() - begun) * 1000
    world.settle(worker, within=120)
    check_epochs(world, start, pushing_ms, openings.since(2))
    check_nothing_is_left(world, group, stay)


def check_epochs(world: World, start: int, pushing_ms: float, openings: list[Opening]) -> None:
    """Between the end of an opening and the next one lie ten times what it took, at the least."""
    written = written_since(world, start)
    fastest = min(opening.took for opening in openings)
    told = f"{written.epochs} epochs while removals came for {pushing_ms:.0f} ms: {openings}"
    # A turn is an opening and the wait after it; the first one waits for none, and one more follows
    # the last removal.
    bound = pushing_ms / ((1 + DELAY_FACTOR) * fastest) + 2
    assert written.epochs == len(openings), told
    assert 1 <= written.epochs <= min(bound, MOST_EPOCHS), told
    for before, after in itertools.pairwise(openings):
        assert after.ended - after.took >= before.next_begins, told
    # An epoch is closed once, before the next one opens.
    assert written.entries["EpochClosed"] == written.epochs, written.entries


def check_nothing_is_left(world: World, group: UUID, stay: set[UUID]) -> None:
    """No envelope is kept that nobody can need any more, on either side."""
    rows = world.rows(
        "SELECT r.member_id, r.epoch, g.epoch AS newest FROM grants r"
        " JOIN groups g ON g.tenant_id = r.tenant_id AND g.id = r.group_id"
        " WHERE r.tenant_id = :tenant AND r.group_id = :group",
        group=group,
    )
    assert {row.member_id for row in rows} == stay
    assert len(rows) == len(stay)
    assert all(row.epoch == row.newest for row in rows)
    assert not world.rows(
        "SELECT FROM memberships WHERE tenant_id = :tenant AND NOT desired AND NOT rostered"
    )
    # The acknowledgement came with the last read; the time of grace is none here.
    world.let_time_pass(ledger_too=True)
    reconcile_tenant(world.worker(), world.tenant_id)

    def dropped() -> bool:
        return not world.service.rows("SELECT position FROM parts WHERE kind = 2")

    wait_for(dropped, 30, "that the service dropped what the vendor has acknowledged")
