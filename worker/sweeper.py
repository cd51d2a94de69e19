"""Looks in the database for what no job is on its way for. All the scheduler there is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from directory.due_work import tenants_with_work
from directory.unit_of_work import UnitOfWork
from directory.wake_up import wake

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Sweeper:
    """Wakes a worker for every tenant with due groups, due keys or a ledger unread for long."""

    engine: Engine
    redis: Redis
    interval: float
    refresh: timedelta

    def sweep(self) -> int:
        """Looks once; returns for how many tenants a job is waiting now."""
        with UnitOfWork(self.engine) as work:
            tenants = tenants_with_work(work.connection, self.refresh)
        return sum(wake(self.redis, tenant) for tenant in tenants)

    def run(self, wait: Callable[[float], bool]) -> None:
        """Looks again and again, a database that is away included.

        `wait` waits for as many seconds, and tells whether it is time to end.
        """
        is_down = False
        while True:
            try:
                self.sweep()
                is_down = False
            except SQLAlchemyError as error:
                if not is_down:
                    _log.warning("database_away", error=type(error).__name__)
                is_down = True
            if wait(self.interval):
                return
