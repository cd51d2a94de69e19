"""Serves the application with gunicorn: threads, kept connections, an orderly end on SIGTERM."""

from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from scim_gateway.app import create_app
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
            "worker_class": "gthread",
            "workers": self._settings.gateway_workers,
            "threads": self._settings.gateway_threads,
            "preload_app": False,
            "keepalive": 30,
            "graceful_timeout": 20,
            "timeout": 60,  # Okta closes after 60 s
            "limit_request_line": 8190,
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
        return create_app(wire(self._settings))
