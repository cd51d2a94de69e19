"""What the membership checker finds out, written down: it names groups, lets in and takes off."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import structlog

from encryption_service.admission import BY_ANSWER, BY_LOOK_UP, BY_POLICY, Admission
from encryption_service.group_store import Group, GroupStore
from encryption_service.membership.events import AuditedGroup
from encryption_service.membership.source import SourceGroup
from encryption_service.reconcile import Reconciler, Step
from encryption_service.store import Store, snapshot
from encryption_service.subject_store import SubjectStore
from encryption_service.writer import Writer
from groupseal.identifiers import identifier_to_text
from groupseal.reasons import Reason
from groupseal.trust import TrustSettings

_log = structlog.get_logger(__name__)
# Longest that a thread of the checker waits for its news to be durable.
_WAIT_SECONDS = 60.0
_BY_SOURCE = (*BY_ANSWER, *BY_LOOK_UP, Reason.NOT_IN_SOURCE_GROUP)


class MembershipRecorder:
    """Called from the checker's threads; each call returns once its effect is durable."""

    def __init__(
        self, *, writer: Writer, admission: Admission, store: Store, trust: TrustSettings
    ) -> None:
        self._writer = writer
        self._admission = admission
        self._store = store
        self._trust = trust

    def group_found(self, group: bytes, found: SourceGroup) -> None:
        """The group's id at the source is pinned; its name is that of the source."""

        def name(reconciler: Reconciler) -> Step | None:
            return reconciler.name_from_source(group, found.id, found.name)

        # Nothing is looked at again for a group that another one stands for: it would be looked
        # up once more, found once more, and so on without end.
        if _wait(self._writer.step(group, name)):
            # The policy may have held it for want of a name.
            self._look_again(group, (*_BY_SOURCE, *BY_POLICY))

    def group_not_found(self, group: bytes, reason: Reason) -> None:
        """Additions wait until there is exactly one such group, or a person says which it is."""

        def note(connection: Any) -> tuple[None, list[bytes]]:
            connection.execute(
                "UPDATE groups SET source_reason = ? WHERE group_id = ?", (reason, group)
            )
            self._admission.not_found(group, reason)
            return None, []

        _wait(self._writer.event(note))
        _log.warning(
            "group_not_found_at_source",
            group_id=identifier_to_text(group),
            reason=str(reason),
            remedy=reason.remedy,
        )

    def answered(self, group: bytes) -> None:
        """There are answers about members of the group."""
        self._look_again(group, (*BY_ANSWER, Reason.NOT_IN_SOURCE_GROUP))

    def unavailable(self, groups: Collection[bytes], reason: Reason, retry_at_ms: int) -> None:
        """Additions wait, and say for what."""

        def note(_: Any) -> tuple[None, list[bytes]]:
            self._admission.holds.change_reason(groups, BY_ANSWER, reason, retry_at_ms)
            return None, []

        _wait(self._writer.event(note))

    def left_at_source(self, group: bytes, members: Sequence[bytes]) -> None:
        """They lose the epoch, although the vendor said nothing (I5)."""
        _wait(self._writer.step(group, lambda r: r.remove(group, frozenset(members))))
        _log.warning("left_at_source", group_id=identifier_to_text(group), members=len(members))

    def audited_groups(self) -> Iterator[AuditedGroup]:
        """Every group that is pinned at the source, with those who hold its epoch."""
        with self._store.reader() as connection:
            rows = connection.execute(
                "SELECT group_id FROM groups WHERE source_group_id IS NOT NULL ORDER BY number"
            ).fetchall()
        for (group_id,) in rows:
            with self._store.reader() as connection, snapshot(connection):
                groups = GroupStore(connection)
                group = groups.load(group_id)
                if group is None or group.source_group_id is None:
                    continue
                audited = self._audited(group, groups, SubjectStore(connection))
            # Outside: what is done with it asks the source, and no snapshot is kept for so long.
            yield audited

    def _audited(self, group: Group, groups: GroupStore, subjects: SubjectStore) -> AuditedGroup:
        members = {member for member, _ in groups.all_granted(group)}
        known = subjects.ids_at_source(members, group.number, group.roster_size, self._trust)
        if unknown := len(members) - len(known):
            # Granted before the check was on, or by another kind of evidence: nobody can be asked.
            _log.warning(
                "audit_cannot_name_members",
                group_id=identifier_to_text(group.group_id),
                members=unknown,
                remedy=Reason.SUBJECT_UNKNOWN.remedy,
            )
        return AuditedGroup(
            group=group.group_id,
            source_group_id=group.source_group_id or "",
            name=group.source_name or "",
            members=tuple(sorted(known.items())),
        )

    def _look_again(self, group: bytes, reasons: Collection[Reason]) -> None:
        holds = self._admission.holds
        _wait(self._writer.event(lambda _: (None, holds.look_again(reasons, group))))


def _wait(future: "Future[Any]") -> Any:  # whatever its step or event gives
    return future.result(_WAIT_SECONDS)
