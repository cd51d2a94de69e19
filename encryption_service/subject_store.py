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
_KNOWN = (
    "SELECT {source}.member, coalesce("
    "(SELECT subject FROM subjects s WHERE s.member = {source}.member AND s.issuer = ?), "
    "(SELECT external_id FROM members m WHERE m.member = {source}.member AND ? "
    "AND m.external_id <> '')) "
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
        without_evidence = trust.mode is not TrustMode.OIDC
        arguments = (trust.issuer, without_evidence)
        if len(members) * _LOOKUP_COST < roster_size or len(members) <= _LOOKUP_COST:
            query = _KNOWN.format(source="a") + "FROM (SELECT ? AS member) a"
            execute = self._connection.execute
            rows = [execute(query, (*arguments, member)).fetchone() for member in members]
        else:
            query = _KNOWN.format(source="r") + "FROM roster r WHERE r.number = ?"
            rows = self._connection.execute(query, (*arguments, number)).fetchall()
        return {member: subject for member, subject in rows if subject and member in members}

    def _find(self, where: str, arguments: tuple[object, ...]) -> SubjectRow | None:
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM subjects WHERE {where}",  # noqa: S608 # own text
            arguments,
        ).fetchone()
        return None if row is None else SubjectRow(*row)
