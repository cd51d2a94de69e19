"""Where a process ends itself with SIGKILL: at the step that a test has armed, once.

Nothing of this is in what is shipped: the entry programs beside this file build the real wiring
and hand it a `FaultPoint` where it takes an `on_step`.
"""

import os
import signal
import threading
from contextlib import suppress
from pathlib import Path

FOLDER_VARIABLE = "FAULTS_FOLDER"


class FaultPoint:
    """Told every step of one process; dies at the armed one, and keeps a list of those reached."""

    def __init__(self, process: str, *, with_parent: bool = False) -> None:
        self._control = FaultControl(Path(os.environ[FOLDER_VARIABLE]), process)
        self._with_parent = with_parent
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, step: str) -> None:
        with self._lock:
            if step not in self._seen:
                self._seen.add(step)
                self._control.note(step)
        if self._control.take(step):
            if self._with_parent:
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)


class FaultControl:
    """The files through which a test arms a fault point and reads what it has reached."""

    def __init__(self, folder: Path, process: str) -> None:
        self._armed = folder / f"{process}.armed"
        self._steps = folder / f"{process}.steps"

    def arm(self, step: str) -> None:
        """The process dies when it reaches this step next."""
        fresh = self._armed.with_suffix(".new")
        fresh.write_text(step)
        fresh.replace(self._armed)

    def disarm(self) -> bool:
        """Returns whether it had not been reached."""
        try:
            self._armed.unlink()
        except FileNotFoundError:
            return False
        return True

    def take(self, step: str) -> bool:
        """Whether to die here; true once for each time that it was armed."""
        with suppress(FileNotFoundError):
            if self._armed.read_text() == step:
                # The mark goes first: whoever is started again lives on.
                self._armed.unlink()
                return True
        return False

    def note(self, step: str) -> None:
        """Adds a step to those that were reached."""
        with self._steps.open("a") as file:
            file.write(step + "\n")

    @property
    def reached(self) -> set[str]:
        """Every step that any of the process's lives has come to."""
        return set(self._steps.read_text().splitlines()) if self._steps.exists() else set()
