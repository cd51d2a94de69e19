"""A real Valkey (speaks Redis) for the test run.

Fixtures: `redis_url` (the session's server, emptied before the test), `own_valkey` (a server of
the test's own, which it may kill and start again).
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from embedded.child_process import kill_group, spawn, stop, wait_until_ready
from embedded.ports import free_port
from embedded.valkey_server import ValkeyServer
from tests.support.folders import server_folder


class RunningValkey:
    """A server that a test may kill and start again on the same port and data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = ValkeyServer(folder / "redis", free_port())
        self._server.prepare()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL with the password."""
        return self._server.url()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        spec = self._server.child()
        with (self._folder / "valkey.log").open("ab") as log:
            self._process = spawn(spec, log)
        wait_until_ready(spec, self._process)

    def kill(self) -> None:
        """End the server with SIGKILL."""
        assert self._process is not None, "start it first"
        kill_group(self._process)
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """End the server in good order, if it runs."""
        if self._process is not None:
            stop(self._server.child(), self._process)
            self._process = None


def _running(name: str) -> Iterator[RunningValkey]:
    with server_folder(name) as folder:
        server = RunningValkey(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[RunningValkey]:
    """Start Valkey for the session."""
    yield from _running("valkey")


@pytest.fixture
def redis_url(shared_valkey: RunningValkey) -> str:
    """Empty the session's server; return its URL."""
    client = redis.Redis.from_url(shared_valkey.url)
    client.flushall()
    client.close()
    return shared_valkey.url


@pytest.fixture
def own_valkey() -> Iterator[RunningValkey]:
    """Start a Valkey for one test."""
    yield from _running("own-valkey")
