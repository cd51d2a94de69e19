"""Groups at rest: their state, rosters, grants, and what is left to do."""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from encryption_service.key_store import KeyName
from groupseal.encoding import ID_LENGTH
from groupseal.ledger import EMPTY_ROSTER_DIGEST

# Asking for one member costs about as much as reading twenty of a roster in order.
_LOOKUP_COST = 20


@dataclass(slots=True)
class Group:
    """A group's row. Epoch 0: none was opened yet; `last_position` None: it has no entry yet."""

    group_id: bytes
    number: int = 0
    last_position: int | None = None
    epoch: int = 0
    is_open: bool = False
    public_key: bytes = b""
    roster_digest: bytes = EMPTY_ROSTER_DIGEST
    roster_size: int = 0
    sealed_secret: bytes = b""
    display_name: str | None = None
    identity_provider_group_id: str | None = None
    # Milliseconds: when the opening under way began, how long the last one took, when it ended.
    opening_started_ms: int | None = None
    opening_took_ms: int = 0
    opening_ended_ms: int = 0
    needs_work: bool = False
    # A key that holds the epoch's secret was unbound: the epoch has to go.
    must_rotate: bool = False
    # The group at the membership source: its id, pinned at the first look-up, and its name there;
    # or why it could not be found.
    source_group_id: str | None = None
    source_name: str | None = None
    source_reason: str | None = None

    @property
    def is_closed(self) -> bool:
        """An epoch was closed and the next one is not open."""
        return self.epoch > 0 and not self.is_open


_COLUMNS = (
    "group_id, number, last_position, epoch, is_open, public_key, roster_digest, roster_size, "
    "sealed_secret, display_name, identity_provider_group_id, opening_started_ms, "
    "opening_took_ms, opening_ended_ms, needs_work, must_rotate, source_group_id, source_name, "
    "source_reason"
)
_LOAD = f"SELECT {_COLUMNS} FROM groups WHERE group_id = ?"  # noqa: S608 # constant columns
_SAVE = (
    f"INSERT OR REPLACE INTO groups ({_COLUMNS}) "  # noqa: S608 # constant columns
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# How a member's place on the roster changes with the next epoch. Who was found to have left at the
# membership source leaves whatever the vendor says until then.
_LEAVES, _JOINS, _LEFT_AT_SOURCE = 0, 1, 2
_FORGET_ENDORSEMENTS = (
    "DELETE FROM endorsements WHERE number = ? "
    "AND key_id IN (SELECT key_id FROM member_keys WHERE member = ?)"
)
# Due grants of keys that were never granted an epoch of the group.
_NEWCOMERS_PENDING = (
    "FROM pending_grants WHERE NOT EXISTS (SELECT 1 FROM grants g "
    "WHERE g.number = pending_grants.number AND g.member = pending_grants.member "
    "AND g.key_id = pending_grants.key_id)"
)
_LOSE_KEY = (
    (
        "DELETE FROM grants WHERE member = ? AND key_id = ? "
        "AND number IN (SELECT number FROM roster WHERE member = ?)"
    ),
    (
        "DELETE FROM pending_grants WHERE member = ? AND key_id = ? "
        "AND number IN (SELECT number FROM roster WHERE member = ?)"
    ),
    (
        "DELETE FROM holds WHERE member = ? AND key_id = ? "
        "AND number IN (SELECT number FROM roster WHERE member = ?)"
    ),
)
# Any number of members, cut from their ids in one piece: half the time of a statement for each.
_JOIN_ROSTER = (
    "WITH RECURSIVE pieces (start) AS "
    "(SELECT 1 UNION ALL SELECT start + ?1 FROM pieces WHERE start + ?1 <= ?2) "
    "INSERT INTO roster (number, member) SELECT ?3, substr(?4, start, ?1) FROM pieces"
)


class GroupStore:
    """Reads and writes inside the writer's transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        row = connection.execute("SELECT coalesce(max(number), 0) FROM groups").fetchone()
        self._last_number = int(row[0])

    def load(self, group_id: bytes) -> Group | None:
        row = self._connection.execute(_LOAD, (group_id,)).fetchone()
        if row is None:
            return None
        group = Group(*row)
        group.is_open, group.needs_work = bool(row[4]), bool(row[14])
        group.must_rotate = bool(row[15])
        return group

    def new(self, group_id: bytes) -> Group:
        """A group without an entry, with a number of its own. Saved like any other."""
        self._last_number += 1  # a number lost to a rollback is no loss
        return Group(group_id, number=self._last_number)

    def save(self, group: Group) -> None:
        self._connection.execute(
            _SAVE,
            (
                group.group_id,
                group.number,
                group.last_position,
                group.epoch,
                group.is_open,
                group.public_key,
                group.roster_digest,
                group.roster_size,
                group.sealed_secret,
                group.display_name,
                group.identity_provider_group_id,
                group.opening_started_ms,
                group.opening_took_ms,
                group.opening_ended_ms,
                group.needs_work,
                group.must_rotate,
                group.source_group_id,
                group.source_name,
                group.source_reason,
            ),
        )

    def with_work(self) -> list[bytes]:
        """Groups that have something left to do, as after a crash."""
        rows = self._connection.execute("SELECT group_id FROM groups WHERE needs_work = 1")
        return [row[0] for row in rows]

    # Names

    def add_name(self, group: Group, name: str) -> None:
        """Notes a name that the group has or had."""
        self._connection.execute(
            "INSERT OR IGNORE INTO group_names (number, name) VALUES (?, ?)", (group.number, name)
        )

    def names(self, group: Group) -> list[str]:
        """Every name that the group ever had."""
        rows = self._connection.execute(
            "SELECT name FROM group_names WHERE number = ?", (group.number,)
        )
        return [row[0] for row in rows]

    def is_source_taken(self, source_group_id: str, number: int) -> bool:
        """Whether another group, with somebody in it, stands for the same group at the source."""
        row = self._connection.execute(
            "SELECT 1 FROM groups WHERE source_group_id = ? AND number <> ? AND roster_size > 0",
            (source_group_id, number),
        ).fetchone()
        return row is not None

    # The roster as the ledger records it

    def on_roster(self, group: Group, members: Sequence[bytes]) -> set[bytes]:
        """Those of the members who are on the roster."""
        if group.roster_size == 0 or not members:
            return set()
        if len(members) * _LOOKUP_COST < group.roster_size:
            query = "SELECT 1 FROM roster WHERE number = ? AND member = ?"
            execute = self._connection.execute
            return {m for m in members if execute(query, (group.number, m)).fetchone()}
        rows = self._connection.execute(
            "SELECT member FROM roster WHERE number = ?", (group.number,)
        )
        return {row[0] for row in rows}.intersection(members)

    def change_roster(self, group: Group, joined: Sequence[bytes], left: Sequence[bytes]) -> None:
        """Takes members in and out; who is out holds no grant and waits for none."""
        number = group.number
        if joined:
            ids = b"".join(joined)
            self._connection.execute(_JOIN_ROSTER, (ID_LENGTH, len(ids), number, ids))
        gone = [(number, member) for member in left]
        for statement in (
            "DELETE FROM roster WHERE number = ? AND member = ?",
            "DELETE FROM grants WHERE number = ? AND member = ?",
            "DELETE FROM pending_grants WHERE number = ? AND member = ?",
            "DELETE FROM holds WHERE number = ? AND member = ?",
            # Whoever comes back is vouched for anew.
            _FORGET_ENDORSEMENTS,
        ):
            self._connection.executemany(statement, gone)
        group.roster_size += len(joined) - len(left)

    # Changes that wait for the next epoch, because a closed one records none

    def roster_changes(self, group: Group) -> tuple[list[bytes], list[bytes]]:
        """Who will join and who will leave with the next epoch, each in ascending order."""
        rows = self._connection.execute(
            "SELECT member, joins FROM roster_changes WHERE number = ? ORDER BY member",
            (group.number,),
        ).fetchall()
        return [m for m, how in rows if how == _JOINS], [m for m, how in rows if how != _JOINS]

    def replace_roster_changes(
        self, group: Group, joined: Iterable[bytes], left: Iterable[bytes]
    ) -> None:
        """Those by the vendor's word; who left at the source leaves all the same."""
        number = group.number
        self._connection.execute(
            "DELETE FROM roster_changes WHERE number = ? AND joins <> ?", (number, _LEFT_AT_SOURCE)
        )
        self._connection.executemany(
            "INSERT OR IGNORE INTO roster_changes (number, member, joins) VALUES (?, ?, ?)",
            [(number, m, _JOINS) for m in joined] + [(number, m, _LEAVES) for m in left],
        )

    def add_left_at_source(self, group: Group, members: Collection[bytes]) -> None:
        """These leave with the next epoch, or do not join."""
        number = group.number
        self._connection.executemany(
            "DELETE FROM roster_changes WHERE number = ? AND member = ?",
            [(number, member) for member in members],
        )
        self._connection.executemany(
            "INSERT INTO roster_changes (number, member, joins) VALUES (?, ?, ?)",
            [(number, m, _LEFT_AT_SOURCE) for m in self.on_roster(group, sorted(members))],
        )

    def clear_roster_changes(self, group: Group) -> None:
        self._connection.execute("DELETE FROM roster_changes WHERE number = ?", (group.number,))

    # Grants

    def any_granted(self, group: Group, members: Iterable[bytes]) -> bool:
        """Whether one of the members holds a grant of the group's current epoch."""
        query = "SELECT 1 FROM grants WHERE number = ? AND member = ? AND epoch = ?"
        execute = self._connection.execute
        return any(execute(query, (group.number, m, group.epoch)).fetchone() for m in members)

    def all_granted(self, group: Group) -> set[KeyName]:
        """Every (member, key) that holds a grant of the current epoch."""
        return set(
            self._connection.execute(
                "SELECT member, key_id FROM grants WHERE number = ? AND epoch = ?",
                (group.number, group.epoch),
            ).fetchall()
        )

    def granted_once(self, group: Group) -> set[KeyName]:
        """Every (member, key) that was granted any epoch and has stayed in the group since.

        Not the current epoch alone: it may have ended before all of them were granted it.
        """
        rows = self._connection.execute(
            "SELECT member, key_id FROM grants WHERE number = ?", (group.number,)
        )
        return set(rows.fetchall())

    def granted(self, group: Group, names: Iterable[KeyName]) -> list[KeyName]:
        """Those of the (member, key) pairs that hold a grant of the current epoch."""
        query = "SELECT epoch FROM grants WHERE number = ? AND member = ? AND key_id = ?"
        current = (group.epoch,)
        execute = self._connection.execute
        return [n for n in names if execute(query, (group.number, *n)).fetchone() == current]

    def add_grants(self, group: Group, names: Iterable[KeyName]) -> None:
        number, epoch = group.number, group.epoch
        self._connection.executemany(
            "INSERT OR REPLACE INTO grants (number, member, key_id, epoch) VALUES (?, ?, ?, ?)",
            [(number, member, key_id, epoch) for member, key_id in names],
        )

    def count_keys(self, group: Group, limit: int) -> int:
        """Bound keys of everyone on the roster, counted up to `limit`."""
        row = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM roster r JOIN member_keys k "
            "ON k.member = r.member WHERE r.number = ? LIMIT ?)",
            (group.number, limit),
        ).fetchone()
        return int(row[0])

    # Grants that are due

    def pending(self, group: Group, limit: int) -> list[KeyName]:
        """The first grants that are due, in ascending order."""
        return self._connection.execute(
            "SELECT member, key_id FROM pending_grants WHERE number = ? "
            "ORDER BY member, key_id LIMIT ?",
            (group.number, limit),
        ).fetchall()

    def pending_after(self, group: Group, last: KeyName, limit: int) -> list[KeyName]:
        """The first grants that are due after the given one, in ascending order."""
        return self._connection.execute(
            "SELECT member, key_id FROM pending_grants WHERE number = ? "
            "AND (member, key_id) > (?, ?) ORDER BY member, key_id LIMIT ?",
            (group.number, *last, limit),
        ).fetchall()

    def has_pending(self, group: Group) -> bool:
        return bool(self.pending(group, 1))

    def add_pending(self, group: Group, names: Iterable[KeyName]) -> None:
        self._connection.executemany(
            "INSERT OR IGNORE INTO pending_grants (number, member, key_id) VALUES (?, ?, ?)",
            [(group.number, *name) for name in names],
        )

    def remove_pending(self, group: Group, names: Iterable[KeyName]) -> None:
        self._connection.executemany(
            "DELETE FROM pending_grants WHERE number = ? AND member = ? AND key_id = ?",
            [(group.number, *name) for name in names],
        )

    def reconsider_pending(self, now_ms: int) -> None:
        """Has every addition that was let in and not granted yet looked at once more.

        For when what may be let in is another question. Who was granted once stays due.
        """
        self._connection.execute(
            "INSERT INTO holds (number, member, key_id, due, since_ms, version) "
            "SELECT number, member, key_id, 1, ?, 0 " + _NEWCOMERS_PENDING + " "
            "ON CONFLICT DO UPDATE SET due = 1",
            (now_ms,),
        )
        self._connection.execute("DELETE " + _NEWCOMERS_PENDING)

    def replace_pending_by_roster(self, group: Group) -> None:
        """Makes every key of everyone on the roster due, and nothing else."""
        number = (group.number,)
        self._connection.execute("DELETE FROM pending_grants WHERE number = ?", number)
        self._connection.execute(
            "INSERT INTO pending_grants (number, member, key_id) "
            "SELECT r.number, r.member, k.key_id FROM roster r "
            "JOIN member_keys k ON k.member = r.member WHERE r.number = ? "
            "ORDER BY r.member, k.key_id",
            number,
        )

    def grant_pending(self, group: Group, names: Sequence[KeyName]) -> None:
        """Records grants of the first that are due, which the names are, in ascending order.

        Two statements for all of them: two for each would cost ten times as much.
        """
        until = (group.number, *names[-1])
        granted = self._connection.execute(
            "INSERT OR REPLACE INTO grants (number, member, key_id, epoch) "
            "SELECT number, member, key_id, ? FROM pending_grants "
            "WHERE number = ? AND (member, key_id) <= (?, ?)",
            (group.epoch, *until),
        ).rowcount
        if granted != len(names):
            raise ValueError("other grants are due than were sealed")
        self._connection.execute(
            "DELETE FROM pending_grants WHERE number = ? AND (member, key_id) <= (?, ?)", until
        )

    # One member's keys in all groups

    def add_due_everywhere(self, member: bytes, key_id: bytes, now_ms: int) -> list[bytes]:
        """Makes a newly bound key due in every group of its member; returns these groups."""
        self._connection.execute(
            "INSERT OR IGNORE INTO holds (number, member, key_id, due, since_ms, version) "
            "SELECT number, member, ?, 1, ?, 0 FROM roster WHERE member = ?",
            (key_id, now_ms, member),
        )
        rows = self._connection.execute(
            "UPDATE groups SET needs_work = 1 "
            "WHERE number IN (SELECT number FROM roster WHERE member = ?) RETURNING group_id",
            (member,),
        )
        return [row[0] for row in rows.fetchall()]

    def lose_key(self, member: bytes, key_id: bytes) -> list[bytes]:
        """Takes a key's grants back everywhere; returns the groups whose epoch has to go.

        Each of them closes at its next step, before anything else happens to it.
        """
        numbers = self._connection.execute(
            "SELECT g.number FROM roster r JOIN groups g ON g.number = r.number "
            "JOIN grants k ON k.number = g.number AND k.member = r.member AND k.key_id = ? "
            "WHERE r.member = ? AND k.epoch = g.epoch",
            (key_id, member),
        ).fetchall()
        for statement in _LOSE_KEY:
            self._connection.execute(statement, (member, key_id, member))
        groups: list[bytes] = []
        for number in numbers:
            groups += [
                row[0]
                for row in self._connection.execute(
                    "UPDATE groups SET needs_work = 1, must_rotate = 1 WHERE number = ? "
                    "RETURNING group_id",
                    number,
                ).fetchall()
            ]
        return groups
