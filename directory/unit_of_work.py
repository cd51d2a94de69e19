"""The one place that commits: a unit of work per request or job."""

from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

_Result = TypeVar("_Result")


class UnitOfWork:
    """One transaction on one connection: rolled back unless `commit` was called.

    Row locks are taken in one order everywhere: users by id, then groups by id, then memberships.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The transaction's connection; RuntimeError outside the `with` block."""
        if self._connection is None:
            raise RuntimeError("a unit of work is used inside its with block only")
        return self._connection

    @property
    def is_open(self) -> bool:
        """Whether it is inside its `with` block."""
        return self._connection is not None

    def __enter__(self) -> Self:
        if self._connection is not None:
            raise RuntimeError("this unit of work is in use already")
        self._connection = self._engine.connect()
        return self

    def first(self, use: Callable[[Connection], _Result]) -> _Result:
        """What the transaction begins with; done again on a new connection if this one was dead.

        That is how a connection that died in the pool is noticed without a round trip for it.
        """
        try:
            return use(self.connection)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            self.connection.close()
            self._connection = self._engine.connect()
            return use(self._connection)

    def commit(self) -> None:
        """Makes everything so far durable; what follows is a new transaction."""
        self.connection.commit()

    def rollback(self) -> None:
        """Undoes everything since the last commit."""
        self.connection.rollback()

    def snapshot(self) -> None:
        """What follows sees one moment, and changes nothing; undoes what was not committed."""
        self.connection.rollback()
        self.connection.execution_options(isolation_level="REPEATABLE READ")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, self._connection = self.connection, None
        connection.close()  # rolls back what was not committed
