"""Staying below a source's rate limits: one governor for each source, asked before every request.

Okta counts requests in a window of a minute for each kind of endpoint and says in every answer
what is left (`X-Rate-Limit-Limit`, `-Remaining`, `-Reset`, the last in seconds since 1970 by Okta's
clock). The limits belong to the whole organisation, so a part of each is left to others: checks
stop at a tenth, audits already at a half. Microsoft Graph says nothing until it answers 429 with
`Retry-After`.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from encryption_service.membership.source import Clock, SourceUnavailableError
from groupseal.reasons import Reason

_LONGEST_WAIT_MS = 3_600_000
_SHORTEST_WAIT_MS = 1_000
# What a source gets that answers 429 and does not say for how long.
_WAIT_UNSAID_MS = 30_000
TOO_MANY_REQUESTS = 429


@dataclass(slots=True)
class _Window:
    limit: int
    remaining: int
    resets_ms: int


class RateGovernor:
    """Knows what each kind of request has left. Thread-safe."""

    def __init__(self, source: str, clock: Clock) -> None:
        self._source, self._clock = source, clock
        self._lock = threading.Lock()
        self._windows: dict[str, _Window] = {}
        self._blocked: dict[str, int] = {}

    @property
    def remaining(self) -> int | None:
        """The fewest requests that any window in force has left; None: nothing is known."""
        with self._lock:
            now = self._clock()
            left = [w.remaining for w in self._windows.values() if w.resets_ms > now]
        return min(left, default=None)

    def admit(self, kind: str) -> None:
        """Takes one request of the budget. Raises SourceUnavailableError if there is none."""
        with self._lock:
            wait = self._wait_ms(kind, 10)
            if not wait:
                if window := self._windows.get(kind):
                    # Others may be on their way before this one's answer says what is left.
                    window.remaining -= 1
                return
        raise SourceUnavailableError(
            f"the rate limit of {self._source} for `{kind}` is used up",
            reason=Reason.MEMBERSHIP_SOURCE_LIMITED,
            retry_after_seconds=wait / 1000,
        )

    def wait_seconds(self, kind: str) -> float:
        """How long no request of this kind will be admitted."""
        with self._lock:
            return self._wait_ms(kind, 10) / 1000

    def audit_delay_seconds(self) -> float:
        """0 as long as every window has more than half of its requests left."""
        with self._lock:
            kinds = {*self._windows, *self._blocked}
            return max((self._wait_ms(kind, 2) for kind in kinds), default=0) / 1000

    def observe(self, kind: str, status: int, headers: Mapping[str, str]) -> None:
        """Learns from an answer. Header names in lower case."""
        now = self._clock()
        window = _window(headers, now)
        with self._lock:
            if window is not None:
                self._windows[kind] = window
            if status == TOO_MANY_REQUESTS:
                until = _retry_after_ms(headers, now)
                if until is None:
                    until = window.resets_ms if window else now + _WAIT_UNSAID_MS
                self._blocked[kind] = until

    def _wait_ms(self, kind: str, reserve: int) -> int:
        now = self._clock()
        wait = max(0, self._blocked.get(kind, 0) - now)
        window = self._windows.get(kind)
        if window and window.resets_ms > now and window.remaining <= window.limit // reserve:
            wait = max(wait, window.resets_ms - now)
        return wait


def _window(headers: Mapping[str, str], now: int) -> _Window | None:
    limit = _number(headers.get("x-rate-limit-limit"))
    remaining = _number(headers.get("x-rate-limit-remaining"))
    reset = _number(headers.get("x-rate-limit-reset"))
    if limit is None or remaining is None or reset is None:
        return None
    # Both instants by the source's clock, so that a clock that differs from ours does not matter.
    wait = reset * 1000 - (_date_ms(headers) or now)
    return _Window(limit, remaining, now + _bounded(wait))


def _retry_after_ms(headers: Mapping[str, str], now: int) -> int | None:
    """RFC 9110 section 10.2.3, in seconds; the form with a date is not used by these sources."""
    seconds = _number(headers.get("retry-after"))
    return None if seconds is None else now + _bounded(seconds * 1000)


def _bounded(wait: int) -> int:
    return min(max(wait, _SHORTEST_WAIT_MS), _LONGEST_WAIT_MS)


def _date_ms(headers: Mapping[str, str]) -> int | None:
    try:
        return int(parsedate_to_datetime(headers["date"]).timestamp() * 1000)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def _number(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 15:
        return None
    return int(text)
