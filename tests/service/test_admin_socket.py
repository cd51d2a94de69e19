"""The socket of the customer's commands: who may use it, and what it takes."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from encryption_api import encryption_pb2 as pb
from encryption_service.admin_socket import (
    MAX_REQUEST_BYTES,
    AdminSocket,
    AdminSocketError,
    admin_socket_path,
    ask,
)
from encryption_service.errors import SettingsError
from tests.support.folders import server_folder
from tests.support.waiting import wait_for


def echo(request: dict[str, Any]) -> dict[str, Any]:
    if request.get("command") == "fail":
        raise RuntimeError("a secret that must not reach the answer")
    return {"asked": request}


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_folder("admin") as folder:
        yield folder


@pytest.fixture
def path(folder: Path) -> Iterator[Path]:
    """Of a socket that answers each request with itself."""
    path = admin_socket_path(folder)
    served = AdminSocket(path, echo)
    served.start()
    yield path
    served.stop()
    assert not path.exists()


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    connection.connect(str(path))
    return connection


def exchange(path: Path, *lines: bytes) -> list[Any]:
    """Sends lines over one connection and reads the answers until it ends."""
    with connect(path) as connection, connection.makefile("rb") as answers:
        connection.sendall(b"".join(lines))
        connection.shutdown(socket.SHUT_WR)
        return [json.loads(line) for line in answers]


def test_a_request_is_answered_and_the_file_is_its_owners_alone(path: Path) -> None:
    """0600, under any umask."""
    assert ask(path, {"command": "x"}) == {"asked": {"command": "x"}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_connection_carries_several_requests(path: Path) -> None:
    """One line each, answered in order."""
    answers = exchange(path, b'{"a": 1}\n', b'{"a": 2}\n')
    assert answers == [{"asked": {"a": 1}}, {"asked": {"a": 2}}]


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1]\n", b"[" * 50_000 + b"\n", b"\xff\n", b"1"])
def test_what_is_no_request_is_answered_with_an_error(path: Path, line: bytes) -> None:
    """The service goes on."""
    (answer,) = exchange(path, line)
    assert "a request is" in answer["error"]
    assert ask(path, {}) == {"asked": {}}


def test_a_request_is_bounded(path: Path) -> None:
    """What is longer is refused without being read to its end."""
    with pytest.raises(AdminSocketError, match=str(MAX_REQUEST_BYTES)):
        ask(path, {"document": "x" * MAX_REQUEST_BYTES})


def test_a_fault_of_a_command_does_not_reach_the_answer(path: Path) -> None:
    """Nor does it end the service."""
    with pytest.raises(AdminSocketError, match="unexpected fault") as caught:
        ask(path, {"command": "fail"})
    assert "secret" not in str(caught.value)
    assert ask(path, {}) == {"asked": {}}


def test_only_so_many_connections_are_served_at_once(path: Path) -> None:
    """One more is told to come again; when others end, it is served."""
    held = [connect(path) for _ in range(8)]
    for connection in held:
        connection.sendall(b"{}\n")
        connection.recv(100)
    with pytest.raises(AdminSocketError, match="try again"):
        ask(path, {})
    for connection in held:
        connection.close()

    def served() -> bool:
        try:
            return bool(ask(path, {}))
        except AdminSocketError:
            return False

    wait_for(served, 10, "a free connection")


_STRANGER = """
import os, socket, sys
os.setgid(65534)
os.setuid(65534)
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
    connection.connect(sys.argv[1])
    connection.settimeout(10)
    print(connection.recv(1000).decode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody else takes root")
def test_another_user_is_refused_whatever_the_files_mode_is(path: Path) -> None:
    """The peer's user is asked of the kernel (SO_PEERCRED)."""
    path.chmod(0o666)
    found = subprocess.run(
        [sys.executable, "-c", _STRANGER, str(path)], capture_output=True, text=True, check=True
    )
    assert "only the user that the service runs as" in json.loads(found.stdout)["error"]


def test_a_file_that_a_killed_service_left_is_replaced(folder: Path) -> None:
    """Nothing has to be tidied up by hand."""
    path = admin_socket_path(folder)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with pytest.raises(AdminSocketError, match="no service runs"):
        ask(path, {})
    served = AdminSocket(path, echo)
    served.start()
    assert ask(path, {}) == {"asked": {}}
    served.stop()


def test_what_is_no_socket_is_not_deleted(folder: Path) -> None:
    """Somebody's file in the way is an error that names it."""
    path = admin_socket_path(folder)
    path.write_text("keep")
    served = AdminSocket(path, echo)
    with pytest.raises(SettingsError, match="no socket"):
        served.start()
    served.stop()


def test_a_folder_whose_path_is_longer_than_a_sockets_works(folder: Path) -> None:
    """sun_path has 108 bytes; a data folder may be deeper."""
    deep = folder / ("d" * 90) / ("e" * 90)
    deep.mkdir(parents=True)
    path = admin_socket_path(deep)
    served = AdminSocket(path, echo)
    served.start()
    assert ask(path, {}) == {"asked": {}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    served.stop()
    assert not path.exists()


def test_without_a_service_the_error_says_so(folder: Path) -> None:
    """And names the setting."""
    with pytest.raises(AdminSocketError, match="GROUPSEAL_SERVICE_DATA_DIR"):
        ask(admin_socket_path(folder), {})
    with pytest.raises(AdminSocketError, match="no service runs"):
        ask(admin_socket_path(folder / ("x" * 200)), {})


def test_stopping_lets_a_command_under_way_end(folder: Path) -> None:
    """Its effect is durable, so its answer must arrive."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(_: dict[str, Any]) -> dict[str, Any]:
        begun.set()
        assert go_on.wait(10)
        return {"done": True}

    path = admin_socket_path(folder)
    served = AdminSocket(path, slow)
    served.start()
    answers: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(ask(path, {})))
    asking.start()
    assert begun.wait(10)
    stopping = threading.Thread(target=served.stop)
    stopping.start()
    go_on.set()
    stopping.join(10)
    asking.join(10)
    assert answers == [{"done": True}]


def test_stopping_does_not_wait_for_somebody_who_asks_nothing(folder: Path) -> None:
    """An idle connection is ended."""
    path = admin_socket_path(folder)
    served = AdminSocket(path, echo)
    served.start()
    with connect(path) as idle:
        idle.sendall(b"{}\n")
        assert idle.recv(100)
        before = time.monotonic()
        served.stop()
        assert time.monotonic() - before < 3
        assert idle.recv(100) == b""


def test_the_vendors_channel_has_none_of_the_commands() -> None:
    """No call of the contract approves, refuses, unbinds, freezes, maps or shows the policy."""
    calls = {
        method.name.lower()
        for service in pb.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert calls
    for word in ("approv", "refus", "unbind", "freeze", "map", "policy", "admin"):
        assert not [call for call in calls if word in call], word
