"""Fixtures of the worker's tests: a bench, a tenant, a fake service that really signs."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.support.ledger_maker import FakeService
from tests.worker.devices import Device
from tests.worker.parts import Bench, Tenant


@pytest.fixture
def bench(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Bench]:
    """A vendor's database, Redis and authority."""
    made = Bench(database_url, redis_url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def service(bench: Bench) -> Iterator[FakeService]:
    """A running service of an organisation of its own."""
    with FakeService(bench.vendor_ca) as made:
        yield made


@pytest.fixture
def tenant(bench: Bench, service: FakeService) -> Tenant:
    """A tenant that is connected with the service."""
    made = bench.tenant()
    made.connect(service.identity, service.address)
    return made


@pytest.fixture
def user(tenant: Tenant) -> UUID:
    """Ada, as the identity provider pushed her."""
    made = tenant.user("ada@example.com")
    tenant.run("UPDATE users SET external_id = '00u1' WHERE id = %s", made)
    return made


@pytest.fixture
def device(tenant: Tenant, service: FakeService, user: UUID) -> Device:
    """Ada's device, not submitted yet."""
    return Device(tenant, service.org.id, user)
