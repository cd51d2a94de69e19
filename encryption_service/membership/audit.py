"""The audit: does everybody who holds a group's key still belong to the group at the source?

It is what notices a removal that the vendor keeps to itself. Taking somebody off by mistake would
cost a rotation and the member's access until the next check, so nobody is taken off on the strength
of a list alone: each of the missing is confirmed by a request of its own, a list that could not be
read whole says nothing, and a group that is gone takes nobody with it, because a credential that
lost its rights looks the same.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import structlog

from encryption_service.errors import ServiceError
from encryption_service.membership.cache import Verdict, VerdictCache
from encryption_service.membership.events import AuditedGroup, MembershipEvents
from encryption_service.membership.questions import Listing
from encryption_service.membership.source import (
    Clock,
    MembershipSource,
    SourceGroup,
    SourceGroupMissingError,
    SourceRefusedError,
    SourceUnavailableError,
    StoppingError,
)
from encryption_service.membership.source_health import SourceHealth
from groupseal.reasons import Reason

_log = structlog.get_logger(__name__)
T = TypeVar("T")

# So many are confirmed and taken off at a time, so that a limit or fault does not undo all of it.
_CONFIRMED_AT_ONCE = 100
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What the last audit of a group found wrong."""

    group: bytes
    # NOT_IN_SOURCE_GROUP or GROUP_NOT_AT_SOURCE
    reason: Reason
    members: tuple[bytes, ...]
    found_ms: int


@dataclass(slots=True)
class AuditResult:
    """One pass over the groups."""

    groups: int = 0
    left: int = 0
    failed: set[bytes] = field(default_factory=set)


# Waits so many seconds; true: stop.
Wait = Callable[[float], bool]


class Auditor:
    """Compares, group by group. One pass at a time."""

    def __init__(
        self,
        source: MembershipSource,
        events: MembershipEvents,
        *,
        cache: VerdictCache,
        health: SourceHealth,
        clock: Clock,
        enforce: bool,
    ) -> None:
        self._source, self._events, self._cache = source, events, cache
        self._health, self._clock, self._enforce = health, clock, enforce
        self._one_at_a_time = threading.Lock()
        self._findings: dict[bytes, Finding] = {}
        self._listing: Listing | None = None
        self._last_group = b""
        # When the last pass ended in which no group failed.
        self.last_audit_ms: int | None = None
        # Members found missing since the start.
        self.members_left = 0

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Of the last audit of each group."""
        return tuple(self._findings.copy().values())

    def run(
        self,
        wait: Wait | None = None,
        *,
        gap_seconds: float = 0.0,
        only: Collection[bytes] | None = None,
    ) -> AuditResult:
        """Audits every group, or those in `only`.

        With `wait` it leaves room for checks, waits for limits to reset and tries what failed
        again; without, it does what can be done at once.
        """
        result = AuditResult()
        seen: set[bytes] = set()
        with self._one_at_a_time:
            self._listing, self._last_group = None, b""
            for group in self._events.audited_groups():
                seen.add(group.group)
                if only is not None and group.group not in only:
                    continue
                if wait is not None and result.groups and wait(gap_seconds):
                    return result
                result.groups += 1
                self._attempt(group, result, wait)
            self._listing = None
            for gone in self._findings.keys() - seen:
                del self._findings[gone]
            if not result.failed:
                self.last_audit_ms = self._clock()
        return result

    def _attempt(self, group: AuditedGroup, result: AuditResult, wait: Wait | None) -> None:
        for _ in range(_ATTEMPTS if wait else 1):
            try:
                result.left += self._audit(group, wait)
            except SourceUnavailableError as error:
                self._health.failed(error)
                _log.warning("audit_failed", group=_text(group.group), error=str(error))
                if isinstance(error, SourceRefusedError):
                    break
            except StoppingError:
                break
            except ServiceError as error:
                _log.error("audit_failed", group=_text(group.group), error=str(error))
                break
            else:
                self._health.succeeded()
                return
        result.failed.add(group.group)

    def _ask(self, ask: Callable[[], T], wait: Wait | None) -> T:
        """Once the source's back-off is over and its limits have room.

        Raises SourceUnavailableError, for a used-up limit only without `wait`.
        """
        while True:
            if wait is not None:
                self._wait_for_source(wait)
            try:
                return ask()
            except SourceUnavailableError as error:
                if wait is None or error.reason is not Reason.MEMBERSHIP_SOURCE_LIMITED:
                    raise
                self._health.failed(error)
                if wait(max(error.retry_after_seconds, 1.0)):
                    raise StoppingError from None

    def _wait_for_source(self, wait: Wait) -> None:
        while True:
            closed = (self._health.closed_until_ms - self._clock()) / 1000
            delay = max(closed, self._source.audit_delay_seconds())
            if delay <= 0:
                return
            if wait(delay):
                raise StoppingError

    def _audit(self, group: AuditedGroup, wait: Wait | None) -> int:
        """How many left. Raises SourceUnavailableError."""
        left: list[bytes] = []
        try:
            listed = self._read(group, wait)
            missing = [m for m in group.members if m[1] and m[1] not in listed]
            for start in range(0, len(missing), _CONFIRMED_AT_ONCE):
                left += self._take_off(group, missing[start : start + _CONFIRMED_AT_ONCE], wait)
        except SourceGroupMissingError:
            self._report(group, Reason.GROUP_NOT_AT_SOURCE, [])
            self._events.group_not_found(group.group, Reason.GROUP_NOT_AT_SOURCE)
            return len(left)
        self._report(group, Reason.NOT_IN_SOURCE_GROUP, left)
        self.members_left += len(left)
        return len(left)

    def _read(self, group: AuditedGroup, wait: Wait | None) -> Collection[str]:
        """Everybody in the group at the source. Raises SourceGroupMissingError."""
        group_id = group.source_group_id
        listed, self._listing = self._listing, None
        if listed and (self._last_group, listed.source_group_id) == (group.group, group_id):
            self._listing = listed  # the group came in several parts
            return listed.subjects
        found = self._group(group_id, wait)
        earlier = self._findings.get(group.group)
        was_gone = earlier is not None and earlier.reason is Reason.GROUP_NOT_AT_SOURCE
        if found.name != group.name or was_gone:
            self._events.group_found(group.group, found)
        listing = Listing(group_id, self._clock(), self._source.members(group_id))
        while (page := self._ask(lambda: next(listing.pages, None), wait)) is not None:
            listing.subjects.update(page)
        self._cache.put_list(group_id, listing.subjects, begun_ms=listing.begun_ms)
        self._listing = listing
        return listing.subjects

    def _group(self, group_id: str, wait: Wait | None) -> SourceGroup:
        """Raises SourceGroupMissingError."""
        found = self._ask(lambda: self._source.group(group_id), wait)
        if found is None:
            raise SourceGroupMissingError("the group is not at the source")
        return found

    def _take_off(
        self, group: AuditedGroup, missing: Sequence[tuple[bytes, str]], wait: Wait | None
    ) -> list[bytes]:
        """Those of whom the source says so once more, by a request for each."""
        group_id = group.source_group_id
        verdicts: dict[str, Verdict] = {}
        for _, subject in missing:

            def is_in(subject: str = subject) -> bool:
                return self._source.is_member(group_id, subject)

            verdicts[subject] = Verdict.YES if self._ask(is_in, wait) else Verdict.NO
        # Nobody is in a group that was deleted since it was listed.
        self._group(group_id, wait)
        for subject, verdict in verdicts.items():
            # Before anybody acts on it: an older yes must not let the member in again.
            self._cache.put(group_id, subject, verdict)
        left = [member for member, subject in missing if verdicts[subject] is Verdict.NO]
        if left and self._enforce:
            self._events.left_at_source(group.group, left)
        return left

    def _report(self, group: AuditedGroup, reason: Reason, members: Sequence[bytes]) -> None:
        earlier = self._findings.pop(group.group, None)
        if earlier is not None and self._last_group == group.group:  # of the group's parts so far
            members = [*earlier.members, *members]
        self._last_group = group.group
        if reason is Reason.NOT_IN_SOURCE_GROUP and not members:
            return
        self._findings[group.group] = Finding(group.group, reason, tuple(members), self._clock())
        _log.warning(
            "audit_finding",
            group=_text(group.group),
            reason=reason.value,
            members=len(members),
            enforced=self._enforce,
        )


def _text(group: bytes) -> str:
    return str(UUID(bytes=group)) if len(group) == 16 else group.hex()
