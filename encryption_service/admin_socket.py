"""The Unix socket of the customer's commands: whoever may use it is on this machine, as this user.

One request is one line of JSON, and so is its answer; a connection may carry several. Nothing of
this is reachable over the network: the vendor's channel has no such calls.
"""

import json
import os
import socket
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import structlog

from encryption_service.errors import ServiceError, SettingsError

MAX_REQUEST_BYTES = 64 * 1024
_MAX_ANSWER_BYTES = 256 * 1024 * 1024
_CONNECTIONS = 8
_BACKLOG = 16
# A client that does not go on with what it began loses its connection.
_READ_SECONDS = 10.0
_STOP_SECONDS = 5.0
_ASK_SECONDS = 60.0
_NAME = "admin.sock"
# sockaddr_un.sun_path, unix(7), with the zero at its end.
_MAX_PATH_BYTES = 107
_CREDENTIALS = struct.Struct("3i")  # struct ucred, unix(7): pid, uid, gid

Handler = Callable[[dict[str, Any]], dict[str, Any]]
_log = structlog.get_logger(__name__)


class AdminSocketError(ServiceError):
    """The running service cannot be asked, or answers that it did not do what was asked."""


def admin_socket_path(folder: Path) -> Path:
    """The socket's file in the data folder."""
    return folder / _NAME


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """The path, or a short way to it where it is longer than a socket's address may be."""
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not Path(f"/proc/self/fd/{folder}").exists():
            raise SettingsError(
                f"{path} is longer than {_MAX_PATH_BYTES} bytes, which a Unix socket's path may "
                "not be where /proc is not mounted: use a shorter GROUPSEAL_SERVICE_DATA_DIR"
            )
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class AdminSocket:
    """Accepts commands, a thread for each connection, a few connections at once."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._slots = threading.BoundedSemaphore(_CONNECTIONS)
        self._serving: dict[threading.Thread, socket.socket] = {}
        self._stopping = threading.Event()
        self._acceptor = threading.Thread(target=self._accept, name="admin-socket", daemon=True)

    def start(self) -> None:
        """Listens, in the place of a file that a killed service left. Raises SettingsError.

        The caller holds the data folder's lock: nobody else can be serving on that file.
        """
        _remove_stale(self._path)
        try:
            with _address(self._path) as address:
                self._listener.bind(address)
            # Nobody can connect before `listen`, and the folder is its owner's alone.
            self._path.chmod(0o600)
            self._listener.listen(_BACKLOG)
        except OSError as error:
            raise SettingsError(
                f"the socket {self._path} cannot be made ({error.strerror}): "
                "GROUPSEAL_SERVICE_DATA_DIR must be on a file system that allows it"
            ) from error
        self._acceptor.start()

    def stop(self) -> None:
        """Takes no more commands, and lets those under way end."""
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        if self._acceptor.ident is not None:
            self._acceptor.join()
        self._listener.close()
        for thread, connection in list(self._serving.items()):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)  # it answers what it has read, and no more
            thread.join(_STOP_SECONDS)
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if not self._stopping.is_set():
                    _log.error("admin_socket_accept_failed", error=error.strerror)
                    self._stopping.wait(1)
                continue
            self._admit(connection)

    def _admit(self, connection: socket.socket) -> None:
        connection.settimeout(_READ_SECONDS)
        fault = _peer_fault(connection)
        if fault is None and not self._slots.acquire(blocking=False):
            fault = "too many commands run at the same time: try again"
        if fault is not None:
            with suppress(OSError), connection:
                connection.sendall(_line({"error": fault}))
            return
        thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
        self._serving[thread] = connection
        thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with suppress(OSError), connection, connection.makefile("rb") as requests:
                while not self._stopping.is_set() and (
                    request := requests.readline(MAX_REQUEST_BYTES + 1)
                ):
                    connection.sendall(_line(self._answer(request)))
                    if not request.endswith(b"\n"):
                        break
        finally:
            self._serving.pop(threading.current_thread(), None)
            self._slots.release()

    def _answer(self, line: bytes) -> dict[str, Any]:
        if len(line) > MAX_REQUEST_BYTES:
            return {"error": f"a request has at most {MAX_REQUEST_BYTES} bytes"}
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return {"error": "a request is one line of JSON"}
        if not isinstance(request, dict):
            return {"error": "a request is a JSON object"}
        try:
            return self._handler(request)
        except Exception as error:  # noqa: BLE001 # one command's fault does not end the service
            _log.error("admin_command_failed", error=repr(error))
            return {"error": "an unexpected fault; the service's log has the details"}


def _remove_stale(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise SettingsError(f"{path} is no socket, and is in the way: move it elsewhere")
    path.unlink()


def _peer_fault(connection: socket.socket) -> str | None:
    """Why the process at the other end may not give commands."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    if uid in {0, os.geteuid()}:
        return None
    _log.warning("admin_socket_stranger", uid=uid)
    return "only the user that the service runs as, and root, may give commands"


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def ask(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Asks the running service. Raises AdminSocketError, with the service's own words if it has."""
    try:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
            _address(path) as address,
        ):
            connection.settimeout(_ASK_SECONDS)
            connection.connect(address)
            with suppress(BrokenPipeError):  # it answered and hung up; the answer says why
                connection.sendall(_line(request))
            with connection.makefile("rb") as answers:
                line = answers.readline(_MAX_ANSWER_BYTES)
    except (FileNotFoundError, ConnectionRefusedError):
        raise AdminSocketError(
            f"no service runs on {path.parent}: start `encryption-service serve`, or correct "
            "GROUPSEAL_SERVICE_DATA_DIR"
        ) from None
    except PermissionError:
        raise AdminSocketError(
            f"{path} is not this user's: run the command as the user that the service runs as"
        ) from None
    except TimeoutError:
        raise AdminSocketError("the service did not answer in time; see its log") from None
    except OSError as error:
        raise AdminSocketError(f"{path} cannot be used ({error.strerror})") from error
    return _open_answer(line)


def _open_answer(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise AdminSocketError("the service ended before it had answered; see its log")
    if "error" in answer:
        raise AdminSocketError(str(answer["error"]))
    return answer
