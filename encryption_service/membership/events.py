"""Whom the membership check tells what it learns; implemented where the groups are decided on."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from encryption_service.membership.source import SourceGroup
from groupseal.reasons import Reason


@dataclass(frozen=True, slots=True)
class AuditedGroup:
    """A pinned group and who is granted its key. A large group may come in several, in a row."""

    group: bytes
    source_group_id: str
    name: str
    # (member id, subject at the source)
    members: Sequence[tuple[bytes, str]]


class MembershipEvents(Protocol):
    """Called from the check's own threads; each may block until what it is told is durable."""

    def group_found(self, group: bytes, found: SourceGroup) -> None:
        """At the first look-up, and when the group was renamed at the source."""

    def group_not_found(self, group: bytes, reason: Reason) -> None:
        """GROUP_AMBIGUOUS or GROUP_NOT_AT_SOURCE. Nobody is taken off because of it."""

    def answered(self, group: bytes) -> None:
        """There are new verdicts: look at the group's holds again."""

    def unavailable(self, groups: Collection[bytes], reason: Reason, retry_at_ms: int) -> None:
        """The source is not answering; these are asked about again at that instant."""

    def left_at_source(self, group: bytes, members: Sequence[bytes]) -> None:
        """They hold the group's key and are not in the group: take them off."""

    def audited_groups(self) -> Iterator[AuditedGroup]:
        """Every pinned group with those who are granted; read in pages."""
