"""What one change of a large group costs: exactly what it must (I13)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.convergence.parts import Written, enrol_members, ledger_size, written_since
from tests.support.postgres import RunningPostgres
from tests.support.world import World
from worker.wiring import Wiring

SIZE = 1_000
Rows = dict[UUID, tuple[Any, ...]]


class LargeGroup:
    """A committed group of a thousand, and one more who is enrolled and outside."""

    def __init__(self, world: World, worker: Wiring) -> None:
        self.world = world
        self.worker = worker
        *self.members, self.outsider = enrol_members(world, SIZE + 1)
        self.id = UUID(world.scim.create_group("Everybody", [str(one) for one in self.members]))
        world.settle(worker, within=60)

    def push(self, operation: dict[str, Any]) -> Written:
        """One request, reconciled; what the ledger has got by it."""
        before = ledger_size(self.world)
        answer = self.world.scim.patch(f"/Groups/{self.id}", operation)
        assert answer.status_code in {200, 204}, answer.text
        self.world.settle(self.worker)
        return written_since(self.world, before)

    def rows(self, table: str, member: str) -> Rows:
        """Where each row lies and who wrote it last: both change with every write."""
        found = self.world.rows(
            f"SELECT {member} AS member, xmin::text AS xmin, ctid::text AS ctid FROM {table}"  # noqa: S608
            " WHERE tenant_id = :tenant AND group_id = :group",
            group=self.id,
        )
        return {row.member: (row.xmin, row.ctid) for row in found}

    def memberships(self) -> Rows:
        return self.rows("memberships", "user_id")

    def grants(self) -> Rows:
        return self.rows("grants", "member_id")

    def committed(self) -> set[UUID]:
        found = self.world.rows(
            "SELECT user_id FROM memberships m JOIN grants r ON r.tenant_id = m.tenant_id"
            " AND r.group_id = m.group_id AND r.member_id = m.user_id AND r.key_id = m.grant_key_id"
            " JOIN groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id"
            " AND g.epoch = r.epoch AND g.epoch_open"
            " WHERE m.tenant_id = :tenant AND m.group_id = :group AND m.wanted",
            group=self.id,
        )
        return {row.user_id for row in found}

    @property
    def epoch(self) -> int:
        return int(
            self.world.value(
                "SELECT epoch FROM groups WHERE tenant_id = :tenant AND id = :group", group=self.id
            )
        )


@pytest.fixture(scope="module")
def world(
    postgres: RunningPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """One world for the module: its group is large. Openings wait for nothing here."""
    database = postgres.create(template=migrated_template)
    folder: Path = tmp_path_factory.mktemp("world")
    with World(postgres.url(database), folder, opening_delay_max_seconds=0) as world:
        yield world
    postgres.drop(database)


@pytest.fixture(scope="module")
def group(world: World) -> LargeGroup:
    return LargeGroup(world, world.worker())


def test_a_large_group_is_committed_with_one_envelope_each(group: LargeGroup) -> None:
    """Every member has a grant of the first epoch."""
    assert group.committed() == set(group.members)
    assert len(group.grants()) == SIZE


def test_removing_one_member_makes_one_epoch(group: LargeGroup) -> None:
    """Exactly one new epoch with 999 envelopes, and no other membership row is touched."""
    epoch, rows = group.epoch, group.memberships()
    assert len(rows) == SIZE
    gone = group.members.pop()
    written = group.push({"op": "remove", "path": f'members[value eq "{gone}"]'})
    assert (written.epochs, written.envelopes, written.grants) == (1, SIZE - 1, SIZE - 1)
    assert written.entries == {"EpochClosed": 1, "GroupReconciled": 1}
    assert group.epoch == epoch + 1
    rows.pop(gone)
    assert group.memberships() == rows
    assert group.committed() == set(rows) == set(group.grants())


def test_adding_one_member_makes_one_envelope(group: LargeGroup) -> None:
    """One entry in the same epoch; every other row stays as it lies, the grants too."""
    epoch, rows, grants = group.epoch, group.memberships(), group.grants()
    member = {"value": str(group.outsider)}
    written = group.push({"op": "add", "path": "members", "value": [member]})
    assert (written.epochs, written.envelopes, written.grants) == (0, 1, 1)
    assert written.entries == {"GroupReconciled": 1}
    assert group.epoch == epoch
    assert group.committed() == {*rows, group.outsider}
    after, grants_after = group.memberships(), group.grants()
    del after[group.outsider], grants_after[group.outsider]
    assert after == rows
    assert grants_after == grants
