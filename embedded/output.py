"""Where the output of the components goes: a log file each, and the console in short form."""

import os
from collections.abc import Callable
from pathlib import Path

_ROTATE_AT_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 65536
_LINE_LIMIT_BYTES = 8192
_SHORT_CHARACTERS = 160
_TAIL_LINES = 5

Console = Callable[[str], None]


class LogFile:
    """One component's log; at 16 MiB the old part moves to `<name>.log.1`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = path.open("ab")

    def write(self, content: bytes) -> None:
        """Append, rotating first if the file is full."""
        if self._file.tell() > _ROTATE_AT_BYTES:
            self._file.close()
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            self._file = self._path.open("ab")
        self._file.write(content)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Output:
    """One component's output, from the read end of a pipe (non-blocking) to log and console."""

    def __init__(self, name: str, log: LogFile, console: Console) -> None:
        self._name = name
        self._log = log
        self._console = console
        self._partial = b""
        self._tail: list[str] = []

    def forward(self, pipe: int) -> bool:
        """Copy what the pipe holds now; return False once it is at its end."""
        while True:
            try:
                content = os.read(pipe, _CHUNK_BYTES)
            except BlockingIOError:
                return True
            if not content:
                self._show(self._partial)
                self._partial = b""
                return False
            self._log.write(content)
            *lines, self._partial = (self._partial + content).split(b"\n")
            for line in lines:
                self._show(line)
            if len(self._partial) > _LINE_LIMIT_BYTES:
                self._show(self._partial)
                self._partial = b""

    def last_lines(self) -> str:
        """Return the last few lines, for the text of an error."""
        return "\n".join(self._tail)

    def _show(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if not text:
            return
        self._tail = [*self._tail[1 - _TAIL_LINES :], text]
        short = text if len(text) <= _SHORT_CHARACTERS else f"{text[: _SHORT_CHARACTERS - 1]}…"
        self._console(f"{self._name:<18} {short}")
