"""Who a member is: at the identity provider by evidence, and by the vendor's word."""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from groupseal.trust import TrustMode, TrustSettings

# Asking for one member costs about as much as reading twenty of a roster in order.
_LOOKUP_COST = 20


@dataclass(frozen=True, slots=True)
class SubjectRow:
    """A member's (issuer, subject), for ever, and the newest evidence that was taken of it."""

    member: bytes
    issuer: str
    subject: str
    salt: bytes
    evidence_time_ms: int


@dataclass(frozen=True, slots=True)
class MemberRow:
    """What the vendor says of a member."""

    external_id: str
    user_name: str


_COLUMNS = "member, issuer, subject, salt, evidence_time_ms"
# By evidence; and where that is not asked for, by the externalId that came with the first key.
_BY_EVIDENCE = (
    "SELECT {a}.member, s.subject FROM {source} "
    "JOIN subjects s ON s.member = {a}.member AND s.issuer = ?"
)
_BY_EITHER = (
    "SELECT {a}.member, coalesce(s.subject, nullif(m.external_id, '')) FROM {source} "
    "LEFT JOIN subjects s ON s.member = {a}.member AND s.issuer = ? "
    "LEFT JOIN members m ON m.member = {a}.member"
)


class SubjectStore:
    """Reads and writes inside the writer's transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def of_member(self, member: bytes) -> SubjectRow | None:
        return self._find("member = ?", (member,))

    def of_subject(self, issuer: str, subject: str) -> SubjectRow | None:
        return self._find("issuer = ? AND subject = ?", (issuer, subject))

    def save(self, row: SubjectRow) -> None:
        """A new subject, or newer evidence of a known one. The mark never goes back."""
        self._connection.execute(
            "INSERT INTO subjects (member, issuer, subject, salt, evidence_time_ms) "
            "VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (member) DO UPDATE SET "
            "evidence_time_ms = max(evidence_time_ms, excluded.evidence_time_ms)",
            (row.member, row.issuer, row.subject, row.salt, row.evidence_time_ms),
        )

    def member_row(self, member: bytes) -> MemberRow | None:
        row = self._connection.execute(
            "SELECT external_id, user_name FROM members WHERE member = ?", (member,)
        ).fetchone()
        return None if row is None else MemberRow(*row)

    def save_member(self, member: bytes, row: MemberRow) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO members (member, external_id, user_name) VALUES (?, ?, ?)",
            (member, row.external_id, row.user_name),
        )

    def ids_at_source(
        self, members: Collection[bytes], number: int, roster_size: int, trust: TrustSettings
    ) -> dict[bytes, str]:
        """What the members of group `number` are called at the membership source.

        The subject of their evidence; in the modes without evidence the externalId that came with
        their first key. Those of whom neither is known are left out.
        """
        query = _BY_EVIDENCE if trust.mode is TrustMode.OIDC else _BY_EITHER
        execute = self._connection.execute
        rows: list[tuple[bytes, str | None]]
        if len(members) * _LOOKUP_COST < roster_size or len(members) <= _LOOKUP_COST:
            of_one = query.format(source="(SELECT ? AS member) a", a="a")
            rows = [row for m in members for row in execute(of_one, (m, trust.issuer)).fetchall()]
        else:
            of_roster = query.format(source="roster r", a="r") + " WHERE r.number = ?"
            rows = execute(of_roster, (trust.issuer, number)).fetchall()
        return {member: subject for member, subject in rows if subject and member in members}

    def _find(self, where: str, arguments: tuple[object, ...]) -> SubjectRow | None:
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM subjects WHERE {where}",  # noqa: S608 # own text
            arguments,
        ).fetchone()
        return None if row is None else SubjectRow(*row)
