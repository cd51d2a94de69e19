"""Fixtures of this package, taken over."""

from tests.support.gateway_fixtures import (
    app,
    database_url,
    gateway_wiring,
    other_scim,
    scim,
    shared_database,
)

__all__ = ["app", "database_url", "gateway_wiring", "other_scim", "scim", "shared_database"]
