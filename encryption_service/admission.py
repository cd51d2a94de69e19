"""What holds an addition back: freeze, policy, the membership check, approvals, limits.

Asked for every key that is due and does not hold the epoch before: somebody who was granted is
never held back here (I5), whatever the limits. The checks are made in the order in which a person
would resolve them, and the first that fails is the reason. Nothing here waits for anybody: what the
membership source has not answered yet is asked for once the transaction is durable.
"""

import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from encryption_service.approval_store import ApprovalStore
from encryption_service.group_store import Group, GroupStore
from encryption_service.holds import Held, HoldStore
from encryption_service.key_store import KeyName, KeyStore
from encryption_service.ledger_store import Clock
from encryption_service.membership.cache import Verdict
from encryption_service.policy.policy import GroupRule, Policy
from encryption_service.quotas import Quotas
from encryption_service.subject_store import SubjectStore
from groupseal.reasons import Reason
from groupseal.trust import MembershipCheck, TrustMode, TrustSettings

# What another policy, or a later moment of this one, may let in.
BY_POLICY = (
    Reason.FROZEN,
    Reason.GROUP_NOT_ALLOWED,
    Reason.SUITE_NOT_ALLOWED,
    Reason.APPROVAL_NEEDED,
    Reason.QUOTA_USED_UP,
)
# What an answer of the membership source decides, and what a look-up of the group does.
BY_ANSWER = (
    Reason.MEMBERSHIP_UNCHECKED,
    Reason.MEMBERSHIP_SOURCE_UNAVAILABLE,
    Reason.MEMBERSHIP_SOURCE_LIMITED,
)
_LASTING = (
    Reason.NOT_IN_SOURCE_GROUP,
    Reason.MEMBERSHIP_SOURCE_UNAVAILABLE,
    Reason.MEMBERSHIP_SOURCE_LIMITED,
)
BY_LOOK_UP = (Reason.GROUP_AMBIGUOUS, Reason.GROUP_NOT_AT_SOURCE)
# A group that is not found is looked up again after so long even if nobody asks.
_NOT_FOUND_MS = 10 * 60_000
# How soon a bucket that is empty is looked at again at the earliest.
_RETRY_MS = 1_000


class MembershipAnswers(Protocol):
    """What the membership checker knows already, and what it shall find out."""

    def verdicts(self, source_group_id: str, subjects: Collection[str]) -> dict[str, Verdict]: ...

    def forget(self, source_group_id: str, subjects: Collection[str]) -> None: ...

    def ask(
        self,
        group: bytes,
        source_group_id: str | None,
        group_name: str,
        subjects: Collection[str],
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Question:
    """What the membership checker is asked after the commit."""

    group: bytes
    source_group_id: str | None
    group_name: str
    subjects: frozenset[str]


@dataclass(slots=True)
class _Sorting:
    """Names on their way through the checks."""

    group: Group
    left: list[KeyName]
    held: list[Held] = field(default_factory=list)

    def hold_all(self, reason: Reason, next_try_ms: int | None = None) -> None:
        self.held += [Held(name, reason, next_try_ms) for name in self.left]
        self.left = []

    def hold_those(
        self, names: Collection[KeyName], reason: Reason, next_try_ms: int | None = None
    ) -> None:
        if names:
            self.held += [Held(name, reason, next_try_ms) for name in sorted(names)]
            self.left = [name for name in self.left if name not in names]


class Admission:
    """Works inside the writer's transactions."""

    def __init__(
        self,
        *,
        connection: sqlite3.Connection,
        trust: TrustSettings,
        policy: Callable[[], Policy],
        recheck_ms: int,
        clock: Clock,
    ) -> None:
        self._groups = GroupStore(connection)
        self._keys = KeyStore(connection)
        self._subjects = SubjectStore(connection)
        self._approvals = ApprovalStore(connection)
        self._quotas = Quotas(connection)
        self.holds = HoldStore(connection)
        self._connection = connection
        self._trust = trust
        self._policy = policy
        # Set once it is there: it asks back through the writer.
        self.membership: MembershipAnswers | None = None
        self._recheck_ms = recheck_ms
        self._clock = clock
        self._questions: list[Question] = []
        self._has_weak_keys = self._keys.any_bound_by(_weaker_modes(trust.mode))
        self.reload()

    def reload(self) -> None:
        """Forgets what a rolled back transaction changed or wanted to ask."""
        self._questions.clear()
        self.holds.reload()
        row = self._connection.execute("SELECT frozen FROM service").fetchone()
        self.frozen = bool(row[0]) if row else False

    def committed(self) -> None:
        """Asks the membership source what has turned out to be unknown. After the commit."""
        questions, self._questions = self._questions, []
        if self.membership is not None:
            for question in questions:
                self.membership.ask(
                    question.group,
                    question.source_group_id,
                    question.group_name,
                    question.subjects,
                )

    @property
    def enforces_membership(self) -> bool:
        return (
            self.membership is not None and self._trust.membership_check is MembershipCheck.ENFORCE
        )

    @property
    def names_from_source(self) -> bool:
        """The group's name is what the membership source calls it, not the vendor's word."""
        return self.membership is not None

    def look_up(self, group: Group) -> None:
        """Has the group looked up at the membership source, after the commit."""
        if self.membership is not None:
            self._ask(group, ())

    def not_found(self, group: bytes, reason: Reason) -> None:
        """Additions wait until it is known which group at the source this one is."""
        self._wait_for_look_up(group, reason, max(self._recheck_ms, _NOT_FOUND_MS))

    def source_taken(self, group: bytes) -> None:
        """The same while another group of the vendor stands for the one at the source."""
        self._wait_for_look_up(group, Reason.GROUP_AMBIGUOUS, self._recheck_ms)

    def _wait_for_look_up(self, group: bytes, reason: Reason, wait_ms: int) -> None:
        among = (*BY_ANSWER, *BY_LOOK_UP)
        self.holds.change_reason([group], among, reason, self._clock() + wait_ms)

    def forget(self, group: Group, members: Collection[bytes]) -> None:
        """These leave: whoever adds one of them again gets no answer from before.

        At once: should the transaction be rolled back, they are asked about once more.
        """
        if self.membership is not None and group.source_group_id is not None and members:
            subjects = self._subjects.ids_at_source(
                members, group.number, group.roster_size, self._trust
            )
            self.membership.forget(group.source_group_id, subjects.values())

    def is_open_to_all(self, group: Group) -> bool:
        """Nothing holds anything back, and nothing of the group is held: the fast path."""
        return (
            not self.frozen
            and self._policy().is_open
            and not self.enforces_membership
            and not self._has_weak_keys
            and not self.holds.any(group.number)
        )

    def admit(
        self, group: Group, names: Sequence[KeyName], granted: Collection[KeyName] = ()
    ) -> list[KeyName]:
        """Those of the due names (in ascending order) that may be granted now; holds the others.

        `granted` were granted an epoch before and are admitted in any case.
        """
        if self.is_open_to_all(group) or not names:
            return list(names)
        kept = [name for name in names if name in granted] if granted else []
        sorting = _Sorting(group, [name for name in names if name not in granted])
        self._sort(sorting)
        admitted = sorted([*kept, *sorting.left])
        if self.holds.any(group.number):
            self.holds.release(group.number, admitted)
        self.holds.hold(group.number, sorting.held, self._clock())
        return admitted

    def _sort(self, sorting: _Sorting) -> None:
        policy = self._policy()
        if self.frozen or policy.freeze:
            sorting.hold_all(Reason.FROZEN)
            return
        rule = policy.group_rule(sorting.group.group_id, self._groups.names(sorting.group))
        if not rule.allowed:
            sorting.hold_all(Reason.GROUP_NOT_ALLOWED)
            return
        if rule.suites is not None:
            others = self._keys.of_other_suites(sorting.left, rule.suites)
            sorting.hold_those(others, Reason.SUITE_NOT_ALLOWED)
        if self._has_weak_keys:
            self._hold_weak_keys(sorting)
        if self.enforces_membership:
            self._check_membership(sorting)
        if rule.approvals:
            self._check_approvals(sorting, rule)
        self._take_quota(sorting, policy)

    def _hold_weak_keys(self, sorting: _Sorting) -> None:
        weak = self._keys.bound_by(sorting.left, _weaker_modes(self._trust.mode))
        reason = (
            Reason.EVIDENCE_NEEDED
            if self._trust.mode is TrustMode.OIDC
            else Reason.KEY_APPROVAL_NEEDED
        )
        sorting.hold_those(weak, reason)

    def _check_membership(self, sorting: _Sorting) -> None:
        """Only a fresh yes lets somebody in."""
        membership, group = self.membership, sorting.group
        if membership is None:
            return
        if group.source_group_id is None or group.source_reason is not None:
            self._ask(group, ())
            reason = group.source_reason or Reason.MEMBERSHIP_UNCHECKED
            sorting.hold_all(Reason(reason), self._clock() + self._recheck_ms)
            return
        members = {member for member, _ in sorting.left}
        subjects = self._subjects.ids_at_source(
            members,
            group.number,
            group.roster_size,
            self._trust,
        )
        verdicts = membership.verdicts(group.source_group_id, subjects.values())
        if len(verdicts) == len(subjects) == len(members) and Verdict.NO not in verdicts.values():
            return
        unknown: set[KeyName] = set()
        unanswered: set[KeyName] = set()
        denied: set[KeyName] = set()
        for name in sorting.left:
            subject = subjects.get(name[0])
            if subject is None:
                unknown.add(name)
                continue
            verdict = verdicts.get(subject)
            if verdict is None:
                unanswered.add(name)
            elif verdict is Verdict.NO:
                denied.add(name)
        now_ms = self._clock()
        sorting.hold_those(unknown, Reason.SUBJECT_UNKNOWN, now_ms + self._recheck_ms)
        sorting.hold_those(denied, Reason.NOT_IN_SOURCE_GROUP, now_ms + self._recheck_ms)
        if unanswered:
            self._ask(group, {subjects[member] for member, _ in unanswered})
            # What was found last holds until there is another answer, however often it is asked
            # for: a reason that came and went would be news to all who read the holds.
            for reason in _LASTING:
                known = self.holds.held_for(group.number, unanswered, reason)
                sorting.hold_those(known, reason, now_ms + self._recheck_ms)
                unanswered -= known
            sorting.hold_those(unanswered, Reason.MEMBERSHIP_UNCHECKED, now_ms + self._recheck_ms)

    def _ask(self, group: Group, subjects: Collection[str]) -> None:
        name = group.source_name or group.display_name or ""
        self._questions.append(
            Question(group.group_id, group.source_group_id, name, frozenset(subjects))
        )

    def _check_approvals(self, sorting: _Sorting, rule: GroupRule) -> None:
        now_ms, group = self._clock(), sorting.group
        missing = {
            name
            for name in sorting.left
            if not self._approvals.is_endorsed_into(group.number, name[1])
            and not rule.satisfied_by(self._approvals.approvers_of(group.group_id, name, now_ms))
        }
        sorting.hold_those(missing, Reason.APPROVAL_NEEDED)

    def _take_quota(self, sorting: _Sorting, policy: Policy) -> None:
        limits = (
            (0, policy.seals_per_hour),
            (sorting.group.number, policy.seals_per_hour_per_group),
        )
        now_ms = self._clock()
        taken = self._quotas.take(limits, len(sorting.left), now_ms)
        beyond = sorting.left[taken:]
        if not beyond:
            return
        # Each is looked at again when it is its turn: all of them every few seconds would keep
        # the writer busy with nothing else.
        bucket, limit = min((each for each in limits if each[1]), key=lambda each: each[1] or 0)
        ahead = self.holds.count_waiting(Reason.QUOTA_USED_UP, bucket or None, limit or 0)
        places = range(ahead, ahead + len(beyond))
        waits_ms = self._quotas.waits_ms(limits, places, now_ms)
        sorting.held += [
            Held(name, Reason.QUOTA_USED_UP, now_ms + max(_RETRY_MS, wait_ms))
            for name, wait_ms in zip(beyond, waits_ms, strict=True)
        ]
        sorting.left = sorting.left[:taken]


def _weaker_modes(mode: TrustMode) -> tuple[TrustMode, ...]:
    """How a key may have been bound before that this mode does not take for evidence."""
    return () if mode is TrustMode.PIN else (TrustMode.PIN,)
