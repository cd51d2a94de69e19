"""Bound and refused member keys at rest."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from groupseal.suites import Suite
from groupseal.trust import TrustMode

KeyName = tuple[bytes, bytes]  # member, key id


class BoundKeyRow(NamedTuple):
    """A key that the service seals to."""

    key_id: bytes
    member: bytes
    suite: int
    hpke_public_key: bytes
    signing_public_key: bytes
    position: int
    trust_mode: int = TrustMode.PIN
    endorsing_key_id: bytes | None = None


class FormerKeyRow(NamedTuple):
    """A key that was bound once; it never is again."""

    key_id: bytes
    member: bytes
    signing_public_key: bytes
    position: int


class OfferedKeyRow(NamedTuple):
    """A key that waits for an approver."""

    key_id: bytes
    member: bytes
    suite: int
    hpke_public_key: bytes
    signing_public_key: bytes
    possession_proof: bytes
    replaces: bool
    offered_ms: int


# What sealing to one device needs: member, key id, suite, public key. A plain row, because
# there are thousands in a batch.
SealingKey = tuple[bytes, bytes, int, bytes]

_BOUND = (
    "SELECT key_id, member, suite, hpke_public_key, signing_public_key, position, trust_mode, "
    "endorsing_key_id FROM member_keys "
)
_OFFERED = (
    "SELECT key_id, member, suite, hpke_public_key, signing_public_key, possession_proof, "
    "replaces, offered_ms FROM offered_keys "
)
# A lookup by key costs about as much as reading twenty rows in order.
_LOOKUP_COST = 20


class KeyStore:
    """Reads and writes inside the writer's transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def find(self, key_id: bytes) -> BoundKeyRow | None:
        row = self._connection.execute(_BOUND + "WHERE key_id = ?", (key_id,)).fetchone()
        return None if row is None else BoundKeyRow(*row)

    def devices_of(self, member: bytes) -> list[BoundKeyRow]:
        rows = self._connection.execute(_BOUND + "WHERE member = ? ORDER BY key_id", (member,))
        return [BoundKeyRow(*row) for row in rows]

    def all_bound(self) -> list[BoundKeyRow]:
        """Every bound key, in the order of binding."""
        rows = self._connection.execute(_BOUND + "ORDER BY position")
        return [BoundKeyRow(*row) for row in rows]

    def bound_ms(self, position: int) -> int:
        """Time of the entry that bound a key."""
        row = self._connection.execute(
            "SELECT time_ms FROM entries WHERE position = ?", (position,)
        ).fetchone()
        return int(row[0])

    def bind(self, key: BoundKeyRow) -> None:
        self._connection.execute(
            "INSERT INTO member_keys (key_id, member, suite, hpke_public_key, signing_public_key, "
            "position, trust_mode, endorsing_key_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            key,
        )

    def unbind(self, key: BoundKeyRow, position: int) -> None:
        """Moves a key to those that never are bound again."""
        self._connection.execute("DELETE FROM member_keys WHERE key_id = ?", (key.key_id,))
        self._connection.execute(
            "INSERT INTO former_keys (key_id, member, signing_public_key, position) "
            "VALUES (?, ?, ?, ?)",
            (key.key_id, key.member, key.signing_public_key, position),
        )

    def former(self, key_id: bytes) -> FormerKeyRow | None:
        row = self._connection.execute(
            "SELECT key_id, member, signing_public_key, position FROM former_keys WHERE key_id = ?",
            (key_id,),
        ).fetchone()
        return None if row is None else FormerKeyRow(*row)

    # Keys that wait for an approver

    def offered(self, name: KeyName) -> OfferedKeyRow | None:
        row = self._connection.execute(
            _OFFERED + "WHERE member = ? AND key_id = ?", name
        ).fetchone()
        return None if row is None else _offered(row)

    def all_offered(self) -> list[OfferedKeyRow]:
        rows = self._connection.execute(_OFFERED + "ORDER BY offered_ms, key_id")
        return [_offered(row) for row in rows]

    def offer(self, key: OfferedKeyRow) -> None:
        """Keeps a key until it is approved or refused; the last request for it counts."""
        self._connection.execute(
            "INSERT INTO offered_keys (key_id, member, suite, hpke_public_key, "
            "signing_public_key, possession_proof, replaces, offered_ms) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "possession_proof = excluded.possession_proof, replaces = excluded.replaces",
            key,
        )

    def count_offered(self, member: bytes) -> int:
        row = self._connection.execute(
            "SELECT count(*) FROM offered_keys WHERE member = ?", (member,)
        ).fetchone()
        return int(row[0])

    def forget_offer(self, name: KeyName) -> None:
        self._connection.execute("DELETE FROM offered_keys WHERE member = ? AND key_id = ?", name)

    # How keys were bound

    def any_bound_by(self, modes: Collection[TrustMode]) -> bool:
        """Whether any key was bound in one of these modes."""
        query = "SELECT 1 FROM member_keys WHERE trust_mode = ? LIMIT 1"
        return any(self._connection.execute(query, (mode,)).fetchone() for mode in modes)

    def bound_by(self, names: Sequence[KeyName], modes: Collection[TrustMode]) -> set[KeyName]:
        """Those of the keys that were bound in one of these modes."""
        return self._having("trust_mode", names, modes)

    def of_other_suites(self, names: Sequence[KeyName], suites: Collection[Suite]) -> set[KeyName]:
        """Those of the keys whose suite is none of these."""
        return self._having("suite", names, [suite for suite in Suite if suite not in suites])

    def _having(
        self, column: str, names: Sequence[KeyName], values: Collection[int]
    ) -> set[KeyName]:
        """A look at each key, or for many names at all that have the value: mostly, few have."""
        execute = self._connection.execute
        if len(names) <= _LOOKUP_COST:
            query = f"SELECT {column} FROM member_keys WHERE key_id = ?"  # noqa: S608 # own text
            found = ((name, execute(query, (name[1],)).fetchone()) for name in names)
            return {name for name, row in found if row is not None and row[0] in values}
        query = f"SELECT member, key_id FROM member_keys WHERE {column} = ?"  # noqa: S608
        having = {name for value in values for name in execute(query, (int(value),))}
        return having.intersection(names)

    def forget_refusal(self, key_id: bytes, member: bytes) -> None:
        """So that the key can be refused for another reason."""
        self._connection.execute(
            "DELETE FROM refused_keys WHERE key_id = ? AND member = ?", (key_id, member)
        )

    def refusal_reason(self, key_id: bytes, member: bytes) -> str | None:
        """For what this key was refused to this member."""
        row = self._connection.execute(
            "SELECT reason FROM refused_keys WHERE key_id = ? AND member = ?", (key_id, member)
        ).fetchone()
        return None if row is None else str(row[0])

    def refusal_of(self, key_id: bytes, member: bytes) -> int | None:
        """Position of the entry that refused this key to this member."""
        row = self._connection.execute(
            "SELECT position FROM refused_keys WHERE key_id = ? AND member = ?", (key_id, member)
        ).fetchone()
        return None if row is None else int(row[0])

    def refuse(self, key_id: bytes, member: bytes, reason: str, position: int) -> None:
        self._connection.execute(
            "INSERT INTO refused_keys (key_id, member, reason, position) VALUES (?, ?, ?, ?)",
            (key_id, member, reason, position),
        )

    def names_of(self, members: Sequence[bytes], number: int, roster_size: int) -> list[KeyName]:
        """The keys of members on the roster of group `number`, in ascending order."""
        if len(members) * _LOOKUP_COST < roster_size or len(members) == 1:
            found: list[KeyName] = []
            for member in members:
                found += self._connection.execute(
                    "SELECT member, key_id FROM member_keys WHERE member = ?", (member,)
                ).fetchall()
            return sorted(found)
        wanted = set(members)
        return [name for name in self.names_of_roster(number) if name[0] in wanted]

    def names_of_roster(self, number: int) -> list[KeyName]:
        """Every key of everyone on the roster, in ascending order."""
        return self._connection.execute(
            "SELECT r.member, k.key_id FROM roster r JOIN member_keys k ON k.member = r.member "
            "WHERE r.number = ? ORDER BY r.member, k.key_id",
            (number,),
        ).fetchall()

    def sealing_keys(
        self, names: Sequence[KeyName], number: int, roster_size: int
    ) -> Iterator[SealingKey]:
        """The public keys of these names, which are in ascending order and on the roster.

        Read as they are used; nothing may be written in between.
        """
        columns = "SELECT k.member, k.key_id, k.suite, k.hpke_public_key FROM "
        if len(names) * _LOOKUP_COST < roster_size or len(names) == 1:
            query = columns + "member_keys k WHERE k.key_id = ?"
            for name in names:
                yield self._connection.execute(query, (name[1],)).fetchone()
            return
        wanted = set(names)
        scan = self._connection.execute(
            columns + "roster r JOIN member_keys k ON k.member = r.member "
            "WHERE r.number = ? AND r.member BETWEEN ? AND ? ORDER BY r.member, k.key_id",
            (number, names[0][0], names[-1][0]),
        )
        for row in scan:
            if row[:2] in wanted:
                yield row


def _offered(row: tuple[Any, ...]) -> OfferedKeyRow:
    return OfferedKeyRow(*row)._replace(replaces=bool(row[6]))
