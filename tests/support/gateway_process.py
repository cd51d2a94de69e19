"""The gateway as its own process: `groupseal gateway`, spoken to over HTTP."""

import http.client
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from embedded.child_process import environment_with
from embedded.ports import free_port
from tests.support.waiting import wait_for

_DEADLINE = 30.0


class GatewayProcess:
    """A running gateway on a port of its own; killed at the end of a `with` block."""

    def __init__(self, database_url: str, redis_url: str, log: Path, **settings: str) -> None:
        """Starts it and waits until it is ready; `settings` are further GROUPSEAL_ variables."""
        self.port = free_port()
        self._log = log
        variables = {f"GROUPSEAL_{name.upper()}": value for name, value in settings.items()}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("groupseal"), "gateway"],
                env=environment_with(
                    GROUPSEAL_DATABASE_URL=database_url,
                    GROUPSEAL_REDIS_URL=redis_url,
                    GROUPSEAL_GATEWAY_LISTEN=f"127.0.0.1:{self.port}",
                    **variables,
                ),
                stdout=output,
                stderr=output,
            )
        try:
            wait_for(self._is_ready_or_ended, _DEADLINE, "the gateway")
            assert self.process.poll() is None, f"the gateway did not start: {self.log[-2000:]}"
        except BaseException:
            self.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def scim_url(self) -> str:
        """Where its SCIM API is."""
        return f"http://127.0.0.1:{self.port}/scim/v2"

    @property
    def log(self) -> str:
        """Everything that it has logged."""
        return self._log.read_text()

    def get(self, path: str) -> int:
        """Status of a GET; 0 if nobody listens."""
        try:
            return self.request("GET", path)[0]
        except OSError:
            return 0

    def request(
        self, method: str, path: str, body: object = None, token: str = ""
    ) -> tuple[int, bytes]:
        """Status and body over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _is_ready_or_ended(self) -> bool:
        return self.get("/readyz") == 200 or self.process.poll() is not None

    def kill(self) -> None:
        """Ends it at once, if it still runs."""
        self.process.kill()
        self.process.wait()
