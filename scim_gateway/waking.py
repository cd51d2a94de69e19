"""Wakes workers beside the request: no answer waits for Redis."""

import queue
import threading
from uuid import UUID

from redis import Redis

from directory.wake_up import wake


class Waker:
    """Sends hints from one thread of its own, which starts with the first hint.

    What is still queued when the process dies is lost, and found by the sweeper.
    """

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._tenants: queue.SimpleQueue[UUID | None] = queue.SimpleQueue()
        self._waiting: set[UUID] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def __call__(self, tenant_id: UUID) -> None:
        """Asks for a reconcile of the tenant, soon; to be called after the commit."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
                self._thread.start()
            if tenant_id in self._waiting:
                return
            self._waiting.add(tenant_id)
        self._tenants.put(tenant_id)

    def close(self) -> None:
        """Sends what is queued and ends the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._tenants.put(None)
            thread.join()

    def _run(self) -> None:
        while (tenant_id := self._tenants.get()) is not None:
            with self._lock:
                self._waiting.discard(tenant_id)
            wake(self._redis, tenant_id)
