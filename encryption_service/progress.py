"""How far the ledger and the holds are: told to those who watch, whenever it changes."""

import threading
from typing import NamedTuple


class Position(NamedTuple):
    """Entries in the ledger, and the version of the last hold that changed."""

    size: int
    holds_version: int


class Progress:
    """Set by the writer after each commit; waited for by any number of threads."""

    def __init__(self, size: int, holds_version: int) -> None:
        self._at = Position(size, holds_version)
        self._changed = threading.Condition()
        self._closed = False

    def publish(self, size: int, holds_version: int) -> None:
        with self._changed:
            if (size, holds_version) != self._at:
                self._at = Position(size, holds_version)
                self._changed.notify_all()

    def close(self) -> None:
        """Nobody waits any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def after(self, seen: Position | None, seconds: float) -> Position | None:
        """The position once it is another one than `seen`; after so many seconds, as it is.

        None once closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._at != seen, seconds)
            return None if self._closed else self._at
