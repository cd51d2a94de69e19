"""What listens to a membership check in its tests: it keeps a roster and writes down what it hears.

It stands where the encryption service decides about groups.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from encryption_service.membership.events import AuditedGroup
from encryption_service.membership.source import SourceGroup
from groupseal.reasons import Reason


@dataclass
class KeptGroup:
    """A group with those who are granted: member id and subject."""

    source_group_id: str
    name: str
    granted: dict[bytes, str] = field(default_factory=dict)


class Listener:
    """Implements MembershipEvents; `heard` holds (what, arguments…) in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.groups: dict[bytes, KeptGroup] = {}
        self.raises: Exception | None = None
        self._lock = threading.Lock()

    def keep(self, group: bytes, source_group_id: str, name: str, subjects: Sequence[str]) -> None:
        """As if these had been granted; a member's id is derived from the subject."""
        granted = {member_id(subject): subject for subject in subjects}
        self.groups[group] = KeptGroup(source_group_id, name, granted)

    def subjects(self, group: bytes) -> set[str]:
        return set(self.groups[group].granted.values())

    def of(self, what: str) -> list[tuple[Any, ...]]:
        """Arguments of all events of a kind."""
        with self._lock:
            return [tuple(event[1:]) for event in self.heard if event[0] == what]

    def group_found(self, group: bytes, found: SourceGroup) -> None:
        self._hear("group_found", group, found)
        if group in self.groups:
            self.groups[group].name = found.name

    def group_not_found(self, group: bytes, reason: Reason) -> None:
        self._hear("group_not_found", group, reason)

    def answered(self, group: bytes) -> None:
        self._hear("answered", group)

    def unavailable(self, groups: Collection[bytes], reason: Reason, retry_at_ms: int) -> None:
        self._hear("unavailable", tuple(groups), reason, retry_at_ms)

    def left_at_source(self, group: bytes, members: Sequence[bytes]) -> None:
        self._hear("left_at_source", group, tuple(members))
        for member in members:
            self.groups[group].granted.pop(member, None)

    def audited_groups(self) -> Iterator[AuditedGroup]:
        for group, kept in list(self.groups.items()):
            members = list(kept.granted.items())
            yield AuditedGroup(group, kept.source_group_id, kept.name, members)

    def _hear(self, *event: Any) -> None:
        with self._lock:
            self.heard.append(event)
            if self.raises is not None:
                raise self.raises


def member_id(subject: str) -> bytes:
    return subject.encode().rjust(16, b"\0")[-16:]
