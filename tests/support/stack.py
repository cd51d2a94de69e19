"""The whole product as its user starts it: `groupseal up` as a process of its own."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import redis

from tests.support.waiting import wait_for

_BIN = Path(sys.executable).parent


class Stack:
    """`groupseal up` on one data folder; its components may be killed one by one."""

    def __init__(
        self, folder: Path, *options: str, environment: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._ready_file = folder / "ready.json"
        self._options = options
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self, within: float = 60.0) -> None:
        """Start everything and wait until it serves."""
        self._ready_file.unlink(missing_ok=True)
        with (self.folder / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    _BIN / "groupseal",
                    "up",
                    "--data",
                    self.data,
                    "--ready-file",
                    self._ready_file,
                    *self._options,
                ],
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
            )

        def ready() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "up.log").read_text()[-4000:]
            return self._ready_file.exists()

        wait_for(ready, within, "the stack's readiness")

    def stop(self, within: float = 30.0) -> int:
        """End it as Ctrl-C does; return the exit status."""
        if self._process is None:
            return 0
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process = None

    @property
    def ready(self) -> dict[str, Any]:
        """What the ready file says now."""
        content: dict[str, Any] = json.loads(self._ready_file.read_text())
        return content

    def pids(self, name: str) -> list[int]:
        found: list[int] = self.ready["processes"].get(name, [])
        return found

    def kill(self, name: str) -> list[int]:
        """SIGKILL every process of a component; return their ids."""
        pids = self.pids(name)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return pids

    def flush_redis(self) -> None:
        with redis.Redis.from_url(self.ready["redis_url"]) as client:
            client.flushall()

    def database(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of the test's own, autocommitting."""
        return psycopg.connect(self.ready["database_url"], autocommit=True)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a `groupseal` command as an operator of this stack."""
        ready = self.ready
        result = subprocess.run(
            [_BIN / "groupseal", *command],
            env={
                **os.environ,
                "GROUPSEAL_DATABASE_URL": ready["database_url"],
                "GROUPSEAL_REDIS_URL": ready["redis_url"],
                "GROUPSEAL_AUTHORITY_DIR": str(self.data / "authority"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return result

    def fsck(self) -> None:
        """Both fsck commands find nothing."""
        self.run("fsck")
        self.service("fsck")

    def service(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run an `encryption-service` command as the customer of this stack."""
        service_data = Path(self.ready["service_data"])
        result = subprocess.run(
            [_BIN / "encryption-service", *command],
            env={
                **os.environ,
                "GROUPSEAL_SERVICE_DATA_DIR": str(service_data),
                "GROUPSEAL_SERVICE_ROOT_KEY_FILE": str(self.root_key_file),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return result

    @property
    def root_key_file(self) -> Path:
        """The customer's root key: beside the service's store, not in it."""
        return self.data / "encryption-service.root-key"
