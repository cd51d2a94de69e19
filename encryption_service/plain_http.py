"""A few pages over plain HTTP, for the kubelet and for Prometheus. It reads no request's body."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog

from encryption_service.errors import SettingsError
from encryption_service.settings import host_and_port

_log = structlog.get_logger(__name__)
# A client that neither asks nor goes away holds a thread no longer than this.
_SILENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Page:
    """What a path is answered with."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


_UNKNOWN = Page(404, b"no\n")
_FAILED = Page(500, b"error\n")


class PlainHttpServer:
    """Answers GET for the given paths, and nothing else."""

    def __init__(self, address: str, setting: str, pages: Mapping[str, Callable[[], Page]]) -> None:
        """Binds the address. Raises SettingsError, which names the setting."""

        class Handler(BaseHTTPRequestHandler):
            server_version, sys_version = "groupseal", ""
            timeout = _SILENCE_SECONDS

            def do_GET(self) -> None:  # named by the library
                make = pages.get(self.path)
                page = _UNKNOWN if make is None else _made(self.path, make)
                self.send_response(page.status)
                self.send_header("Content-Type", page.content_type)
                self.send_header("Content-Length", str(len(page.body)))
                self.end_headers()
                self.wfile.write(page.body)

            def log_message(self, *_: object) -> None:
                """A probe every few seconds is no news."""

        try:
            self._server = ThreadingHTTPServer(host_and_port(address), Handler)
        except OSError as error:
            raise SettingsError(
                f"{setting}: {address} cannot be bound ({error.strerror})"
            ) from error
        self._server.daemon_threads = True

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="http", daemon=True).start()

    def stop(self) -> None:
        """Only after `start`."""
        self._server.shutdown()
        self._server.server_close()


def _made(path: str, make: Callable[[], Page]) -> Page:
    try:
        return make()
    except Exception as error:  # noqa: BLE001 # whoever asks is told that it failed, and asks again
        # Its kind alone: a text might say more than a log should hold.
        _log.error("page_failed", path=path, error=type(error).__name__)
        return _FAILED
