"""The worker's composition root: everything it needs, put together once per process."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from psycopg import Connection
from psycopg.types.array import ListBinaryDumper
from redis import Redis
from sqlalchemy import Engine, event

from directory.database import make_engine
from directory.wake_up import make_redis
from worker.client_certificates import Authority
from worker.service_connections import ServiceConnections
from worker.settings import WatchingSettings, WorkerSettings
from worker.watcher import LedgerWatcher, WatcherSettings

_log = structlog.get_logger(__name__)


def _no_step(_: str) -> None:
    """Nobody watches."""


@dataclass(slots=True)
class Wiring:
    """What a job works with. `on_step` is told each step's name; a test may end the process there.

    Steps: claimed, keys_sent, keys_answered, commands_sent, outcomes_received, entries_verified,
    applying, applied, finished.
    """

    settings: WorkerSettings
    engine: Engine
    redis: Redis
    services: ServiceConnections
    # Who claims groups, for people to read.
    owner: str
    on_step: Callable[[str], None] = _no_step

    @property
    def refresh(self) -> timedelta:
        """Age at which an idle tenant's ledger is read again."""
        return timedelta(seconds=self.settings.ledger_refresh)

    def close(self) -> None:
        """Closes channels and connections."""
        self.services.close()
        self.redis.close()
        self.engine.dispose()


def _send_arrays_in_binary(connection: Connection[object], _: object) -> None:
    """Envelopes travel in arrays; as escaped text they would cost more than everything else."""
    connection.adapters.register_dumper(list, ListBinaryDumper)


def make_wiring(settings: WorkerSettings) -> Wiring:
    """Connects nothing yet: every connection is made when it is first used."""
    # One connection holds the tenant's lease, one applies, one reads. Whether the database is
    # still there is found out by taking the lease, once for a job.
    engine = make_engine(
        settings.database_url, pool_size=3, application="groupseal worker", pre_ping=False
    )
    event.listen(engine, "connect", _send_arrays_in_binary)
    return Wiring(
        settings=settings,
        engine=engine,
        redis=make_redis(settings.redis_url),
        services=ServiceConnections(Authority(settings.authority_dir), settings.call_timeout),
        owner=f"{socket.gethostname()}:{os.getpid()}",
    )


@contextmanager
def watching(settings: WatchingSettings) -> Iterator[None]:
    """Watches the tenants' ledgers meanwhile, unless the settings say otherwise."""
    if not settings.watch_ledgers or settings.authority_dir is None:
        _log.info("ledgers_not_watched", refresh_seconds=settings.ledger_refresh)
        yield
        return
    engine = make_engine(settings.database_url, pool_size=2, application="groupseal watcher")
    redis = make_redis(settings.redis_url)
    watcher = LedgerWatcher(
        engine,
        redis,
        Authority(settings.authority_dir),
        WatcherSettings(timeout=settings.call_timeout, most=settings.watch_most),
    )
    watcher.start()
    try:
        yield
    finally:
        watcher.stop()
        redis.close()
        engine.dispose()
