"""The ledger at rest: append, read from n in chunks, acknowledge, drop what was acknowledged."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from groupseal.entries import Body, Entry
from groupseal.errors import MalformedError
from groupseal.merkle import EMPTY_ROOT, CompactRange, leaf_hash
from groupseal.parts import PartKind, Parts

Clock = Callable[[], int]  # milliseconds since the Unix epoch


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """The one row about the organisation itself."""

    organisation: bytes
    sealed_keyset: bytes
    acknowledged_size: int
    halted_reason: str | None
    halted_detail: str | None
    holds_version: int
    frozen: bool


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry with the root over everything up to and including it."""

    position: int
    data: bytes
    root: bytes
    time_ms: int


@dataclass(frozen=True, slots=True)
class PartRow:
    """Where a part lies; its bytes are read piecewise."""

    row: int
    kind: PartKind
    length: int


class LedgerAppender:
    """The writer's end of the log. Used inside the writer's transactions only."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        clock: Clock,
        on_saved: Callable[[Sequence[Body]], None] = lambda _: None,
    ) -> None:
        """`on_saved` is told of the entries that a transaction appended, at its end."""
        self._connection = connection
        self._clock = clock
        self._on_saved = on_saved
        # Bytes of entries and parts, counted on through transactions that were rolled back.
        self.bytes_appended = 0
        self.reload()

    def reload(self) -> None:
        """Forgets what a rolled back transaction appended."""
        row = self._connection.execute("SELECT organisation, ledger_range FROM service").fetchone()
        if row is None:
            raise MalformedError("the store holds no organisation")
        self.organisation: bytes = row[0]
        self._range = CompactRange.from_bytes(row[1])
        self._last_time_ms = last_time_ms(self._connection, self._range.size)
        self._unsaved: list[Body] = []

    @property
    def size(self) -> int:
        return self._range.size

    def append(self, body: Body, parts: Parts | None = None) -> int:
        """Appends an entry, never earlier than the one before it; returns its position."""
        position = self._range.size
        time_ms = max(self._last_time_ms, self._clock())
        data = Entry(self.organisation, position, time_ms, body).to_bytes()
        self._range = self._range.append(leaf_hash(data))
        self._last_time_ms = time_ms
        self._unsaved.append(body)
        self._connection.execute(
            "INSERT INTO entries (position, entry, root, time_ms) VALUES (?, ?, ?, ?)",
            (position, data, self._range.root, time_ms),
        )
        rows = [(position, int(kind), part) for kind, part in (parts or {}).items()]
        self._connection.executemany(
            "INSERT INTO parts (position, kind, body) VALUES (?, ?, ?)", rows
        )
        self.bytes_appended += len(data) + sum(len(part) for _, _, part in rows)
        return position

    def save(self) -> None:
        """Stores where the log stands; last statement of a transaction that appended."""
        self._connection.execute("UPDATE service SET ledger_range = ?", (self._range.to_bytes(),))
        saved, self._unsaved = self._unsaved, []
        self._on_saved(saved)


def read_service(connection: sqlite3.Connection) -> ServiceRow | None:
    """The row about the organisation, or None before the first start has finished."""
    row = connection.execute(
        "SELECT organisation, sealed_keyset, acknowledged_size, halted_reason, halted_detail, "
        "holds_version, frozen FROM service"
    ).fetchone()
    if row is None:
        return None
    service = ServiceRow(*row)
    return replace(service, frozen=bool(service.frozen))


def insert_service(
    connection: sqlite3.Connection, organisation: bytes, sealed_keyset: bytes
) -> None:
    """The organisation's row, with an empty ledger."""
    connection.execute(
        "INSERT INTO service (id, organisation, sealed_keyset, ledger_range) VALUES (1, ?, ?, ?)",
        (organisation, sealed_keyset, CompactRange().to_bytes()),
    )


def ledger_size(connection: sqlite3.Connection) -> int:
    """How many entries there are."""
    row = connection.execute("SELECT max(position) FROM entries").fetchone()
    return 0 if row[0] is None else int(row[0]) + 1


def root_at(connection: sqlite3.Connection, size: int) -> bytes:
    """Root over the first `size` entries, which must exist."""
    if size == 0:
        return EMPTY_ROOT
    row = connection.execute("SELECT root FROM entries WHERE position = ?", (size - 1,)).fetchone()
    return bytes(row[0])


def last_time_ms(connection: sqlite3.Connection, size: int) -> int:
    """Time of the last of the first `size` entries; 0 for none."""
    if size == 0:
        return 0
    row = connection.execute(
        "SELECT time_ms FROM entries WHERE position = ?", (size - 1,)
    ).fetchone()
    return int(row[0])


def read_entries(
    connection: sqlite3.Connection, start: int, end: int, limit: int
) -> Iterator[StoredEntry]:
    """Up to `limit` entries at positions from `start` to before `end`, read as they are used."""
    rows = connection.execute(
        "SELECT position, entry, root, time_ms FROM entries "
        "WHERE position >= ? AND position < ? ORDER BY position LIMIT ?",
        (start, end, limit),
    )
    for row in rows:
        yield StoredEntry(*row)


def parts_of(connection: sqlite3.Connection, position: int) -> list[PartRow]:
    """What is kept of an entry's parts."""
    rows = connection.execute(
        "SELECT id, kind, length(body) FROM parts WHERE position = ? ORDER BY kind", (position,)
    )
    return [PartRow(row, PartKind(kind), length) for row, kind, length in rows]


def acknowledge(connection: sqlite3.Connection, size: int, now_ms: int) -> None:
    """Remembers that the vendor has stored everything before `size`."""
    changed = connection.execute(
        "UPDATE service SET acknowledged_size = ? WHERE acknowledged_size < ?", (size, size)
    ).rowcount
    if changed:
        connection.execute(
            "INSERT OR REPLACE INTO acknowledgements (size, at_ms) VALUES (?, ?)", (size, now_ms)
        )


def drop_acknowledged_envelopes(
    connection: sqlite3.Connection, acknowledged_before_ms: int, limit: int
) -> bool:
    """Drops up to `limit` envelope parts that were acknowledged before then.

    Returns whether there may be more. Grants stay: who reads the log again from its beginning
    cannot verify it without them.
    """
    row = connection.execute(
        "SELECT max(size) FROM acknowledgements WHERE at_ms <= ?", (acknowledged_before_ms,)
    ).fetchone()
    if row[0] is None:
        return False
    dropped = connection.execute(
        "DELETE FROM parts WHERE id IN (SELECT id FROM parts WHERE kind = 2 AND position < ? "
        "ORDER BY position LIMIT ?)",
        (row[0], limit),
    ).rowcount
    if dropped == limit:
        return True
    connection.execute("DELETE FROM acknowledgements WHERE size <= ?", (row[0],))
    return False


def halt(connection: sqlite3.Connection, reason: str, detail: str) -> None:
    """Remembers, for good, that this store is not the newest one."""
    connection.execute(
        "UPDATE service SET halted_reason = ?, halted_detail = ? WHERE halted_reason IS NULL",
        (reason, detail),
    )
