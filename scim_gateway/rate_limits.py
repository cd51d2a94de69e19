"""How often one token may ask, over all gateway processes: counted in Redis, best effort.

The generic cell rate algorithm: per token one number, the time at which what it has asked so far
would be paid off at the sustained rate. It allows a burst and a rate with one key and says exactly
how long to wait; fixed windows allow twice the rate at their edges, and sliding ones store a row
for each request. The script runs in Redis, so that it costs one round trip and needs no lock.
"""

import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable

from redis import Redis
from redis.exceptions import RedisError

# Redis' clock is the one that all processes share. A number too far ahead (the clock was set back)
# is taken for a full burst, so that nobody waits for a clock.
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = tonumber(ARGV[1])
local allowance = tonumber(ARGV[2])
local paid_off = tonumber(redis.call('GET', KEYS[1]) or now) or now
paid_off = math.min(math.max(paid_off, now), now + allowance)
local wait = paid_off + interval - allowance - now
if wait > 0 then
    return math.ceil(wait)
end
paid_off = paid_off + interval
local kept = math.ceil((paid_off - now) / 1000)
redis.call('SET', KEYS[1], string.format('%.0f', paid_off), 'PX', kept)
return 0
"""
# While Redis is away it is asked once in this time, and by one request only.
_PAUSE_SECONDS = 10.0

_log = logging.getLogger(__name__)


class TokenRate:
    """So many requests a second, after a burst, for each token. Without Redis nobody is limited."""

    def __init__(
        self,
        redis: "Redis",
        *,
        per_second: float,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._script = redis.register_script(_SCRIPT)
        interval = 1_000_000 / per_second
        self._arguments = [f"{interval:.3f}", f"{interval * burst:.3f}"]
        self._clock = clock
        self._lock = threading.Lock()
        self._ask_again_at: float | None = None

    def seconds_to_wait(self, token: str) -> int:
        """0 if this request may go on, else whole seconds until one may. Never raises for Redis."""
        if not self._may_ask():
            return 0
        digest = hashlib.sha256(b"rate:" + token.encode()).hexdigest()
        try:
            microseconds = self._script(
                keys=[f"groupseal:rate:{digest[:32]}"], args=self._arguments
            )
        except RedisError as error:
            self._note_absence(error)
            return 0
        self._note_presence()
        return math.ceil(int(microseconds) / 1_000_000)

    def _may_ask(self) -> bool:
        with self._lock:
            if self._ask_again_at is None:
                return True
            now = self._clock()
            if now < self._ask_again_at:
                return False
            self._ask_again_at = now + _PAUSE_SECONDS  # the others go on not asking
            return True

    def _note_absence(self, error: RedisError) -> None:
        with self._lock:
            news = self._ask_again_at is None
            self._ask_again_at = self._clock() + _PAUSE_SECONDS
        if news:
            _log.warning(
                "redis is not reachable (%s): requests are not limited until it is",
                type(error).__name__,
            )

    def _note_presence(self) -> None:
        with self._lock:
            if self._ask_again_at is None:
                return
            self._ask_again_at = None
        _log.warning("redis answers again: requests are limited")
