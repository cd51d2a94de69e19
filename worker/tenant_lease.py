"""One worker at a time for a tenant: a session-level advisory lock, so no crash leaves it behind.

Whoever finds the lease taken may go: the holder looks for work once more *after* letting go of it,
and so sees everything that was committed before the other one came.
"""

import logging
from hashlib import sha256
from types import TracebackType
from typing import Self
from uuid import UUID

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

_TAKE = text("SELECT pg_try_advisory_lock(:key)")
_LET_GO = text("SELECT pg_advisory_unlock(:key)")

_log = logging.getLogger(__name__)


class TenantLease:
    """Context manager; `is_held` says whether the lease was free."""

    def __init__(self, engine: Engine, tenant_id: UUID) -> None:
        digest = sha256(b"groupseal tenant lease" + tenant_id.bytes).digest()
        self._key = int.from_bytes(digest[:8], "big", signed=True)
        self._engine = engine
        self._connection: Connection | None = None
        self.is_held = False

    def __enter__(self) -> Self:
        try:
            self._take()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # It died in the pool, which has dropped all that are as old: this one is new.
            self._take()
        return self

    def _take(self) -> None:
        # No transaction stays open while the lease is held.
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            self.is_held = bool(connection.execute(_TAKE, {"key": self._key}).scalar_one())
        except BaseException:
            # Whether it was taken is not known: the server frees it with the session.
            connection.invalidate()
            connection.close()
            raise
        self._connection = connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if self.is_held:
                connection.execute(_LET_GO, {"key": self._key})
        except SQLAlchemyError as gone:
            _log.warning("the connection with a tenant's lease was lost (%s)", type(gone).__name__)
            connection.invalidate()
        finally:
            self.is_held = False
            connection.close()
