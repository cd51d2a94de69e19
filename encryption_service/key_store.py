"""Bound and refused member keys at rest."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

KeyName = tuple[bytes, bytes]  # member, key id


class BoundKeyRow(NamedTuple):
    """A key that the service seals to."""

    key_id: bytes
    member: bytes
    suite: int
    hpke_public_key: bytes
    signing_public_key: bytes
    position: int


# What sealing to one device needs: member, key id, suite, public key. A plain row, because
# there are thousands in a batch.
SealingKey = tuple[bytes, bytes, int, bytes]

_BOUND = (
    "SELECT key_id, member, suite, hpke_public_key, signing_public_key, position FROM member_keys "
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

    def bind(self, key: BoundKeyRow) -> None:
        self._connection.execute(
            "INSERT INTO member_keys (key_id, member, suite, hpke_public_key, signing_public_key, "
            "position) VALUES (?, ?, ?, ?, ?, ?)",
            key,
        )

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
