"""Ports on the loopback interface, chosen once and kept so that URLs survive a restart."""

import json
import secrets
import socket
from itertools import count
from pathlib import Path

from embedded.errors import EmbeddedError
from embedded.private_files import write_private

LOOPBACK = "127.0.0.1"
# Below the ports that systems give to outgoing connections, one of which could otherwise take the
# port of a component that is just starting again.
_PORTS = range(12_000, 32_000)
# A start of its own for each process: two that choose at the same time rarely choose the same.
_choices = count(secrets.randbelow(len(_PORTS)))


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free a moment ago; never the same one twice in a row.

    Raises EmbeddedError if there is none.
    """
    for _ in _PORTS:
        port = _PORTS[next(_choices) % len(_PORTS)]
        if is_free(port):
            return port
    raise EmbeddedError(f"No port of {LOOPBACK} from {_PORTS[0]} to {_PORTS[-1]} is free.")


def is_free(port: int) -> bool:
    """Tell whether a server could bind `port` of 127.0.0.1 now."""
    with socket.socket() as probe:
        # Servers set it too: connections in TIME_WAIT from our last run do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def accepts_connections(port: int, *, timeout: float = 0.5) -> bool:
    """Tell whether something listens on `port` of 127.0.0.1."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout):
            return True
    except OSError:
        return False


class PortBook:
    """The ports of the components by name, kept in one JSON file of the data folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ports = self._read()

    def port_for(self, name: str, wanted: int | None = None) -> int:
        """Return the port of `name`: the wanted one, else the last one, else a free one.

        Raises EmbeddedError if the wanted port is taken. A remembered port that another program
        took in the meantime is replaced by a free one.
        """
        if wanted is not None:
            if not is_free(wanted):
                raise EmbeddedError(
                    f"Port {wanted} for {name} is taken by another program. "
                    "Stop that program or choose another port."
                )
            return self._remember(name, wanted)
        last = self._ports.get(name)
        if last is not None and is_free(last):
            return last
        taken = set(self._ports.values())
        port = free_port()
        while port in taken:
            port = free_port()
        return self._remember(name, port)

    def _remember(self, name: str, port: int) -> int:
        if self._ports.get(name) != port:
            self._ports[name] = port
            write_private(self._path, json.dumps(self._ports, indent=2).encode())
        return port

    def _read(self) -> dict[str, int]:
        try:
            content = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise EmbeddedError(
                f"The file {self._path} is not JSON. Delete it to have new ports chosen."
            ) from error
        if not isinstance(content, dict):
            raise EmbeddedError(
                f"The file {self._path} is not a JSON object. Delete it to have new ports chosen."
            )
        return {name: port for name, port in content.items() if isinstance(port, int)}
