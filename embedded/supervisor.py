"""Keeps named child processes running, and ends them all in good order.

One thread, one loop: signals, ends of children and their output all wake the same selector. The
single thread matters: the kernel's death signal (launcher.py) is tied to the thread that forked.
"""

import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from embedded.child_process import ChildSpec, has_ended, kill_group, send, spawn
from embedded.errors import StartFailedError, StopRequestedError
from embedded.guard import Guard
from embedded.output import Console, LogFile, Output

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_SECONDS = 0.02
_FIRST_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 5.0
_STABLE_AFTER_SECONDS = 3.0
_IDLE_SECONDS = 3600.0

_Handler = Callable[[int, FrameType | None], object] | int | None
ProcessIds = Mapping[str, list[int]]


@dataclass
class _Child:
    spec: ChildSpec
    log: LogFile
    output: Output
    process: subprocess.Popen[bytes]
    pipe: int  # read end of its output
    started_at: float
    failures: int = 0
    restart_at: float | None = None


class Supervisor:
    """Starts, watches, restarts and stops children. Use it as a context manager, once.

    `on_change` gets the process ids by role whenever a child was replaced. Inside the context,
    SIGINT, SIGTERM and SIGHUP ask to stop; a second one stops without waiting.
    """

    def __init__(
        self,
        logs: Path,
        console: Console,
        on_change: Callable[[ProcessIds], None] = lambda _: None,
    ) -> None:
        self._logs = logs
        self._console = console
        self._on_change = on_change
        self._children: dict[str, _Child] = {}
        self._selector = selectors.DefaultSelector()
        self._stop_requests = 0
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._previous_handlers: dict[int, _Handler] = {}
        self._previous_wakeup = -1

    def __enter__(self) -> Self:
        self._guard = Guard()
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._previous_wakeup = signal.set_wakeup_fd(
            self._wake_writer.fileno(), warn_on_full_buffer=False
        )
        for number in _STOP_SIGNALS:
            self._previous_handlers[number] = signal.signal(number, self._request_stop)
        self._previous_handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _only_wake)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            self._guard.close()
            signal.set_wakeup_fd(self._previous_wakeup)
            for number, handler in self._previous_handlers.items():
                signal.signal(number, handler)
            self._selector.close()
            self._wake_reader.close()
            self._wake_writer.close()

    @property
    def process_ids(self) -> dict[str, list[int]]:
        """The ids of the children that run, by role, in the order of their start."""
        ids: dict[str, list[int]] = {}
        for child in self._children.values():
            running = [child.process.pid] if child.restart_at is None else []
            ids.setdefault(child.spec.role, []).extend(running)
        return ids

    def start(self, *specs: ChildSpec) -> None:
        """Start children side by side and return once each is ready.

        Raises what `await_ready` raises.
        """
        self.launch(*specs)
        self.await_ready(*specs)

    def launch(self, *specs: ChildSpec) -> None:
        """Start children without waiting."""
        for spec in specs:
            self._add(spec)

    def await_ready(self, *specs: ChildSpec) -> None:
        """Return once each of the launched children is ready.

        Raises StartFailedError (with its last lines of output) if one ends or takes too long,
        StopRequestedError if a signal came meanwhile.
        """
        waiting = list(specs)
        while waiting:
            waiting = [spec for spec in waiting if not self._is_ready(spec)]
            self._turn(_POLL_SECONDS if waiting else 0)
            self.raise_if_stopping()

    def call(self, spec: ChildSpec, within: float = 60.0) -> bytes:
        """Run a program to its end and return its standard output.

        Its standard error goes to `<name>.log`. Raises StartFailedError if it fails or takes
        longer than `within` seconds.
        """
        log = self._logs / f"{spec.name}.log"
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("ab") as errors:
            process = spawn(spec, subprocess.PIPE, errors)
        try:
            output, _ = process.communicate(timeout=within)
        except subprocess.TimeoutExpired as error:
            raise StartFailedError(f"{spec.name} took longer than {within:g} s.") from error
        finally:
            kill_group(process)
            process.wait()
        self.raise_if_stopping()
        if process.returncode != 0:
            raise StartFailedError(
                f"{spec.name} ended with status {process.returncode}: {_tail_of(log)}\n"
                f"All of its output is in {log}."
            )
        return output

    def run(self) -> None:
        """Watch and restart until a signal asks to stop."""
        while not self._stop_requests:
            self._turn(self._until_next_restart())

    def stop(self) -> None:
        """End all children, the last one started first."""
        for name in reversed(list(self._children)):
            child = self._children.pop(name)
            if child.restart_at is None:
                self._end(child)
            child.log.close()

    def raise_if_stopping(self) -> None:
        """Raise StopRequestedError if a signal asked to stop."""
        if self._stop_requests:
            raise StopRequestedError("Stopped by a signal before everything was ready.")

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stop_requests += 1

    def _add(self, spec: ChildSpec) -> None:
        log = LogFile(self._logs / f"{spec.name}.log")
        output = Output(spec.name, log, self._console)
        process, pipe = self._spawn(spec)
        child = _Child(spec, log, output, process, pipe, time.monotonic())
        self._children[spec.name] = child
        self._selector.register(pipe, selectors.EVENT_READ, output)

    def _spawn(self, spec: ChildSpec) -> tuple[subprocess.Popen[bytes], int]:
        """Start the child; return it with the non-blocking read end of its output."""
        reader, writer = os.pipe()
        try:
            process = spawn(spec, writer)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        os.set_blocking(reader, False)
        self._guard.add(spec, process.pid)
        return process, reader

    def _is_ready(self, spec: ChildSpec) -> bool:
        child = self._children[spec.name]
        if child.failures:
            raise StartFailedError(
                f"{spec.name} ended with status {child.process.returncode} while starting:\n"
                f"{child.output.last_lines()}\nAll of its output is in {self._logs}."
            )
        if spec.ready():
            return True
        if time.monotonic() - child.started_at > spec.ready_within:
            raise StartFailedError(
                f"{spec.name} was not ready within {spec.ready_within:g} s:\n"
                f"{child.output.last_lines()}\nAll of its output is in {self._logs}."
            )
        return False

    def _turn(self, timeout: float) -> None:
        """Wait for something to happen, at most `timeout` seconds, and deal with all of it."""
        self._listen(timeout)
        for child in self._children.values():
            if child.restart_at is None and has_ended(child.process):
                self._note_end(child)
        self._restart_due()

    def _listen(self, timeout: float) -> None:
        """Forward what the children say; return at once when a signal or a child wakes us."""
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, Output):
                if not key.data.forward(key.fd):
                    self._selector.unregister(key.fd)
            else:
                with suppress(BlockingIOError):
                    while self._wake_reader.recv(4096):
                        pass

    def _note_end(self, child: _Child) -> None:
        now = time.monotonic()
        self._clean_up(child)
        if now - child.started_at > _STABLE_AFTER_SECONDS:
            child.failures = 0
        pause = min(_FIRST_BACKOFF_SECONDS * 2**child.failures, _LONGEST_BACKOFF_SECONDS)
        child.failures += 1
        child.restart_at = now + pause
        self._console(
            f"{child.spec.name:<18} ended with status {child.process.returncode}; "
            f"starting it again in {pause:.1f} s"
        )

    def _clean_up(self, child: _Child) -> None:
        """Kill what the ended child left in its group, reap it, and drain its output."""
        kill_group(child.process)
        self._guard.remove(child.process.pid)
        child.process.wait()
        child.output.forward(child.pipe)
        with suppress(KeyError):
            self._selector.unregister(child.pipe)
        os.close(child.pipe)

    def _restart_due(self) -> None:
        now = time.monotonic()
        replaced = False
        for child in self._children.values():
            if child.restart_at is not None and child.restart_at <= now:
                child.process, child.pipe = self._spawn(child.spec)
                child.started_at = now
                child.restart_at = None
                self._selector.register(child.pipe, selectors.EVENT_READ, child.output)
                replaced = True
        if replaced:
            self._on_change(self.process_ids)

    def _until_next_restart(self) -> float:
        due = [child.restart_at for child in self._children.values() if child.restart_at]
        return max(0.0, min(due) - time.monotonic()) if due else _IDLE_SECONDS

    def _end(self, child: _Child) -> None:
        deadline = time.monotonic() + child.spec.stop_within
        send(child.process, child.spec.stop_signal)
        while not has_ended(child.process):
            left = deadline - time.monotonic()
            if left <= 0 or self._stop_requests > 1:
                break
            self._listen(min(left, _POLL_SECONDS))
        self._clean_up(child)


def _only_wake(number: int, frame: FrameType | None) -> None:
    """Handle SIGCHLD: the wake-up descriptor did what there is to do."""
    del number, frame


def _tail_of(log: Path) -> str:
    return log.read_bytes()[-2000:].decode("utf-8", "replace").strip()
