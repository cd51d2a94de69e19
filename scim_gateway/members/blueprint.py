"""The member API as one blueprint."""

from flask import Blueprint, Response

from scim_gateway.members import devices, errors, items, ledger, sessions
from scim_gateway.members.groups import GroupRoutes
from scim_gateway.members.scope import answer

MEMBER_ROOT = "/member/v1"


def member_blueprint() -> Blueprint:
    """All routes below /member/v1."""
    blueprint = Blueprint("members", __name__, url_prefix=MEMBER_ROOT)
    errors.register(blueprint)
    blueprint.add_url_rule("/health", "health", health)
    for part in (sessions, devices, ledger, items):
        part.register(blueprint)
    GroupRoutes().register(blueprint)
    return blueprint


def health() -> Response:
    """200 as long as the gateway answers."""
    return answer({"status": "ok"})
