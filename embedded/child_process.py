"""Child processes that die with us, and that we stop politely first."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from embedded.errors import StartFailedError
from embedded.unprivileged import Identity, launcher_command

_POLL_SECONDS = 0.02


def always_ready() -> bool:
    """Be the readiness check of a program that has none."""
    return True


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """How to run one child process.

    `role` groups the instances of one component in the ready file (worker-1, worker-2: worker).
    `environment` is the whole environment of the child. `ready` is called until it returns True;
    it takes at most a second and raises nothing. `death_signal` is what the kernel sends to the
    child when we are killed. Times are in seconds.
    """

    name: str
    role: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)  # holds passwords
    folder: Path
    ready: Callable[[], bool] = always_ready
    ready_within: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within: float = 10.0
    death_signal: signal.Signals = signal.SIGKILL
    identity: Identity = field(default_factory=Identity)


def spawn(
    spec: ChildSpec, output: int | IO[bytes], errors: int | IO[bytes] = subprocess.STDOUT
) -> subprocess.Popen[bytes]:
    """Start the child in a session of its own, its standard output and error in `output`.

    Call it from a thread that lives as long as the child shall: the kernel counts the end of the
    thread that forked as the death of the parent.
    """
    return subprocess.Popen(
        launcher_command(spec.identity, *spec.command, death_signal=spec.death_signal),
        env=dict(spec.environment),
        cwd=spec.folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )


def wait_until_ready(spec: ChildSpec, process: subprocess.Popen[bytes]) -> None:
    """Return once the child serves; raise StartFailedError if it ends or takes too long."""
    deadline = time.monotonic() + spec.ready_within
    while not spec.ready():
        if process.poll() is not None:
            raise StartFailedError(f"{spec.name} ended with status {process.returncode}.")
        if time.monotonic() > deadline:
            raise StartFailedError(f"{spec.name} was not ready within {spec.ready_within:g} s.")
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)


def stop(spec: ChildSpec, process: subprocess.Popen[bytes]) -> None:
    """End the child: its stop signal, then SIGKILL to its whole group after the deadline."""
    send(process, spec.stop_signal)
    with suppress(subprocess.TimeoutExpired):
        process.wait(spec.stop_within)
    kill_group(process)
    process.wait()


def send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the child, unless it has been reaped already."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(number)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the child and what it left behind in its process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether the child ended, without reaping it: its group id stays ours until then."""
    try:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, process.pid, flags) is not None
    except ChildProcessError:
        return True


def environment_with(**variables: str) -> dict[str, str]:
    """Return our own environment with these variables set."""
    return {**os.environ, **variables}
