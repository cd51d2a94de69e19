"""The identity provider's keys, cached so that it may be away, slow or under attack.

- A set is fresh for ten minutes; then the next token that needs it has it fetched again.
- A token with an unknown key id has the set fetched, but at most once in ten seconds, whoever sends
  how many of them. One that is seen in between waits, and is judged by the next set: the provider
  may have changed its keys just after the last one.
- After a failure nobody asks again for ten seconds; a fetch holds one thread, not one per token.
- While the provider is away the old set serves on, for six hours at most: a key that the provider
  has withdrawn must not be good for ever just because somebody cuts the line.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from encryption_service.ledger_store import Clock
from encryption_service.oidc.discovery import ProviderError
from encryption_service.oidc.errors import EvidenceError
from encryption_service.oidc.id_token import Header
from encryption_service.oidc.signing_keys import SigningKey
from groupseal.reasons import Reason

FRESH_MS = 10 * 60_000
USABLE_MS = 6 * 3600_000
RETRY_MS = 10_000
# How long a token waits for another thread's fetch before it is told to come again.
_PATIENCE_SECONDS = 2.0
# How many unknown headers are remembered, and for how long.
_MAX_UNKNOWN = 256
_REMEMBER_MS = 60_000


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys, and when they were asked for."""

    keys: tuple[SigningKey, ...]
    fetched_ms: int

    def fitting(self, header: Header) -> tuple[SigningKey, ...]:
        return tuple(key for key in self.keys if key.fits(header.alg, header.kid))


class ProviderKeys:
    """The cache; any number of threads may ask it. `fetch` raises ProviderError."""

    def __init__(self, fetch: Callable[[], tuple[SigningKey, ...]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._fetching = threading.Lock()
        self._set: KeySet | None = None
        self._asked_ms: int | None = None
        self._fault = ""
        # Key id and algorithm -> when a token with them was first seen; last asked for at the end.
        self._unknown: dict[Header, int] = {}
        self._unknown_lock = threading.Lock()

    @property
    def fault(self) -> str:
        """What kept the last fetch from succeeding; empty if nothing did."""
        return self._fault

    def keys_for(self, header: Header) -> tuple[SigningKey, ...]:
        """The provider's keys that may have signed such a token; none if it has no such key.

        Raises EvidenceError (IDENTITY_PROVIDER_UNAVAILABLE) while that cannot be told.
        """
        # The clock is read after the set each time: whoever fetched it meanwhile is not ahead.
        current = self._set
        asked = now = self._clock()
        if current is None or not _within(FRESH_MS, current.fetched_ms, now):
            current = self._refresh(current)
            now = self._clock()
        if current is None or not _within(USABLE_MS, current.fetched_ms, now):
            raise self._unavailable()
        if keys := current.fitting(header):
            return keys
        return self._keys_for_unknown(header, current, asked)

    def _keys_for_unknown(
        self, header: Header, current: KeySet, asked: int
    ) -> tuple[SigningKey, ...]:
        seen = self._first_seen(header, asked)
        if current.fetched_ms < seen:
            renewed = self._refresh(current)
            if renewed is None or renewed.fetched_ms < seen:
                raise self._unavailable()
            current = renewed
        return current.fitting(header)

    def _refresh(self, current: KeySet | None) -> KeySet | None:
        """The newest set after a fetch, or without one if it is not time or somebody else is at it.

        Only a thread that has nothing to go on with waits for the other's fetch.
        """
        patience = _PATIENCE_SECONDS if current is None else 0.0
        if not self._fetching.acquire(timeout=patience):
            return self._set
        try:
            now = self._clock()
            if self._asked_ms is None or not _within(RETRY_MS, self._asked_ms, now):
                self._fetch_at(now)
            return self._set
        finally:
            self._fetching.release()

    def _fetch_at(self, now: int) -> None:
        self._asked_ms = now
        try:
            self._set = KeySet(self._fetch(), now)
            self._fault = ""
        except ProviderError as error:
            self._fault = str(error)
            # From now on: a provider that hangs has used the time up already.
            self._asked_ms = self._clock()

    def _first_seen(self, header: Header, now: int) -> int:
        with self._unknown_lock:
            seen = self._unknown.pop(header, now)
            if not _within(_REMEMBER_MS, seen, now):
                seen = now
            if len(self._unknown) >= _MAX_UNKNOWN:
                del self._unknown[next(iter(self._unknown))]
            self._unknown[header] = seen
            return seen

    def _unavailable(self) -> EvidenceError:
        return EvidenceError(Reason.IDENTITY_PROVIDER_UNAVAILABLE, self._fault)


def _within(span_ms: int, since_ms: int, now_ms: int) -> bool:
    """Whether less than the span has passed; false as well if the clock was set back since."""
    return 0 <= now_ms - since_ms < span_ms
