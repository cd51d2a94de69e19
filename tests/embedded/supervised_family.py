"""A supervisor with three children, to be killed by tests. Usage: FOLDER.

Writes the process ids to FOLDER/pids.json, anew when a child is replaced; `parent` has a child of
its own in the same process group, whose id it writes to FOLDER/grandchild.
"""

import json
import sys
from pathlib import Path

from embedded.child_process import ChildSpec, environment_with
from embedded.private_files import write_private
from embedded.supervisor import ProcessIds, Supervisor

_SLEEPER = "import signal; print('sleeping', flush=True); signal.pause()"
_PARENT = """
import pathlib, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
signal.pause()
"""
_STUBBORN = """
import signal, sys, pathlib
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).touch()
while True:
    signal.pause()
"""


def main(folder: Path) -> None:
    """Run the family until a signal."""

    def spec(name: str, program: str, *arguments: str, wait_for: Path | None = None) -> ChildSpec:
        return ChildSpec(
            name=name,
            role=name,
            command=(sys.executable, "-c", program, *arguments),
            environment=environment_with(),
            folder=folder,
            ready=lambda: wait_for is None or wait_for.exists(),
            stop_within=0.5,
        )

    def note(ids: ProcessIds) -> None:
        write_private(folder / "pids.json", json.dumps(ids).encode())

    grandchild, stubborn = folder / "grandchild", folder / "stubborn"
    with Supervisor(folder / "logs", print, note) as supervisor:
        supervisor.start(
            spec("sleeper", _SLEEPER),
            spec("parent", _PARENT, str(grandchild), wait_for=grandchild),
            spec("stubborn", _STUBBORN, str(stubborn), wait_for=stubborn),
        )
        note(supervisor.process_ids)
        supervisor.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
