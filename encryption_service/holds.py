"""What is due and not granted, and why: keys of members on a roster that something holds back.

A hold that is `due` is looked at at the group's next step; the others wait for an event (an
approval, a changed policy, an answer of the membership source) or for their next try. Whenever a
reason changes, the hold takes the next version, so that a reader asks for what is new alone.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from encryption_service.key_store import KeyName
from groupseal.reasons import Reason


@dataclass(frozen=True, slots=True)
class Held:
    """Why one key is held, and when it is worth looking again (None: when something happens)."""

    name: KeyName
    reason: Reason
    next_try_ms: int | None = None


class HoldRow(NamedTuple):
    """A hold as readers see it."""

    group_id: bytes
    member: bytes
    key_id: bytes
    reason: str
    since_ms: int
    version: int


_READ = (
    "SELECT g.group_id, h.member, h.key_id, h.reason, h.since_ms, h.version "
    "FROM holds h JOIN groups g ON g.number = h.number "
)
# A grant of an epoch that is closed counts for nothing any more.
_NOT_GRANTED = (
    "(g.is_open = 0 OR NOT EXISTS (SELECT 1 FROM grants WHERE grants.number = h.number "
    "AND grants.member = h.member AND grants.epoch = g.epoch))"
)
_REASONS_IN = (
    "SELECT h.member, h.reason FROM holds h JOIN groups g ON g.number = h.number "  # noqa: S608 # constant text
    "WHERE h.number = ? AND h.reason IS NOT NULL AND " + _NOT_GRANTED
)
_REASONS = _REASONS_IN + " ORDER BY h.member, h.key_id"
_REASONS_OF_ONE = _REASONS_IN + " AND h.member = ? ORDER BY h.key_id"
# No hold waits longer for its next try.
_LONGEST_WAIT_MS = 24 * 3600 * 1000
# Up to so many members are asked about one by one, however many the group holds back.
_FEW = 100


class HoldStore:
    """Reads and writes inside the writer's transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.reload()

    def reload(self) -> None:
        """Forgets what a rolled back transaction counted."""
        row = self._connection.execute("SELECT holds_version FROM service").fetchone()
        self._stored_version = self._version = int(row[0]) if row else 0

    @property
    def version(self) -> int:
        """Of the last hold that changed, as far as it is durable."""
        return self._stored_version

    def save(self) -> None:
        """Stores the version; last statement of a transaction that changed holds."""
        if self._version != self._stored_version:
            self._connection.execute("UPDATE service SET holds_version = ?", (self._version,))
            self._stored_version = self._version

    # One group

    def any(self, number: int) -> bool:
        """Whether anything of the group is held."""
        query = "SELECT 1 FROM holds WHERE number = ? LIMIT 1"
        return self._connection.execute(query, (number,)).fetchone() is not None

    def due(self, number: int, limit: int) -> list[KeyName]:
        """What has to be looked at, in ascending order."""
        return self._connection.execute(
            "SELECT member, key_id FROM holds WHERE number = ? AND due = 1 "
            "ORDER BY member, key_id LIMIT ?",
            (number, limit),
        ).fetchall()

    def has_due(self, number: int) -> bool:
        return bool(self.due(number, 1))

    def add_due(self, number: int, names: Iterable[KeyName], now_ms: int) -> None:
        """Makes keys due to be looked at."""
        self._connection.executemany(
            "INSERT INTO holds (number, member, key_id, due, since_ms, version) "
            "VALUES (?, ?, ?, 1, ?, 0) ON CONFLICT DO UPDATE SET due = 1",
            [(number, *name, now_ms) for name in names],
        )

    def hold(self, number: int, held: Iterable[Held], now_ms: int) -> None:
        """Records why; a hold whose reason stays keeps its version and its time."""
        version = self._stored_version + 1
        rows = [(number, *h.name, h.reason, now_ms, h.next_try_ms, version) for h in held]
        if not rows:
            return
        self._version = version
        self._connection.executemany(
            "INSERT INTO holds (number, member, key_id, due, reason, since_ms, next_try_ms, "
            "version) VALUES (?, ?, ?, 0, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET due = 0, next_try_ms = excluded.next_try_ms, "
            "version = iif(reason IS excluded.reason, version, excluded.version), "
            "since_ms = iif(reason IS excluded.reason, since_ms, excluded.since_ms), "
            "reason = excluded.reason",
            rows,
        )

    def release(self, number: int, names: Iterable[KeyName]) -> None:
        """These are held no longer."""
        self._connection.executemany(
            "DELETE FROM holds WHERE number = ? AND member = ? AND key_id = ?",
            [(number, *name) for name in names],
        )

    def release_due(self, number: int, names: Iterable[KeyName]) -> None:
        """What was looked at and is not held back is no longer due."""
        self._connection.executemany(
            "DELETE FROM holds WHERE number = ? AND member = ? AND key_id = ? AND due = 1",
            [(number, *name) for name in names],
        )

    def clear(self, number: int) -> None:
        """Nothing of the group is held any longer."""
        self._connection.execute("DELETE FROM holds WHERE number = ?", (number,))

    def drop_members(self, number: int, members: Iterable[bytes]) -> None:
        """Who left waits for nothing."""
        self._connection.executemany(
            "DELETE FROM holds WHERE number = ? AND member = ?", [(number, m) for m in members]
        )

    def reasons_of(self, number: int, members: Collection[bytes]) -> dict[bytes, Reason]:
        """Why these members are not granted; those with another key that is are left out."""
        if not members or not self.any(number):
            return {}
        execute = self._connection.execute
        if len(members) <= _FEW:
            found = (execute(_REASONS_OF_ONE, (number, m)).fetchall() for m in sorted(members))
            rows = [row for of_one in found for row in of_one]
        else:
            rows = execute(_REASONS, (number,)).fetchall()
        return {member: Reason(reason) for member, reason in rows if member in members}

    def held_for(self, number: int, names: Collection[KeyName], reason: Reason) -> set[KeyName]:
        """Those of the keys that were held for this reason when they were last looked at."""
        execute = self._connection.execute
        if len(names) <= _FEW:
            query = (
                "SELECT 1 FROM holds WHERE number = ? AND member = ? AND key_id = ? AND reason = ?"
            )
            return {name for name in names if execute(query, (number, *name, reason)).fetchone()}
        query = "SELECT member, key_id FROM holds WHERE number = ? AND reason = ?"
        return set(names).intersection(execute(query, (number, reason)).fetchall())

    def count_waiting(self, reason: Reason, number: int | None, limit: int) -> int:
        """How many wait for this reason, in one group or in all; counted up to `limit`."""
        where, arguments = (
            ("AND due = 0 ", []) if number is None else ("AND due = 0 AND number = ? ", [number])
        )
        query = f"SELECT count(*) FROM (SELECT 1 FROM holds WHERE reason = ? {where}LIMIT ?)"  # noqa: S608 # constant text
        row = self._connection.execute(query, [reason, *arguments, limit]).fetchone()
        return int(row[0])

    # Events: each makes holds due and returns the groups that now have a step to take

    def look_again(self, reasons: Collection[Reason], group: bytes | None = None) -> list[bytes]:
        """Everything that is held for one of these reasons, in one group or in all."""
        marks = ", ".join("?" * len(reasons))
        arguments: list[object] = [str(reason) for reason in reasons]
        where = f"due = 0 AND reason IN ({marks})"
        if group is not None:
            where += " AND number = (SELECT number FROM groups WHERE group_id = ?)"
            arguments.append(group)
        return self._make_due(where, arguments)

    def look_again_at(self, group: bytes, name: KeyName) -> list[bytes]:
        """One key in one group."""
        return self._make_due(
            "number = (SELECT number FROM groups WHERE group_id = ?) AND member = ? AND key_id = ?",
            [group, *name],
        )

    def look_again_by_time(self, now_ms: int, limit: int) -> list[bytes]:
        """Everything whose next try has come, up to a limit.

        What was to be tried in a far future is: the clock was set back since.
        """
        keys = "(number, member, key_id) IN (SELECT number, member, key_id FROM holds "
        is_due = "WHERE due = 0 AND next_try_ms IS NOT NULL AND next_try_ms "
        groups = self._make_due(
            keys + is_due + "<= ? ORDER BY next_try_ms LIMIT ?)", [now_ms, limit]
        )
        too_far = [now_ms + _LONGEST_WAIT_MS, limit]
        return groups + self._make_due(keys + is_due + "> ? LIMIT ?)", too_far)

    def change_reason(
        self,
        groups: Collection[bytes],
        among: Collection[Reason],
        reason: Reason,
        next_try_ms: int | None,
    ) -> None:
        """Gives what is held for one of the reasons another one; it stays held."""
        version = self._version = self._stored_version + 1
        self._connection.executemany(
            "UPDATE holds SET next_try_ms = ?, version = iif(reason IS ?, version, ?), reason = ? "
            "WHERE number = (SELECT number FROM groups WHERE group_id = ?) AND due = 0 "
            "AND reason = ?",
            [
                (next_try_ms, reason, version, reason, group, former)
                for group in groups
                for former in among
            ],
        )

    def _make_due(self, where: str, arguments: Sequence[object]) -> list[bytes]:
        numbers = self._connection.execute(
            f"UPDATE holds SET due = 1 WHERE {where} RETURNING number",  # noqa: S608 # own text
            arguments,
        ).fetchall()
        groups: list[bytes] = []
        for number in sorted(set(numbers)):
            groups += [
                row[0]
                for row in self._connection.execute(
                    "UPDATE groups SET needs_work = 1 WHERE number = ? RETURNING group_id", number
                ).fetchall()
            ]
        return groups


def read_every_hold(connection: sqlite3.Connection) -> Iterator[HoldRow]:
    """Every key that is held, also where another key of its member is granted."""
    rows = connection.execute(
        _READ + "WHERE h.reason IS NOT NULL ORDER BY h.version, h.number, h.member, h.key_id"
    )
    for row in rows:
        yield HoldRow(*row)


def read_holds(connection: sqlite3.Connection, since_version: int = 0) -> Iterator[HoldRow]:
    """Holds that changed after a version, of members who are not granted, in order of change."""
    rows = connection.execute(
        _READ + f"WHERE h.version > ? AND h.reason IS NOT NULL AND {_NOT_GRANTED} "
        "ORDER BY h.version, h.number, h.member, h.key_id",
        (since_version,),
    )
    for row in rows:
        yield HoldRow(*row)


def any_try_is_due(connection: sqlite3.Connection, now_ms: int) -> bool:
    """Whether some hold's next try has come."""
    query = "SELECT 1 FROM holds WHERE due = 0 AND next_try_ms "
    execute = connection.execute
    return (
        execute(query + "<= ? LIMIT 1", (now_ms,)).fetchone() is not None
        or execute(query + "> ? LIMIT 1", (now_ms + _LONGEST_WAIT_MS,)).fetchone() is not None
    )
