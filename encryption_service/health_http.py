"""Plain HTTP for probes: /livez and /readyz, and nothing else."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from encryption_service.errors import SettingsError
from encryption_service.settings import host_and_port


class HealthServer:
    """Answers from the first moment; ready once the service accepts calls."""

    def __init__(self, address: str, alive: Callable[[], bool], ready: Callable[[], bool]) -> None:
        checks = {"/livez": alive, "/readyz": ready}

        class Handler(BaseHTTPRequestHandler):
            server_version, sys_version = "groupseal", ""

            def do_GET(self) -> None:  # named by the library
                check = checks.get(self.path)
                code = 404 if check is None else 200 if check() else 503
                body = b"ok\n" if code == 200 else b"no\n"
                self.send_response(code)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """A probe every few seconds is no news."""

        try:
            self._server = ThreadingHTTPServer(host_and_port(address), Handler)
        except OSError as error:
            raise SettingsError(
                f"GROUPSEAL_SERVICE_HEALTH_LISTEN: {address} cannot be bound ({error.strerror})"
            ) from error
        self._server.daemon_threads = True

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
