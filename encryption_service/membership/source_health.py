"""Whether the source answers, and when a source that does not is asked again.

A source that is silent holds a thread until a time-out; so after a failure nobody asks before the
back-off is over, checks and audits alike.
"""

import random
import threading
from collections.abc import Callable

from encryption_service.membership.source import (
    Clock,
    SourceRefusedError,
    SourceUnavailableError,
)
from groupseal.reasons import Reason

_FIRST_WAIT_MS = 1_000
_LONGEST_WAIT_MS = 30_000


class SourceHealth:
    """Shared by all who ask one source. Thread-safe."""

    def __init__(self, clock: Clock, jitter: Callable[[], float] = random.random) -> None:
        self._clock, self._jitter = clock, jitter
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_until_ms = 0
        self.last_success_ms: int | None = None
        # A sentence while the last request failed; empty while the source answers.
        self.fault = ""
        self.reason: Reason | None = None

    @property
    def closed_until_ms(self) -> int:
        """Nothing is asked before this instant."""
        return self._closed_until_ms

    def succeeded(self) -> None:
        with self._lock:
            self._failures, self._closed_until_ms = 0, 0
            self.last_success_ms = self._clock()
            self.fault, self.reason = "", None

    def failed(self, error: SourceUnavailableError) -> int:
        """The instant at which what failed may be tried again, in ms.

        Limits and refusals concern one kind of request, or one: others may go on.
        """
        with self._lock:
            now = self._clock()
            self.fault, self.reason = str(error), error.reason
            if error.reason is Reason.MEMBERSHIP_SOURCE_LIMITED:
                return now + max(int(error.retry_after_seconds * 1000), _FIRST_WAIT_MS)
            retry_at = now + self._wait_ms(error)
            self._failures += 1
            if not isinstance(error, SourceRefusedError):
                self._closed_until_ms = retry_at
            return retry_at

    def _wait_ms(self, error: SourceUnavailableError) -> int:
        """Doubles with each failure; a random part of it, so that services are not in step."""
        wait = min(_FIRST_WAIT_MS << min(self._failures, 10), _LONGEST_WAIT_MS)
        jittered = int(wait * (0.5 + self._jitter() / 2))
        return max(jittered, int(error.retry_after_seconds * 1000))
