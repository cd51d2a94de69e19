"""Looks at the certificates now and then, connections or not, and says when one is about to end."""

import threading
from collections.abc import Iterator

import structlog

from encryption_service.ledger_store import Clock
from encryption_service.server_identity import CertificateSource, Presented

_log = structlog.get_logger(__name__)
WARN_DAYS = 14
_LOOK_SECONDS = 30.0
_DAY_MS = 24 * 3600 * 1000


def days_left(not_after_ms: int, now_ms: int) -> int:
    """Whole days, rounded down; negative for what has ended."""
    return (not_after_ms - now_ms) // _DAY_MS


class CertificateWatch:
    """A thread of its own. A fault is logged when it changes, what ends soon once a day."""

    def __init__(
        self, source: CertificateSource, clock: Clock, *, look_seconds: float = _LOOK_SECONDS
    ) -> None:
        self._source = source
        self._clock = clock
        self._look_seconds = look_seconds
        self._over = threading.Event()
        self._fault = ""
        self._warned_ms: dict[str, int] = {}
        self._seen = source.presented
        self._thread = threading.Thread(target=self._run, name="certificates", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """One look; the thread does this now and then, from the start."""
        presented = self._source.refresh()
        if presented != self._seen:
            self._seen = presented
            self._warned_ms.clear()
            _log.info("certificates_renewed", **dict(_days(presented, self._clock())))
        fault = self._source.fault
        if fault and fault != self._fault:
            _log.error("certificate_fault", fault=fault)
        elif self._fault and not fault:
            _log.info("certificate_fault_over")
        self._fault = fault
        self._warn(presented)

    def _warn(self, presented: Presented) -> None:
        now_ms = self._clock()
        for which, days in _days(presented, now_ms):
            warned_ms = self._warned_ms.get(which)
            if days >= WARN_DAYS or (warned_ms is not None and now_ms - warned_ms < _DAY_MS):
                continue
            self._warned_ms[which] = now_ms
            _log.warning("certificate_ends_soon", which=which, days_left=days)

    def _run(self) -> None:
        self.look()
        while not self._over.wait(self._look_seconds):
            self.look()


def _days(presented: Presented, now_ms: int) -> Iterator[tuple[str, int]]:
    yield "server", days_left(presented.certificate.not_after_ms, now_ms)
    yield "vendor_ca", days_left(presented.vendor_authority.not_after_ms, now_ms)
