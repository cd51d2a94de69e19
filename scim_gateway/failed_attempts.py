"""Failed authentications per client address, in this process's memory and bounded there.

A token that is valid is never refused because of its neighbours: identity providers send for many
tenants from the same addresses. So a limited address is refused what has failed before without a
look at the database, and whatever fails anew is answered 429 instead of 401.
"""

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_MOST = 10_000
_MINUTE = 60.0


class FailedAttempts:
    """So many failures in a minute for each address; one of IPv6 stands for its /64 network."""

    def __init__(
        self,
        per_minute: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        most: int = _MOST,
    ) -> None:
        self._interval = _MINUTE / per_minute
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        # Address -> when its failures so far will be forgotten; least recently failed first.
        self._forgotten_at: OrderedDict[str, float] = OrderedDict()
        self._failed: OrderedDict[bytes, None] = OrderedDict()

    def seconds_to_wait(self, address: str | None) -> int:
        """0 unless the address has failed too often; else whole seconds until it may fail again."""
        with self._lock:
            forgotten_at = self._forgotten_at.get(_network(address), 0.0)
            wait = forgotten_at + self._interval - _MINUTE - self._clock()
        return max(0, math.ceil(wait))

    def has_failed(self, digest: bytes) -> bool:
        """Whether these credentials were refused before; such a token never becomes valid."""
        with self._lock:
            return digest in self._failed

    def note(self, address: str | None, digest: bytes) -> None:
        """Remembers a failure."""
        with self._lock:
            now = self._clock()
            network = _network(address)
            so_far = max(self._forgotten_at.pop(network, now), now)
            self._forgotten_at[network] = min(so_far + self._interval, now + _MINUTE)
            self._failed[digest] = None
            self._failed.move_to_end(digest)
            for table in (self._forgotten_at, self._failed):
                if len(table) > self._most:
                    table.popitem(last=False)


def _network(address: str | None) -> str:
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        if mapped is not None:
            return str(mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
