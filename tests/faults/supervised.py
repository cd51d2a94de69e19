"""A process that is started again whenever it dies, as a supervisor would: here the test is it."""

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]


def module(name: str) -> tuple[str, ...]:
    """The command that runs a module of the tests."""
    return (sys.executable, "-m", name)


def groupseal(*arguments: str) -> tuple[str, ...]:
    """A command of the product."""
    return (str(Path(sys.executable).with_name("groupseal")), *arguments)


class Supervised:
    """One component; `deaths` counts how often it ended without being asked to."""

    def __init__(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        log_file: Path,
        is_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._command = command
        self._environment = environment
        self._log_file = log_file
        self._is_ready = is_ready
        self._lock = threading.Lock()
        self._wanted = False
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self.deaths = 0

    @property
    def log(self) -> str:
        return self._log_file.read_text() if self._log_file.exists() else ""

    @property
    def pid(self) -> int:
        assert self._process is not None, "it does not run"
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, as from outside: it is started again."""
        with self._lock:
            assert self._process is not None, "it does not run"
            self._process.kill()

    def start(self, within: float = 30.0) -> None:
        """Starts it, waits until it is ready, and watches over it from then on."""
        self._wanted = True
        self._spawn()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        wait_for(self._is_ready, within, f"readiness of {self._command[-1]}:\n{self.log[-2000:]}")

    def stop(self, within: float = 30.0) -> None:
        """Ends it in good order, if it runs, and starts it no more."""
        with self._lock:
            self._wanted = False
            process = self._process
        if process is None or self._watcher is None:
            return
        process.terminate()
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            self._watcher.join(within)
            self._process = None

    def _spawn(self) -> None:
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, cwd=ROOT, stdout=log, stderr=log
            )

    def _watch(self) -> None:
        while True:
            process = self._process
            assert process is not None
            process.wait()
            with self._lock:
                if not self._wanted:
                    return
                self.deaths += 1
                self._spawn()
