"""The Flask application: SCIM API, member API and probes."""

from flask import Blueprint, Flask

from scim_gateway import discovery, error_responses, groups, health, request_scope, users
from scim_gateway.members.blueprint import member_blueprint
from scim_gateway.wiring import Wiring, attach

SCIM_ROOT = "/scim/v2"


def create_app(wiring: Wiring) -> Flask:
    """An application on this wiring. Nothing connects before the first request."""
    app = Flask("scim_gateway", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = wiring.settings.gateway_max_body
    app.url_map.strict_slashes = False
    attach(app.extensions, wiring)
    error_responses.register(app)
    health.register(app)

    scim = Blueprint("scim", __name__, url_prefix=SCIM_ROOT)
    scim.before_request(request_scope.begin)
    for part in (users, groups, discovery):
        part.register(scim)
    app.register_blueprint(scim)
    app.register_blueprint(member_blueprint())
    app.teardown_request(request_scope.end)
    return app
