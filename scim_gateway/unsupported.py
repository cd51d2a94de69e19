"""Endpoints of RFC 7644 that are not offered, answered as the RFC says: 501."""

from typing import NoReturn

from flask import Blueprint

from scim_gateway.errors import UnsupportedError

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def register(blueprint: Blueprint) -> None:
    """Adds the routes."""
    blueprint.add_url_rule("/Me", "me", me, methods=_METHODS)
    blueprint.add_url_rule("/Bulk", "bulk", bulk, methods=_METHODS)


def me() -> NoReturn:
    """RFC 7644 §3.11: a token stands for a tenant, so there is no subject to show."""
    raise UnsupportedError("/Me is not offered: a token stands for a tenant, not for a user")


def bulk() -> NoReturn:
    """RFC 7644 §3.7; ServiceProviderConfig says that it is not supported."""
    raise UnsupportedError("/Bulk is not offered: send one request for each resource")
