"""The gateway's application on real servers, and clients of two tenants.

A package's conftest takes these fixtures over by importing them. Its tests share one database,
emptied after each: making a database takes longer than most of them.
"""

from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import delete

from directory.database import make_engine
from directory.tables import metadata
from directory.unit_of_work import UnitOfWork
from scim_gateway.app import create_app
from scim_gateway.settings import GatewaySettings
from scim_gateway.wiring import Wiring, wire
from tests.support.postgres import RunningPostgres
from tests.support.scim_client import ScimClient, new_tenant

__all__ = ["app", "database_url", "gateway_wiring", "other_scim", "scim", "shared_database"]


@pytest.fixture(scope="package")
def shared_database(postgres: RunningPostgres, migrated_template: str) -> Iterator[str]:
    """One migrated database for the package's tests; its URL."""
    name = postgres.create(template=migrated_template)
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def database_url(shared_database: str) -> Iterator[str]:
    """The shared database, emptied after the test."""
    yield shared_database
    engine = make_engine(shared_database)
    with UnitOfWork(engine) as uow:
        for table in reversed(metadata.sorted_tables):
            uow.connection.execute(delete(table))
        uow.commit()
    engine.dispose()


@pytest.fixture
def gateway_wiring(database_url: str, redis_url: str) -> Iterator[Wiring]:
    """What the application of one test uses."""
    wiring = wire(GatewaySettings(database_url=database_url, redis_url=redis_url))
    yield wiring
    wiring.close()


@pytest.fixture
def app(gateway_wiring: Wiring) -> Flask:
    """The application as the server runs it."""
    return create_app(gateway_wiring)


@pytest.fixture
def scim(app: Flask, gateway_wiring: Wiring) -> ScimClient:
    """A client of a tenant of its own."""
    return new_tenant(app, gateway_wiring, "tenant")


@pytest.fixture
def other_scim(app: Flask, gateway_wiring: Wiring) -> ScimClient:
    """A client of another tenant."""
    return new_tenant(app, gateway_wiring, "other")
