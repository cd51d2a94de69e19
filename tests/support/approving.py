"""An approver at the keyboard: types what the member reads out, when `groupseal approve` asks."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_QUESTION = re.compile(r"Type its groups (\d) and (\d): ")


def run_answering(
    command: Sequence[str], fingerprint: str, *, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs a command (or a shell with several), answering each question from the fingerprint."""
    groups = fingerprint.split("-")
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    said, answered = "", 0
    while piece := os.read(process.stderr.fileno(), 4096):
        said += piece.decode()
        questions = _QUESTION.findall(said)
        for first, second in questions[answered:]:
            process.stdin.write(f"{groups[int(first) - 1]} {groups[int(second) - 1]}\n".encode())
            process.stdin.flush()
        answered = len(questions)
    process.stdin.close()
    printed = process.stdout.read().decode()
    process.stdout.close()
    process.stderr.close()
    return subprocess.CompletedProcess(command, process.wait(30), printed, said)
