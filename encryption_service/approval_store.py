"""Approvers' signatures and endorsements at rest: what lets a key into a protected group."""

import sqlite3

from encryption_service.key_store import KeyName


class ApprovalStore:
    """Reads and writes inside the writer's transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    # One key into one group

    def approvers_of(self, group: bytes, name: KeyName, now_ms: int) -> set[bytes]:
        """Keys of the approvers whose signature is in force."""
        rows = self._connection.execute(
            "SELECT approver_key FROM approvals WHERE group_id = ? AND member = ? "
            "AND key_id = ? AND expires_ms > ?",
            (group, *name, now_ms),
        )
        return {row[0] for row in rows}

    def position_of(
        self, group: bytes, name: KeyName, approver_key: bytes, expires_ms: int
    ) -> int | None:
        """Of the entry of an approval that lasts at least as long."""
        row = self._connection.execute(
            "SELECT position FROM approvals WHERE group_id = ? AND member = ? AND key_id = ? "
            "AND approver_key = ? AND expires_ms >= ?",
            (group, *name, approver_key, expires_ms),
        ).fetchone()
        return None if row is None else int(row[0])

    def add(
        self, group: bytes, name: KeyName, approver_key: bytes, expires_ms: int, position: int
    ) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO approvals (group_id, member, key_id, approver_key, "
            "expires_ms, position) VALUES (?, ?, ?, ?, ?, ?)",
            (group, *name, approver_key, expires_ms, position),
        )

    # The key itself (trust mode `approve`)

    def key_approvers(self, name: KeyName, now_ms: int) -> dict[bytes, bytes]:
        """Approver's key -> signature, of those in force."""
        rows = self._connection.execute(
            "SELECT approver_key, signature FROM key_approvals WHERE member = ? AND key_id = ? "
            "AND expires_ms > ? ORDER BY approver_key",
            (*name, now_ms),
        )
        return dict(rows.fetchall())

    def add_for_key(
        self, name: KeyName, approver_key: bytes, expires_ms: int, signature: bytes
    ) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO key_approvals (member, key_id, approver_key, expires_ms, "
            "signature) VALUES (?, ?, ?, ?, ?)",
            (*name, approver_key, expires_ms, signature),
        )

    def forget_for_keys(self, member: bytes) -> None:
        """Of a member's keys that wait, all approvals so far."""
        self._connection.execute("DELETE FROM key_approvals WHERE member = ?", (member,))

    # Endorsements by a key that was in the group itself

    def endorse_into_groups(self, member: bytes, endorser: bytes, key_id: bytes) -> None:
        """Notes the groups whose secret the endorsing key holds at this moment."""
        self._connection.execute(
            "INSERT OR IGNORE INTO endorsements (number, key_id) "
            "SELECT r.number, ? FROM roster r JOIN grants g ON g.number = r.number "
            "AND g.member = r.member AND g.key_id = ? WHERE r.member = ?",
            (key_id, endorser, member),
        )

    def is_endorsed_into(self, number: int, key_id: bytes) -> bool:
        query = "SELECT 1 FROM endorsements WHERE number = ? AND key_id = ?"
        return self._connection.execute(query, (number, key_id)).fetchone() is not None
