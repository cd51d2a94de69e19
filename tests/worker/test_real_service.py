"""The worker against the encryption service itself, as a process of its own."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from directory.fsck import check
from tests.support.service import ServiceProcess
from tests.support.waiting import wait_for
from tests.worker.devices import Device
from tests.worker.parts import Bench, Killed, Tenant, killer
from worker.client_certificates import tenant_identity


@pytest.fixture
def real(bench: Bench) -> Iterator[tuple[Tenant, ServiceProcess]]:
    """A connected tenant and its service."""
    tenant = bench.tenant()
    with ServiceProcess(
        bench.folder / "service",
        vendor_ca=bench.vendor_ca,
        client_identity=tenant_identity(tenant.id),
    ) as service:
        tenant.connect(service.identity(), service.address)
        yield tenant, service


def reconciled(tenant: Tenant) -> bool:
    tenant.make_due()
    tenant.reconcile()
    return not tenant.dirty()


def sound(tenant: Tenant, service: ServiceProcess) -> None:
    with tenant.bench.engine.connect() as connection:
        assert check(connection) == []
    service.run("fsck")


def test_members_come_and_go(real: tuple[Tenant, ServiceProcess]) -> None:
    """Push, removal, return; each ends committed, and both sides are sound."""
    tenant, service = real
    organisation = service.identity().organisation
    users = tenant.users(4)
    for user in users[:3]:
        tenant.submit_key(organisation, user)
    group = tenant.group(users, "Finance")
    wait_for(lambda: reconciled(tenant), 20, "the first push")
    assert tenant.committed(group) == set(users[:3])
    tenant.push(group, remove=users[:1])
    wait_for(lambda: reconciled(tenant), 20, "the removal")
    assert tenant.committed(group) == set(users[1:3])
    tenant.submit_key(organisation, users[3])
    tenant.push(group, add=users[:1])
    wait_for(lambda: reconciled(tenant), 20, "the return")
    wait_for(lambda: tenant.committed(group) == set(users), 20, "the late key")
    sound(tenant, service)


@pytest.mark.parametrize("step", ["commands_sent", "outcomes_received", "entries_verified"])
def test_a_lost_answer_is_found_in_the_ledger(
    real: tuple[Tenant, ServiceProcess], step: str
) -> None:
    """Worker and service are killed; both come back; nothing is done twice."""
    tenant, service = real
    organisation = service.identity().organisation
    users = tenant.users(3)
    for user in users:
        tenant.submit_key(organisation, user)
    wait_for(lambda: reconciled(tenant), 20, "the keys")
    group = tenant.group(users)
    with pytest.raises(Killed):
        tenant.reconcile(tenant.bench.worker(killer(step)))
    service.kill()
    service.start()
    wait_for(lambda: reconciled(tenant), 20, "the commit")
    assert tenant.committed(group) == set(users)
    assert tenant.one("SELECT count(*) FROM epochs WHERE tenant_id = %s") == 1
    sound(tenant, service)


def held_for(tenant: Tenant, group: UUID) -> set[str]:
    rows = tenant.rows(
        "SELECT reason FROM memberships WHERE tenant_id = %s AND group_id = %s"
        " AND reason IS NOT NULL",
        group,
    )
    return {row[0] for row in rows}


def test_what_a_customer_holds_back_is_shown_settled_and_follows_by_itself(
    real: tuple[Tenant, ServiceProcess],
) -> None:
    """Frozen: nobody is added, somebody is removed; afterwards everybody is there, unasked."""
    tenant, service = real
    users = tenant.users(4)
    for user in users:
        tenant.submit_key(service.identity().organisation, user)
    group = tenant.group(users[:2])
    wait_for(lambda: reconciled(tenant), 20, "the first push")
    assert tenant.committed(group) == set(users[:2])
    service.run("freeze", "on")
    tenant.push(group, add=users[2:], remove=users[:1])
    wait_for(lambda: reconciled(tenant), 30, "the push while frozen")
    wait_for(lambda: read_on(tenant) and tenant.committed(group) == {users[1]}, 20, "the removal")
    assert held_for(tenant, group) == {"frozen"}
    assert tenant.one("SELECT frozen FROM tenants WHERE id = %s")
    service.run("freeze", "off")
    wait_for(lambda: read_on(tenant) and tenant.committed(group) == set(users[1:]), 20, "the rest")
    assert held_for(tenant, group) == set()
    assert tenant.dirty() == []
    sound(tenant, service)


def test_a_device_replaces_another_one_and_is_removed(
    real: tuple[Tenant, ServiceProcess],
) -> None:
    """The old key's envelopes go, every group rotates, and both sides agree."""
    tenant, service = real
    organisation = service.identity().organisation
    user, other = tenant.users(2)
    lost, new = (Device(tenant, organisation, user) for _ in range(2))
    lost.submit()
    tenant.submit_key(organisation, other)
    group = tenant.group([user, other])
    wait_for(lambda: reconciled(tenant), 20, "the push")
    assert tenant.committed(group) == {user, other}
    new.submit(replaces=True, endorser=lost)

    def granted() -> set[bytes]:
        rows = tenant.rows(
            "SELECT r.key_id FROM grants r JOIN groups g ON g.tenant_id = r.tenant_id"
            " AND g.id = r.group_id WHERE r.tenant_id = %s AND r.member_id = %s"
            " AND r.epoch = g.epoch AND g.epoch_open",
            user,
        )
        return {bytes(row[0]) for row in rows}

    wait_for(lambda: read_on(tenant) and granted() == {new.key_id}, 30, "the replacement")
    assert lost.row()[:2] == ("unbound", "key_replaced")
    assert tenant.one("SELECT epoch FROM groups WHERE tenant_id = %s") == 2
    new.remove(new)
    wait_for(lambda: read_on(tenant) and new.row()[0] == "unbound", 30, "the removal")
    wait_for(lambda: read_on(tenant) and tenant.committed(group) == {other}, 30, "the rotation")
    assert tenant.one("SELECT state FROM key_removals WHERE tenant_id = %s") == "done"
    wait_for(lambda: reconciled(tenant), 20, "rest")
    sound(tenant, service)


def read_on(tenant: Tenant) -> bool:
    """As the watch's news would have it."""
    tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
    return reconciled(tenant)
