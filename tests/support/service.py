"""The encryption service as a process of its own, with a vendor's authority made for the test."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from embedded.ports import free_port
from encryption_api import encryption_pb2_grpc as pb_grpc
from groupseal.pairing import ServiceIdentity, open_identity
from tests.support.authority import VendorAuthority
from tests.support.waiting import wait_for

TENANT_ID = "11111111-2222-4333-8444-555555555555"
CLIENT_IDENTITY = f"spiffe://groupseal/tenant/{TENANT_ID}"
_COMMAND = (sys.executable, "-m", "encryption_service")


class ServiceProcess:
    """`encryption-service serve` on a folder; may be stopped, killed and started again.

    `environment` adds to or replaces the settings; `serve_command` replaces the command that
    serves, for tests that end it at a certain step. A process that made another authority (such
    as `groupseal authority create`) passes its certificate and the client's identity.
    """

    def __init__(
        self,
        folder: Path,
        *,
        environment: dict[str, str] | None = None,
        serve_command: Sequence[str] = (*_COMMAND, "serve"),
        vendor_ca: bytes | None = None,
        client_identity: str = CLIENT_IDENTITY,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.data_dir = folder / "data"
        self.root_key_file = folder / "root.key"
        self.log_file = folder / "service.log"
        self.authority = VendorAuthority()
        self.client_identity = client_identity
        self.port = free_port()
        self.health_port = free_port()
        self.serve_command = serve_command
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: ServiceIdentity | None = None
        vendor_ca_file = folder / "vendor-ca.crt"
        vendor_ca_file.write_bytes(vendor_ca or self.authority.certificate)
        self.environment = {
            "GROUPSEAL_SERVICE_DATA_DIR": str(self.data_dir),
            "GROUPSEAL_SERVICE_ROOT_KEY_FILE": str(self.root_key_file),
            "GROUPSEAL_SERVICE_VENDOR_CA_FILE": str(vendor_ca_file),
            "GROUPSEAL_SERVICE_ALLOWED_CLIENT_IDENTITIES": client_identity,
            "GROUPSEAL_SERVICE_LISTEN": self.address,
            "GROUPSEAL_SERVICE_HEALTH_LISTEN": f"127.0.0.1:{self.health_port}",
            "GROUPSEAL_SERVICE_WRAP_PROCESSES": "2",
            **(environment or {}),
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def address(self) -> str:
        """Where it listens, `host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the service is not running"
        return self._process.pid

    def start(self, within: float = 30.0) -> None:
        """Start it and wait until it accepts calls."""
        if not self.root_key_file.exists():
            self.run("root-key", "create", "--out", str(self.root_key_file))
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self.serve_command, env=self._full_environment(), stdout=log, stderr=log
            )
        wait_for(self._is_ready, within, "the service's readiness")

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"it ended:\n{self.log[-4000:]}"
        return self.probe("/readyz") == 200

    def probe(self, path: str) -> int:
        """The status with which the health port answers; 0 if nobody listens."""
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.health_port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def wait_until_dead(self, within: float = 30.0) -> int:
        """Wait until it has ended by itself; return its exit status."""
        assert self._process is not None
        return self._process.wait(within)

    def stop(self, within: float = 20.0) -> int:
        """SIGTERM; return the exit status."""
        if self._process is None:
            return 0
        self._process.terminate()
        status = self._process.wait(within)
        self._process = None
        return status

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run another `encryption-service` command with the same settings."""
        result = subprocess.run(
            [*_COMMAND, *command],
            env=self._full_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return result

    @property
    def log(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    def identity(self) -> ServiceIdentity:
        """What the vendor pins; asked for once."""
        if self._identity is None:
            self._identity = open_identity(self.run("identity", "--json").stdout)
        return self._identity

    def channel(self, client: tuple[bytes, bytes] | None = None) -> grpc.Channel:
        """A mutual TLS channel of the pinned client, or of the given (key, certificate)."""
        identity = self.identity()
        key, certificate = client or self.authority.issue_uri(self.client_identity)
        credentials = grpc.ssl_channel_credentials(identity.server_ca.encode(), key, certificate)
        options = [("grpc.ssl_target_name_override", identity.server_name)]
        return grpc.secure_channel(self.address, credentials, options)

    def stub(self, channel: grpc.Channel) -> pb_grpc.EncryptionServiceStub:
        return pb_grpc.EncryptionServiceStub(channel)

    def _full_environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("GROUPSEAL_")}
        return {**inherited, **self.environment}
