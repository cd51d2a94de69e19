"""Which processes the product consists of, with which command and which environment.

The vendor's processes never get the service's variables, nor the service the vendor's: what one
side must not know is not in its environment.
"""

import dataclasses
import http.client
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from embedded.child_process import ChildSpec
from embedded.ports import LOOPBACK

_OURS = "GROUPSEAL_"
_SERVICE = "GROUPSEAL_SERVICE_"
_SPIFFE_TENANT = "spiffe://groupseal/tenant/"
_OK = 200


@dataclass(frozen=True)
class DataFolder:
    """The layout of the one folder that holds everything."""

    root: Path

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.root / "logs"

    @property
    def ports(self) -> Path:
        """The ports chosen at the first start."""
        return self.root / "ports.json"

    @property
    def lock(self) -> Path:
        """Held while the stack runs."""
        return self.root / "lock"

    @property
    def tenant(self) -> Path:
        """The local tenant with its SCIM token."""
        return self.root / "local-tenant.json"

    @property
    def authority(self) -> Path:
        """The vendor's authority for client certificates."""
        return self.root / "authority"

    @property
    def postgres(self) -> Path:
        """The database cluster and its passwords."""
        return self.root / "postgres"

    @property
    def redis(self) -> Path:
        """The append-only file, the configuration and the password."""
        return self.root / "redis"

    @property
    def service(self) -> Path:
        """The encryption service's store (the customer's side)."""
        return self.root / "encryption-service"

    @property
    def service_root_key(self) -> Path:
        """The key that seals the service's keyset; beside the store, not in it."""
        return self.root / "encryption-service.root-key"

    @property
    def service_identity(self) -> Path:
        """The identity document that the tenant was connected with."""
        return self.root / "encryption-service.identity.json"


@dataclass(frozen=True, kw_only=True)
class Ports:
    """TCP ports on 127.0.0.1."""

    gateway: int
    service: int
    service_health: int


@dataclass(frozen=True, kw_only=True)
class VendorSide:
    """The vendor's programs: one database, one Redis, one authority."""

    data: DataFolder
    database_url: str
    redis_url: str
    ports: Ports

    def command(self, name: str, *arguments: str) -> ChildSpec:
        """Return how to run `groupseal ARGUMENTS`, logged as `name`."""
        return ChildSpec(
            name=name,
            role=name,
            command=(_script("groupseal"), *arguments),
            environment=self._environment(),
            folder=self.data.root,
        )

    def gateway(self) -> ChildSpec:
        """Return the process that answers SCIM and the member API."""
        return dataclasses.replace(
            self.command("gateway", "gateway"),
            ready=lambda: _answers(self.ports.gateway, "/member/v1/health"),
        )

    def workers(self, count: int) -> list[ChildSpec]:
        """Return the processes that reconcile."""
        names = ["worker"] if count == 1 else [f"worker-{n}" for n in range(1, count + 1)]
        return [dataclasses.replace(self.command(n, "worker"), role="worker") for n in names]

    def sweeper(self) -> ChildSpec:
        """Return the process that finds what a lost job left."""
        return self.command("sweeper", "sweeper")

    def _environment(self) -> dict[str, str]:
        chosen = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(_OURS) and not name.startswith(_SERVICE)
        }
        return (
            _neutral_environment()
            | chosen
            | {
                "GROUPSEAL_DATABASE_URL": self.database_url,
                "GROUPSEAL_REDIS_URL": self.redis_url,
                "GROUPSEAL_AUTHORITY_DIR": str(self.data.authority),
                "GROUPSEAL_GATEWAY_LISTEN": f"{LOOPBACK}:{self.ports.gateway}",
            }
        )


@dataclass(frozen=True, kw_only=True)
class CustomerSide:
    """The encryption service, which serves one tenant of the vendor."""

    data: DataFolder
    ports: Ports
    tenant_id: str

    @property
    def address(self) -> str:
        """Where the vendor reaches it."""
        return f"{LOOPBACK}:{self.ports.service}"

    def command(self, name: str, *arguments: str) -> ChildSpec:
        """Return how to run `encryption-service ARGUMENTS`, logged as `name`."""
        return ChildSpec(
            name=name,
            role=name,
            command=(_script("encryption-service"), *arguments),
            environment=self._environment(),
            folder=self.data.root,
        )

    def service(self) -> ChildSpec:
        """Return the encryption service, ready when its readiness probe says so."""
        return dataclasses.replace(
            self.command("encryption-service", "serve"),
            ready=lambda: _answers(self.ports.service_health, "/readyz"),
        )

    def _environment(self) -> dict[str, str]:
        chosen = {n: value for n, value in os.environ.items() if n.startswith(_SERVICE)}
        chosen.pop("GROUPSEAL_SERVICE_PORT", None)  # ours, not the service's
        return (
            _neutral_environment()
            | chosen
            | {
                "GROUPSEAL_SERVICE_DATA_DIR": str(self.data.service),
                "GROUPSEAL_SERVICE_ROOT_KEY_FILE": str(self.data.service_root_key),
                "GROUPSEAL_SERVICE_LISTEN": self.address,
                "GROUPSEAL_SERVICE_HEALTH_LISTEN": f"{LOOPBACK}:{self.ports.service_health}",
                "GROUPSEAL_SERVICE_VENDOR_CA_FILE": str(self.data.authority / "ca.crt"),
                "GROUPSEAL_SERVICE_ALLOWED_CLIENT_IDENTITIES": f"{_SPIFFE_TENANT}{self.tenant_id}",
            }
        )


def _neutral_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def _script(name: str) -> str:
    """Return the path of an installed command: beside the interpreter that runs us."""
    return str(Path(sys.executable).with_name(name))


def _answers(port: int, path: str) -> bool:
    """Tell whether an HTTP server on 127.0.0.1 answers `path` with 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=1)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == _OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
