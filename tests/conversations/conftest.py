"""The gateway's application on real servers, and clients of two tenants."""

from collections.abc import Iterator

import pytest
from flask import Flask

from scim_gateway.app import create_app
from scim_gateway.settings import GatewaySettings
from scim_gateway.wiring import Wiring, wire
from tests.support.scim_client import ScimClient, new_tenant


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
