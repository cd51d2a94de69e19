"""A deleted group that comes back: its members open a new epoch, and nobody else does."""

from pathlib import Path
from uuid import UUID

from directory.fsck import check
from directory.group_restore import restore_group
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from encryption_service.fsck import check_store
from tests.convergence.ledger_replay import replay
from tests.convergence.members import Member
from tests.support.world import KeptPool, World


def test_members_of_a_restored_group_open_it_again(
    database_url: str, pool: KeptPool, tmp_path: Path
) -> None:
    """Deleted: nothing is served, and the epoch closes. Restored: a new one opens for those who
    were members and still are users; whoever became inactive is served nothing.
    """
    with World(database_url, tmp_path, pool=pool, opening_delay_max_seconds=0) as world:
        worker = world.worker()
        members = [_enrolled(world, name) for name in ("ada", "grace", "mary")]
        ada, grace, mary = members
        group = UUID(world.scim.create_group("Finance", [str(one.id) for one in members]))
        world.settle(worker)
        before = [_opened(world, one, group) for one in members]
        assert None not in before

        world.scim.send("DELETE", f"/Groups/{group}")
        assert [one.served(group, one.devices[0]) for one in members] == [None] * 3
        world.settle(worker)
        world.scim.patch(f"/Users/{mary.id}", {"op": "replace", "value": {"active": False}})
        world.scim.send("DELETE", f"/Users/{grace.id}")
        world.settle(worker)

        with UnitOfWork(world.engine) as work:
            restored = restore_group(TenantScope(work.connection, world.tenant_id), group)
            work.commit()
        assert (restored.members, restored.gone) == (2, 1)
        assert ada.served(group, ada.devices[0]) is None  # not before the service has granted it
        world.settle(worker)
        epoch = _opened(world, ada, group)
        assert epoch is not None
        assert epoch > max(one for one in before if one is not None)
        assert mary.served(group, mary.devices[0]) is None

        world.scim.patch(f"/Users/{mary.id}", {"op": "replace", "value": {"active": True}})
        world.settle(worker)
        assert _opened(world, mary, group) is not None
        with UnitOfWork(world.engine) as work:
            assert check(work.connection, world.tenant_id) == []
        with world.service.store() as connection:
            assert check_store(connection, world.service.provider).faults == []


def _enrolled(world: World, name: str) -> Member:
    member = Member(world, UUID(world.scim.create_user(f"{name}@example.com")))
    member.submit_device()
    return member


def _opened(world: World, member: Member, group: UUID) -> int | None:
    return member.opens(group, member.devices[0], replay(world).projection)
