"""Watches the ledgers of all connected tenants, so that an idle one's news is read within a second.

Runs in a thread of its own, beside the sweeper, with one event loop for all calls. Everything it
does is a hint: what it misses is found when the ledger is read in its turn.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from directory.wake_up import wake
from directory.watching import WatchableTenant, note_news, watchable_tenants
from groupseal.pairing import open_identity
from worker.client_certificates import Authority
from worker.service_client import ServiceTarget
from worker.tenant_watch import TenantWatch, WatchParts

_OPENING_AT_ONCE = 50
_THREADS = 2
_STOP_SECONDS = 10.0

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WatcherSettings:
    """Seconds, and how many tenants at most."""

    # Between two looks for tenants that are new, moved or gone.
    interval: float = 3.0
    timeout: float = 5.0
    # How long news is left for a worker that is at it already.
    settle: float = 0.5
    most: int = 2_000


class LedgerWatcher:
    """The watches of one process. The engine must have two connections to spare."""

    def __init__(
        self, engine: Engine, redis: Redis, authority: Authority, settings: WatcherSettings
    ) -> None:
        self._engine = engine
        self._redis = redis
        self._authority = authority
        self._settings = settings
        self._watches: dict[WatchableTenant, asyncio.Task[None]] = {}
        self._pool = ThreadPoolExecutor(_THREADS, "watcher")
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._ready = threading.Event()
        self._is_away = False
        self._is_full = False

    def start(self) -> None:
        """Watches from now on."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Ends every call, and returns when they are over."""
        if self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(_STOP_SECONDS)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        parts = WatchParts(
            self._target,
            self._report,
            asyncio.Semaphore(_OPENING_AT_ONCE),
            self._settings.timeout,
            self._settings.settle,
        )
        self._ready.set()
        while not self._over.is_set():
            await self._look(parts)
            try:
                await asyncio.wait_for(self._over.wait(), self._settings.interval)
            except TimeoutError:
                continue
        await self._end(list(self._watches))

    async def _look(self, parts: WatchParts) -> None:
        """Begins and ends watches, as the database has it now."""
        try:
            tenants = set(await self._in_thread(self._tenants))
        except SQLAlchemyError as error:
            if not self._is_away:
                _log.warning("database_away", error=type(error).__name__)
            self._is_away = True
            return
        self._is_away = False
        # One that has moved, or has another identity, is another tenant here.
        await self._end([tenant for tenant in self._watches if tenant not in tenants])
        for tenant in tenants:
            task = self._watches.get(tenant)
            if task is not None and task.done():
                # A fault of ours: it shall not end the watch for ever, nor unseen.
                broken = type(task.exception()).__name__
                _log.error("watch_broke", tenant_id=str(tenant.id), error=broken)
            if task is None or task.done():
                self._watches[tenant] = asyncio.create_task(TenantWatch(tenant, parts).run())

    async def _end(self, tenants: Sequence[WatchableTenant]) -> None:
        tasks = [self._watches.pop(tenant) for tenant in tenants]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tenants(self) -> Sequence[WatchableTenant]:
        most = self._settings.most
        with UnitOfWork(self._engine) as work:
            found = watchable_tenants(work.connection, most + 1)
        if len(found) > most and not self._is_full:
            _log.warning("too_many_tenants_to_watch", watched=most)
        self._is_full = len(found) > most
        return found[:most]

    async def _target(self, tenant: WatchableTenant) -> ServiceTarget:
        return await self._in_thread(
            lambda: ServiceTarget(
                tenant.service_address,
                open_identity(tenant.identity_document),
                self._authority.certificate_for(tenant.id),
            )
        )

    async def _report(self, tenant: WatchableTenant, size: int, holds_version: int) -> bool:
        """Makes a worker read on, if none has. False while the database is away."""
        try:
            is_news = await self._in_thread(partial(self._note, tenant.id, size, holds_version))
        except SQLAlchemyError as error:
            _log.warning("news_not_noted", tenant_id=str(tenant.id), error=type(error).__name__)
            return False
        if is_news:
            await self._in_thread(partial(wake, self._redis, tenant.id))
        return True

    def _note(self, tenant_id: UUID, size: int, holds_version: int) -> bool:
        with UnitOfWork(self._engine) as work:
            scope = TenantScope(work.connection, tenant_id)
            is_news = note_news(scope, size=size, holds_version=holds_version)
            work.commit()
        return is_news

    async def _in_thread(self, use: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, use)
