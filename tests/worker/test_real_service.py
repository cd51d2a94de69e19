"""The worker against the encryption service itself, as a process of its own."""

from collections.abc import Iterator

import pytest

from directory.fsck import check
from tests.support.service import ServiceProcess
from tests.support.waiting import wait_for
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
