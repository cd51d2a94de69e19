"""What is done now and then: holds whose next try has come, envelopes that may be dropped."""

import sqlite3
import threading
from collections.abc import Callable
from time import monotonic

import structlog

from encryption_service.admission import Admission
from encryption_service.holds import any_try_is_due
from encryption_service.ledger_store import Clock, drop_acknowledged_envelopes
from encryption_service.store import Store
from encryption_service.writer import Writer

_log = structlog.get_logger(__name__)
_LOOK_SECONDS = 0.5
_DROP_SECONDS = 5.0
_DROPPED_AT_ONCE = 50
_LOOKED_AT_ONCE = 5_000


class Housekeeper:
    """A thread of its own; what it wants written goes through the writer."""

    def __init__(
        self,
        *,
        store: Store,
        writer: Writer,
        admission: Admission,
        grace_seconds: float,
        clock: Clock,
    ) -> None:
        self._store = store
        self._writer = writer
        self._admission = admission
        self._grace_ms = int(grace_seconds * 1000)
        self._clock = clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits for what is under way."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        dropped_at = monotonic()
        while not self._over.wait(_LOOK_SECONDS):
            self._quietly(self._look_again)
            if monotonic() - dropped_at >= _DROP_SECONDS:
                self._quietly(self._drop_envelopes)
                dropped_at = monotonic()

    def _quietly(self, task: Callable[[], bool]) -> None:
        """Again and again while there is more."""
        more = True
        while more and not self._over.is_set() and not self._writer.halted:
            try:
                more = task()
            except Exception as error:  # noqa: BLE001 # tidying up never ends the service
                _log.error("housekeeping_failed", error=repr(error))
                more = False

    def _look_again(self) -> bool:
        now_ms, holds = self._clock(), self._admission.holds
        with self._store.reader() as connection:
            if not any_try_is_due(connection, now_ms):
                return False

        def event(_: sqlite3.Connection) -> tuple[int, list[bytes]]:
            groups = holds.look_again_by_time(now_ms, _LOOKED_AT_ONCE)
            return len(groups), groups

        return bool(self._writer.event(event).result())

    def _drop_envelopes(self) -> bool:
        before_ms = self._clock() - self._grace_ms

        def drop(connection: sqlite3.Connection) -> bool:
            return drop_acknowledged_envelopes(connection, before_ms, _DROPPED_AT_ONCE)

        return bool(self._writer.task(drop).result())
