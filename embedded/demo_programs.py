"""Runs the installed commands for the demo, each as the one who would run it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Self, TypeVar

from embedded.child_process import ChildSpec, spawn, stop
from embedded.components import DataFolder
from embedded.errors import EmbeddedError
from embedded.ready_file import ReadyFile

_COMMAND_SECONDS = 60.0
_START_SECONDS = 60.0
_POLL_SECONDS = 0.05
_LAST_CHARACTERS = 2000
_T = TypeVar("_T")


class DemoError(EmbeddedError):
    """A step of the demo did not turn out as claimed; the text says what was seen instead."""


@dataclass(frozen=True)
class Answer:
    """How a command ended: exit status, its JSON (None if it wrote none), its error output."""

    status: int
    content: Any
    errors: str


def run(
    program: str, *arguments: str, environment: Mapping[str, str], text: str | None = None
) -> Answer:
    """Run an installed command to its end, with `text` as its standard input."""
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    try:
        ended = subprocess.run(
            command,
            env=dict(environment),
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DemoError(f"`{program} {arguments[0]}` took over {_COMMAND_SECONDS:g} s.") from None
    try:
        content = json.loads(ended.stdout)
    except ValueError:
        content = None
    return Answer(ended.returncode, content, ended.stderr.strip()[-_LAST_CHARACTERS:])


def neutral_environment() -> dict[str, str]:
    """Return our environment without any setting of the product: the demo's stack is its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GROUPSEAL_")}


def wait_until(
    condition: Callable[[], _T | None], within: float, what: str, every: float = _POLL_SECONDS
) -> _T:
    """Return the condition's first true value; raise DemoError naming `what` after `within` s."""
    deadline = time.monotonic() + within
    pause = Event()
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise DemoError(f"{what}: this did not come true within {within:g} s.")
        pause.wait(every)
    return value


class DemoStack:
    """`groupseal up` as a child of ours, in a folder of its own; it dies with us.

    Start it in the main thread. `folder` then holds `data` and the output in `up.log`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = DataFolder(folder / "data")
        self.output = folder / "up.log"
        self._ready_file = folder / "ready.json"
        self._process: subprocess.Popen[bytes] | None = None
        self._spec = ChildSpec(
            name="up",
            role="up",
            command=(
                str(Path(sys.executable).with_name("groupseal")),
                *("up", "--data", str(self.data.root), "--ready-file", str(self._ready_file)),
            ),
            environment=neutral_environment(),
            folder=folder,
            stop_signal=signal.SIGINT,
            stop_within=20.0,
            death_signal=signal.SIGTERM,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> ReadyFile:
        """Start everything; return where it is, once it serves."""
        with self.output.open("wb") as output:
            process = self._process = spawn(self._spec, output)

        def ready() -> bool:
            if process.poll() is not None:
                said = self.output.read_text(errors="replace").rpartition("\nError: ")[2]
                last = said[-_LAST_CHARACTERS:].strip()
                raise DemoError(f"`groupseal up` ended with status {process.returncode}: {last}")
            return self._ready_file.exists()

        wait_until(ready, _START_SECONDS, "`groupseal up` serves")
        self.ready = ReadyFile(**json.loads(self._ready_file.read_text()))
        return self.ready

    def stop(self) -> None:
        """End all of it, as Ctrl-C does."""
        if self._process is not None:
            stop(self._spec, self._process)
            self._process = None

    def operator(self, *arguments: str) -> Answer:
        """Run `groupseal ARGUMENTS` as the vendor's operator."""
        environment = neutral_environment() | {
            "GROUPSEAL_DATABASE_URL": self.ready.database_url,
            "GROUPSEAL_REDIS_URL": self.ready.redis_url,
            "GROUPSEAL_AUTHORITY_DIR": str(self.data.authority),
        }
        return run("groupseal", *arguments, environment=environment)

    def customer(self, *arguments: str) -> Answer:
        """Run `encryption-service ARGUMENTS` as the customer, beside the running service."""
        environment = neutral_environment() | {
            "GROUPSEAL_SERVICE_DATA_DIR": str(self.data.service),
            "GROUPSEAL_SERVICE_ROOT_KEY_FILE": str(self.data.service_root_key),
        }
        return run("encryption-service", *arguments, environment=environment)
