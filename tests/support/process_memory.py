"""What other processes hold in memory, as bytes to be searched (Linux, /proc)."""

import re
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

_REGION = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)")
_PIECE = 16 << 20
# Long enough that nothing searched for is cut in two without being whole in the next piece.
_OVERLAP = 16 << 10


def descendants(pid: int) -> list[int]:
    """A process and everything it started, as far as it lives."""
    found = [pid]
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in tasks.read_text().split():
            found += descendants(int(child))
    return found


def memory(pid: int) -> Iterator[bytes]:
    """Every writable region of a process: what it was given and what it made of it."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    with FileIO(f"/proc/{pid}/mem") as file:
        for line in maps.splitlines():
            match = _REGION.match(line)
            if match is None or "rw" not in match[3]:
                continue
            yield from _pieces(file, int(match[1], 16), int(match[2], 16))


def _pieces(file: FileIO, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, _PIECE):
        try:
            file.seek(at)
            yield file.read(min(_PIECE + _OVERLAP, end - at))
        except OSError:
            continue  # a guard page, or memory given back meanwhile
