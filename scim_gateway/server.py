"""Serves the application with gunicorn: threads, kept connections, an orderly end on SIGTERM."""

from typing import Any

from flask import Flask, Response
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import ParseException

from scim_gateway.app import create_app
from scim_gateway.error_responses import error_response
from scim_gateway.gunicorn_parts import GatewayLog, GatewayWorker, before_request
from scim_gateway.http_errors import MOST_HEADER, MOST_HEADERS, MOST_REQUEST_LINE, refusal
from scim_gateway.settings import GatewaySettings
from scim_gateway.wiring import wire


class GatewayServer(BaseApplication):  # type: ignore[misc] # gunicorn comes without types
    """The gateway in gunicorn's arbiter. Each worker makes its own wiring after the fork."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Everything is set here; gunicorn reads no file and no variable of its own."""
        options: dict[str, Any] = {
            "bind": [self._settings.gateway_listen],
            "worker_class": GatewayWorker,
            "logger_class": GatewayLog,
            "pre_request": before_request,
            "workers": self._settings.gateway_workers,
            "threads": self._settings.gateway_threads,
            "preload_app": False,
            "keepalive": 30,
            "graceful_timeout": 20,
            "timeout": 60,  # Okta closes after 60 s
            "limit_request_line": MOST_REQUEST_LINE,
            "limit_request_fields": MOST_HEADERS,
            "limit_request_field_size": MOST_HEADER,
            "loglevel": self._settings.log_level.lower(),
            "accesslog": None,
            "errorlog": "-",
            "proc_name": "groupseal-gateway",
            # gunicorn would open a socket that takes commands.
            "control_socket_disable": True,
        }
        for name, value in options.items():
            if name in self.cfg.settings:  # older releases know no control socket
                self.cfg.set(name, value)

    def load(self) -> Flask:
        """Makes the application, in the worker process."""
        app = create_app(wire(self._settings))
        app.register_error_handler(ParseException, _broken_body)
        return app


def _broken_body(error: ParseException) -> Response:
    """Chunks that are none, noticed while the application reads the body."""
    status, _, detail = refusal(error)
    return error_response(status, detail)
