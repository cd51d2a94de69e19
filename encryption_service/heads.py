"""Heads that the service signs, and heads that a caller shows it (I6)."""

import sqlite3

import structlog

from encryption_service.errors import HaltedError, InvalidCallError
from encryption_service.keyset import Keyset
from encryption_service.ledger_store import Clock, halt, last_time_ms, ledger_size, root_at
from encryption_service.writer import Writer
from groupseal.checkpoint import Head, format_note, open_head
from groupseal.errors import ProtocolError
from groupseal.reasons import Reason

_log = structlog.get_logger(__name__)


class HeadSigner:
    """Signs what is durable: sizes and roots come from committed rows alone."""

    def __init__(self, keyset: Keyset, clock: Clock) -> None:
        self._organisation = keyset.organisation
        self._key = keyset.signing_key
        self._public_key = keyset.signing_public_key
        self._clock = clock

    def sign(self, size: int, root: bytes, time_ms: int) -> str:
        """A signed note over the first `size` entries."""
        head = Head(self._organisation, size, root, time_ms)
        return format_note(head, self._public_key, self._key.sign(head.text.encode()))

    def newest(self, connection: sqlite3.Connection, size: int | None = None) -> str:
        """The head over everything (or the first `size` entries), bearing the present time."""
        size = ledger_size(connection) if size is None else size
        time_ms = max(self._clock(), last_time_ms(connection, size))
        return self.sign(size, root_at(connection, size), time_ms)


class HeadGuard:
    """Compares heads that callers hold with the store, and halts on evidence of another one."""

    def __init__(self, keyset: Keyset, writer: Writer) -> None:
        self._organisation = keyset.organisation
        self._public_key = keyset.signing_public_key
        self._writer = writer

    def require_writable(self) -> None:
        """Raises HaltedError once the service has halted."""
        if self._writer.halted:
            raise HaltedError(self._writer.halted)

    def check(self, note: str, connection: sqlite3.Connection) -> Head | None:
        """Verifies a head that the caller holds; None for an empty one.

        1. It is signed by this organisation's key, or the call is invalid.
        2. It covers no more than the store has, or the service halts: the store is an older copy.
        3. It has the store's root at its size, or the service halts: there are two histories.
        Raises InvalidCallError or HaltedError.
        """
        self.require_writable()
        if not note:
            return None
        try:
            head = open_head(note, self._organisation, self._public_key)
        except ProtocolError as error:
            raise InvalidCallError(error.reason, f"known_head: {error}") from error
        size = ledger_size(connection)
        if head.size > size:
            self._halt(
                Reason.LEDGER_BEHIND,
                f"a caller holds a signed head of {head.size} entries, the store has {size}",
            )
        if head.root != root_at(connection, head.size):
            self._halt(
                Reason.LEDGER_FORKED,
                f"a caller holds a signed head with another root over {head.size} entries",
            )
        return head

    def _halt(self, reason: Reason, detail: str) -> None:
        self._writer.halt(reason)
        self._writer.task(lambda connection: halt(connection, reason, detail)).result()
        _log.error("halted", reason=reason, detail=detail, remedy=reason.remedy)
        raise HaltedError(reason, f"{detail}. {reason.remedy}")
