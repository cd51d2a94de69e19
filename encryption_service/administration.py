"""What the customer's own people decide: keys, approvals, freezes, which group is which.

Behind the commands on the service's Unix socket; nothing here can be reached over the vendor's
channel. Each method returns once its effect is durable.
"""

import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from encryption_service.administration_views import (
    BoundKeyInfo,
    GroupInfo,
    HoldInfo,
    WaitingApproval,
    WaitingKey,
)
from encryption_service.admission import Admission
from encryption_service.approval_store import ApprovalStore
from encryption_service.bindings import Binder, BindingAnswer
from encryption_service.errors import ServiceError
from encryption_service.group_store import GroupStore
from encryption_service.holds import HoldRow, read_every_hold
from encryption_service.key_store import BoundKeyRow, KeyStore, OfferedKeyRow
from encryption_service.ledger_store import Clock, LedgerAppender
from encryption_service.policy.policy import GroupRule, Policy
from encryption_service.policy.policy_file import PolicyFile
from encryption_service.store import Store, snapshot
from encryption_service.subject_store import MemberRow, SubjectStore
from encryption_service.writer import Writer
from groupseal.approvals import ApprovalStatement
from groupseal.entries import Approval
from groupseal.errors import SignatureError
from groupseal.identifiers import key_fingerprint
from groupseal.reasons import Reason
from groupseal.trust import TrustMode

_WAIT_SECONDS = 30.0
_LONGEST_APPROVAL_MS = 366 * 24 * 3600 * 1000
_UNKNOWN = MemberRow("", "")
# What a person's word about a group's id may resolve.
_BY_MAPPING = (
    Reason.GROUP_AMBIGUOUS,
    Reason.GROUP_NOT_AT_SOURCE,
    Reason.MEMBERSHIP_UNCHECKED,
    Reason.NOT_IN_SOURCE_GROUP,
)


class AdministrationError(ServiceError):
    """What was asked for cannot be done; the text says why and what can."""


class Administration:
    """The use cases of the customer's commands."""

    def __init__(
        self,
        *,
        organisation: bytes,
        store: Store,
        writer: Writer,
        ledger: LedgerAppender,
        binder: Binder,
        admission: Admission,
        policy: PolicyFile,
        clock: Clock,
    ) -> None:
        self.organisation = organisation
        self._store = store
        self._writer = writer
        self._ledger = ledger
        self._binder = binder
        self._admission = admission
        self._policy = policy
        self._clock = clock

    @property
    def policy(self) -> Policy:
        return self._policy.current

    @property
    def policy_fault(self) -> str:
        return self._policy.fault

    @property
    def frozen(self) -> bool:
        """By the command; the policy may say so too."""
        return self._admission.frozen

    # Keys

    def waiting_keys(self) -> list[WaitingKey]:
        """Keys that wait for an approver, oldest first."""
        with self._store.reader() as connection, snapshot(connection):
            keys, subjects = KeyStore(connection), SubjectStore(connection)
            approvals = ApprovalStore(connection)
            return [
                self._waiting(key, subjects.member_row(key.member) or _UNKNOWN, approvals)
                for key in keys.all_offered()
            ]

    def _waiting(
        self, key: OfferedKeyRow, member: MemberRow, approvals: ApprovalStore
    ) -> WaitingKey:
        signed = approvals.key_approvers((key.member, key.key_id), self._clock())
        return WaitingKey(
            member=key.member,
            key_id=key.key_id,
            suite=key.suite,
            fingerprint=key_fingerprint(key.key_id),
            external_id=member.external_id,
            user_name=member.user_name,
            offered_ms=key.offered_ms,
            replaces=key.replaces,
            approvals=tuple(sorted(signed)),
            needed=self.policy.key_approvals,
        )

    def bound_keys(self, member: bytes | None = None) -> list[BoundKeyInfo]:
        """Bound keys, of one member or of all, in the order of their binding."""
        with self._store.reader() as connection, snapshot(connection):
            keys, subjects = KeyStore(connection), SubjectStore(connection)
            rows = keys.all_bound() if member is None else keys.devices_of(member)
            times = {row.position: keys.bound_ms(row.position) for row in rows}
            return [_bound(row, subjects, times[row.position]) for row in rows]

    def approve_key(self, member: bytes, key_id: bytes) -> int:
        """Binds a key that waits; position of its entry. Raises AdministrationError."""
        needed = self.policy.key_approvals
        if needed:
            raise AdministrationError(
                f"the policy asks for {needed} approvers' signatures for a key (keys.approvals): "
                "`encryption-service keys request`, `groupseal approve`, then `approvals add`"
            )
        answer = self._of_offered(
            member, key_id, lambda _, key: self._binder.approve(key, by_command=True)
        )
        return _position(answer)

    def refuse_key(self, member: bytes, key_id: bytes) -> int:
        """Refuses a key that waits, for good; position of its entry."""
        answer = self._of_offered(member, key_id, lambda _, key: (self._binder.refuse(key), []))
        return answer.position if answer.position is not None else 0

    def _of_offered(
        self,
        member: bytes,
        key_id: bytes,
        decide: Callable[[sqlite3.Connection, OfferedKeyRow], tuple[BindingAnswer, list[bytes]]],
    ) -> BindingAnswer:
        def event(connection: sqlite3.Connection) -> tuple[BindingAnswer | None, list[bytes]]:
            key = KeyStore(connection).offered((member, key_id))
            return (None, []) if key is None else decide(connection, key)

        answer: BindingAnswer | None = _done(self._writer.event(event))
        if answer is None:
            raise AdministrationError(
                "no such key waits for this member: see `encryption-service keys list`"
            )
        return answer

    def unbind_key(self, key_id: bytes) -> int:
        """Unbinds a key for good; every group whose secret it holds gets a new epoch."""

        def event(connection: sqlite3.Connection) -> tuple[int | None, list[bytes]]:
            key = KeyStore(connection).find(key_id)
            if key is None:
                return None, []
            return self._binder.unbind(key, Reason.KEY_REMOVED_BY_ADMIN)

        position: int | None = _done(self._writer.event(event))
        if position is None:
            raise AdministrationError("no such key is bound: see `encryption-service keys list`")
        return position

    # Approvals

    def waiting_approvals(self) -> list[WaitingApproval]:
        """Keys that wait at the door of a protected group, longest first."""
        with self._store.reader() as connection, snapshot(connection):
            found = [
                self._at_the_door(connection, hold)
                for hold in read_every_hold(connection)
                if hold.reason == Reason.APPROVAL_NEEDED
            ]
        return sorted(found, key=lambda each: (each.since_ms, each.group_id, each.member))

    def _at_the_door(self, connection: sqlite3.Connection, hold: HoldRow) -> WaitingApproval:
        member = SubjectStore(connection).member_row(hold.member) or _UNKNOWN
        rule, name = self._rule(connection, hold.group_id)
        given = ApprovalStore(connection).approvers_of(
            hold.group_id, (hold.member, hold.key_id), self._clock()
        )
        return WaitingApproval(
            group_id=hold.group_id,
            group_name=name,
            member=hold.member,
            key_id=hold.key_id,
            fingerprint=key_fingerprint(hold.key_id),
            external_id=member.external_id,
            user_name=member.user_name,
            given=tuple(sorted(given)),
            needed=rule.approvals,
            approvers=tuple(sorted(rule.approvers)),
            since_ms=hold.since_ms,
        )

    def _rule(self, connection: sqlite3.Connection, group_id: bytes) -> tuple[GroupRule, str]:
        groups = GroupStore(connection)
        group = groups.load(group_id)
        names = [] if group is None else groups.names(group)
        name = "" if group is None else group.source_name or group.display_name or ""
        return self.policy.group_rule(group_id, names), name

    def add_approval(
        self, statement: ApprovalStatement, approver_key: bytes, signature: bytes
    ) -> str:
        """Takes an approver's signature; a sentence about what came of it.

        Raises AdministrationError where it is not one, or of nobody in the policy.
        """
        self._check_approval(statement, approver_key, signature)
        if statement.group is None:
            return self._add_key_approval(statement, approver_key, signature)
        return self._add_group_approval(statement, statement.group, approver_key, signature)

    def _check_approval(
        self, statement: ApprovalStatement, approver_key: bytes, signature: bytes
    ) -> None:
        if statement.organisation != self.organisation:
            raise AdministrationError("the approval is for another organisation")
        if approver_key not in self.policy.approvers:
            raise AdministrationError(
                "the approval is signed by a key that is not among `approvers` in the policy"
            )
        now_ms = self._clock()
        if not now_ms < statement.expires_ms <= now_ms + _LONGEST_APPROVAL_MS:
            raise AdministrationError("the approval must expire in the future, within a year")
        try:
            statement.verify(approver_key, signature)
        except SignatureError as error:
            raise AdministrationError("the approval's signature does not verify") from error

    def _add_group_approval(
        self, statement: ApprovalStatement, group: bytes, approver_key: bytes, signature: bytes
    ) -> str:
        name = (statement.member, statement.key_id)

        def event(connection: sqlite3.Connection) -> tuple[str, list[bytes]]:
            key = KeyStore(connection).find(statement.key_id)
            if key is None or key.member != statement.member:
                return "", []
            approvals = ApprovalStore(connection)
            known = approvals.position_of(group, name, approver_key, statement.expires_ms)
            if known is None:
                entry = Approval(group, *name, approver_key, statement.expires_ms, signature)
                position = self._ledger.append(entry)
                approvals.add(group, name, approver_key, statement.expires_ms, position)
            rule, _ = self._rule(connection, group)
            given = approvals.approvers_of(group, name, self._clock())
            groups = self._admission.holds.look_again_at(group, name)
            count = len(given & rule.approvers)
            return f"{count} of {rule.approvals} approvals are there", groups

        sentence: str = _done(self._writer.event(event))
        if not sentence:
            raise AdministrationError(
                "the approved key is not bound to this member: it was replaced, or never bound"
            )
        return sentence

    def _add_key_approval(
        self, statement: ApprovalStatement, approver_key: bytes, signature: bytes
    ) -> str:
        name = (statement.member, statement.key_id)

        def decide(
            connection: sqlite3.Connection, key: OfferedKeyRow
        ) -> tuple[BindingAnswer, list[bytes]]:
            approvals = ApprovalStore(connection)
            approvals.add_for_key(name, approver_key, statement.expires_ms, signature)
            return self._binder.approve(key, by_command=False)

        answer = self._of_offered(*name, decide)
        if answer.reason is None:
            return f"the key is bound by entry {answer.position}"
        return answer.reason.remedy

    # What is held back

    def holds(self) -> list[HoldInfo]:
        """Every key of those on a roster that is not granted, and why."""
        with self._store.reader() as connection, snapshot(connection):
            subjects, names = SubjectStore(connection), _names(connection)
            return [
                HoldInfo(
                    group_id=hold.group_id,
                    group_name=names.get(hold.group_id, ""),
                    member=hold.member,
                    key_id=hold.key_id,
                    user_name=(subjects.member_row(hold.member) or _UNKNOWN).user_name,
                    reason=Reason(hold.reason),
                    since_ms=hold.since_ms,
                )
                for hold in read_every_hold(connection)
            ]

    def freeze(self, on: bool) -> None:
        """Holds every addition back, or lets them go on. Removals are not concerned (I5)."""

        def event(connection: sqlite3.Connection) -> tuple[None, list[bytes]]:
            connection.execute("UPDATE service SET frozen = ?", (on,))
            self._admission.frozen = on
            if on:
                GroupStore(connection).reconsider_pending(self._clock())
                return None, []
            return None, self._admission.holds.look_again((Reason.FROZEN,))

        _done(self._writer.event(event))

    # Groups

    def groups(self) -> list[GroupInfo]:
        """Every group, in the order in which they came."""
        with self._store.reader() as connection, snapshot(connection):
            rows = connection.execute("SELECT group_id FROM groups ORDER BY number").fetchall()
            return [self._group(connection, row[0]) for row in rows]

    def _group(self, connection: sqlite3.Connection, group_id: bytes) -> GroupInfo:
        groups = GroupStore(connection)
        group = groups.load(group_id)
        if group is None:
            raise AdministrationError("the group is gone")
        names = groups.names(group)
        rule = self.policy.group_rule(group_id, names)
        held = connection.execute(
            "SELECT count(*) FROM holds WHERE number = ? AND reason IS NOT NULL", (group.number,)
        ).fetchone()[0]
        return GroupInfo(
            group_id=group_id,
            name=group.source_name or group.display_name or "",
            names=tuple(sorted(names)),
            vendor_name=group.display_name or "",
            epoch=group.epoch,
            roster_size=group.roster_size,
            granted=len(groups.all_granted(group)),
            held=held,
            source_group_id=group.source_group_id or "",
            source_reason=group.source_reason or "",
            approvals=rule.approvals,
            allowed=rule.allowed,
        )

    def map_group(self, group_id: bytes, source_group_id: str) -> None:
        """Says which group at the membership source a group is; the source is then asked.

        Raises AdministrationError for an unknown group, for one at the source that another group
        stands for, or without a membership source.
        """
        if not self._admission.names_from_source:
            raise AdministrationError(
                "no membership source is set: see GROUPSEAL_SERVICE_MEMBERSHIP_SOURCE"
            )

        def event(connection: sqlite3.Connection) -> tuple[str, list[bytes]]:
            groups = GroupStore(connection)
            group = groups.load(group_id)
            if group is None:
                return "there is no such group: see `encryption-service groups list`", []
            if groups.is_source_taken(source_group_id, group.number):
                return (
                    "another group with members in it stands for that one at the membership "
                    "source: see `encryption-service groups list`"
                ), []
            # Without its name: that is what the ledger says of the group at the source.
            group.source_group_id, group.source_name = source_group_id, None
            group.source_reason = None
            groups.save(group)
            self._admission.look_up(group)
            return "", self._admission.holds.look_again(_BY_MAPPING, group_id)

        fault: str = _done(self._writer.event(event))
        if fault:
            raise AdministrationError(fault)


def _bound(row: BoundKeyRow, subjects: SubjectStore, bound_ms: int) -> BoundKeyInfo:
    subject = subjects.of_member(row.member)
    member = subjects.member_row(row.member) or _UNKNOWN
    return BoundKeyInfo(
        member=row.member,
        key_id=row.key_id,
        suite=row.suite,
        fingerprint=key_fingerprint(row.key_id),
        trust_mode=TrustMode(row.trust_mode),
        endorsed=row.endorsing_key_id is not None,
        subject=subject.subject if subject else "",
        external_id=member.external_id,
        user_name=member.user_name,
        bound_ms=bound_ms,
    )


def _names(connection: sqlite3.Connection) -> dict[bytes, str]:
    rows: Sequence[tuple[bytes, str]] = connection.execute(
        "SELECT group_id, coalesce(source_name, display_name, '') FROM groups"
    ).fetchall()
    return dict(rows)


def _position(answer: BindingAnswer) -> int:
    if answer.reason is not None or answer.position is None:
        reason = answer.reason or Reason.INTERNAL
        raise AdministrationError(f"the key is not bound ({reason}): {reason.remedy}")
    return answer.position


def _done(future: "Future[Any]") -> Any:  # whatever the event gives
    return future.result(_WAIT_SECONDS)
