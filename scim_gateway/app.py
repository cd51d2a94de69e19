"""The Flask application: SCIM API, member API and probes."""

from flask import Blueprint, Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from scim_gateway import (
    content_negotiation,
    discovery,
    error_responses,
    groups,
    health,
    request_scope,
    searching,
    unsupported,
    users,
)
from scim_gateway.failed_attempts import FailedAttempts
from scim_gateway.members.blueprint import member_blueprint
from scim_gateway.one_slash import OneSlash
from scim_gateway.throttling import FailureGuard
from scim_gateway.wiring import Wiring, attach

SCIM_ROOT = "/scim/v2"


def create_app(wiring: Wiring) -> Flask:
    """An application on this wiring. Nothing connects before the first request."""
    app = Flask("scim_gateway", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = wiring.settings.gateway_max_body
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # it would redirect; see OneSlash
    attach(app.extensions, wiring)
    content_negotiation.register(app)
    error_responses.register(app)
    _guard(app, wiring)
    health.register(app)

    scim = Blueprint("scim", __name__, url_prefix=SCIM_ROOT)
    scim.before_request(request_scope.begin)
    for part in (users, groups, searching, discovery, unsupported):
        part.register(scim)
    app.register_blueprint(scim)
    app.register_blueprint(member_blueprint())
    app.teardown_request(request_scope.end)
    return app


def _guard(app: Flask, wiring: Wiring) -> None:
    """Puts in front of the application what looks at addresses and clients."""
    app.wsgi_app = OneSlash(app.wsgi_app)  # type: ignore[method-assign] # Flask's own advice
    proxies = wiring.settings.gateway_trusted_proxies
    if proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=proxies, x_proto=0, x_host=0
        )
    failures = wiring.settings.gateway_rate_failures_per_minute
    if failures:
        FailureGuard(FailedAttempts(failures)).register(app)
