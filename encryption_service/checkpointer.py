"""Carries the write-ahead log over into the database while nothing else is to be done.

SQLite does it within a commit otherwise, once the log is long: that commit takes 0.1 s longer.
"""

import sqlite3
import threading

import structlog

from encryption_service.errors import StoreError
from encryption_service.store import Store

_log = structlog.get_logger(__name__)


class Checkpointer:
    """A thread that waits to be woken. Nothing depends on it: what is committed is durable."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        """Has it done once, soon."""
        self._wake.set()

    def _run(self) -> None:
        while self._wake.wait() and not self._stopping:
            self._wake.clear()
            try:
                self._store.checkpoint()
            except (sqlite3.Error, StoreError) as error:
                _log.error("checkpoint_failed", error=repr(error))
