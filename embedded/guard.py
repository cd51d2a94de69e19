"""The supervisor's side of the guardian (guardian.py)."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from embedded.child_process import ChildSpec

_GUARDIAN = Path(__file__).with_name("guardian.py")


class Guard:
    """Tells a guardian process which groups to end if we are killed.

    If somebody kills the guardian, the children themselves still die with us, by the kernel's
    death signal; only their own children might stay.
    """

    def __init__(self) -> None:
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARDIAN)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
            cwd="/",
        )

    def add(self, spec: ChildSpec, pid: int) -> None:
        """Note that the group of `pid` is ours."""
        self._tell(f"+{pid} {int(spec.death_signal)}\n")

    def remove(self, pid: int) -> None:
        """Note that the group of `pid` has ended; call it before the id is given away."""
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        """Let the guardian go, with whatever groups are still noted."""
        if self._guardian.stdin is not None:
            self._guardian.stdin.close()
        self._guardian.wait()

    def _tell(self, line: str) -> None:
        if self._guardian.stdin is not None:
            with suppress(BrokenPipeError):
                self._guardian.stdin.write(line.encode())
