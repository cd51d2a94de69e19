"""One run of the trust model: the core, the model beside it, and what is compared after a step.

Rules are in `trust_source`, `trust_people` and `trust_machine`, which build on this.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
)

from encryption_service import reconcile, rotation, wrap_pool, writer
from encryption_service.administration import AdministrationError
from encryption_service.admission import Question
from encryption_service.holds import read_holds
from encryption_service.policy.errors import PolicyError
from encryption_service.reconcile import GroupCommand
from groupseal.entries import EpochClosed, GroupReconciled, KeyUnbound
from groupseal.identifiers import identifier_to_text
from groupseal.ledger import VerifiedEntry
from groupseal.reasons import Reason
from groupseal.trust import MembershipCheck, TrustMode, TrustSettings
from tests.support.policies import Approver
from tests.support.trust_core import Core, Died, FaultyError, LedgerCopy, SetClock
from tests.support.trust_keys import ISSUER, MemberKey, make_key
from tests.support.trust_model import Asked, Name, TrustModel

_T = TypeVar("_T")
MEMBERS = [bytes([0xA0 + number]) * 16 for number in range(4)]
GROUPS = [bytes([0x10 + number]) * 16 for number in range(3)]
SUBJECTS = {member: f"person-{number}" for number, member in enumerate(MEMBERS)}
NAMES = ("Team", "Team West", "Board", "")
KEYS_EACH = 4
APPROVERS = [Approver(name) for name in ("ana", "ben", "cy")]
DAY, YEAR = 86_400.0, 366 * 86_400.0

members = st.sampled_from(MEMBERS)
groups = st.sampled_from(GROUPS)
some = st.sets(members, min_size=1, max_size=3)
numbers = st.integers(0, KEYS_EACH - 1)
names = st.sampled_from(NAMES)
POLICIES: dict[str, list[Any]] = {
    "freeze": [True, True, None],
    "groups": [
        {"allow": [{"name": "Team*"}]},
        {"deny": [{"name": "Board"}]},
        {"allow": [{"id": identifier_to_text(GROUPS[0])}, {"name": "Team"}]},
        {"deny": [{"id": identifier_to_text(GROUPS[1])}]},
        None,
    ],
    "protected": [
        [{"match": [{"name": "Board"}], "approvals": 1}],
        [{"match": [{"name": "*"}], "approvals": 1, "approvers": ["ben"]}],
        [
            {"match": [{"id": identifier_to_text(GROUPS[0])}], "approvals": 2},
            {"match": [{"name": "Team*"}], "approvals": 1},
        ],
        None,
    ],
    "approvers": [["ana", "ben"], ["ben", "cy"], ["ana", "ben", "cy"]],
    "keys": [{"approvals": 1}, {"approvals": 2}, None],
    "limits": [{"seals_per_hour": 2}, {"seals_per_hour_per_group": 1}, {"seals_per_hour": 9}, None],
    "suites": [["xwing"], ["x25519"], None],
    "evidence": [{"required_acr": ["mfa"]}, None],
}
aspects = st.sampled_from(sorted(POLICIES)).flatmap(
    lambda aspect: st.tuples(st.just(aspect), st.sampled_from(POLICIES[aspect]))
)
STEPS = ("planned", "sealed", "before commit", "committed", "epoch closed", "epoch opened")
BY_TIME = {
    Reason.MEMBERSHIP_UNCHECKED,
    Reason.MEMBERSHIP_SOURCE_UNAVAILABLE,
    Reason.MEMBERSHIP_SOURCE_LIMITED,
    Reason.NOT_IN_SOURCE_GROUP,
    Reason.SUBJECT_UNKNOWN,
    Reason.QUOTA_USED_UP,
}
UNCHECKED = {
    Reason.MEMBERSHIP_UNCHECKED,
    Reason.MEMBERSHIP_SOURCE_UNAVAILABLE,
    Reason.MEMBERSHIP_SOURCE_LIMITED,
}


class TrustRun(RuleBasedStateMachine):
    """One organisation in one trust mode."""

    mode: ClassVar[TrustMode]
    check: ClassVar[MembershipCheck]

    def _start(self, *, low_limits: bool) -> None:
        self._stack = ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        self._stack.enter_context(_limits(low=low_limits))
        self.clock = SetClock()
        self.core = Core(Path(folder), self.clock, self._settings(self.mode))
        self._stack.callback(self.core.close)
        self.copy = LedgerCopy(self.core)
        enforces = self.check is MembershipCheck.ENFORCE
        self.model = TrustModel(self.mode.name.lower(), enforces=enforces)
        self.model.approver_keys = {each.name: each.public_key for each in APPROVERS}
        self.source = {"s0": ("Team", set(SUBJECTS.values())), "s1": ("Board", set[str]())}
        self.questions: list[Question] = []
        self.commands: list[GroupCommand] = []
        self.waiting: dict[Name, Asked] = {}
        self.is_noting = self.is_unsure = False
        self.listed: dict[tuple[bytes, bytes], str] = {}
        self.listed_version = self.seen_version = 0

    # Parts of a step

    def _settings(self, mode: TrustMode) -> TrustSettings:
        source = "okta" if self.check is MembershipCheck.ENFORCE else ""
        if mode is TrustMode.OIDC:
            return TrustSettings(mode, ISSUER, "keys", "sub", self.check, source)
        return TrustSettings(mode, membership_check=self.check, membership_source=source)

    def _key(self, member: bytes, number: int) -> MemberKey:
        return make_key(member, number)

    def _key_of(self, member: bytes, key_id: bytes) -> MemberKey:
        keys = (self._key(member, number) for number in range(KEYS_EACH))
        return next(key for key in keys if key.key_id == key_id)

    def _verdict(self, asked: Asked, *, by_command: bool = False) -> str:
        self.model.now_ms = self.clock()
        return self.model.verdict(asked, by_command=by_command)

    def _expect_binding(self, asked: Asked, expected: str) -> None:
        self.model.may_bind = asked if expected == "bound" else None
        if expected == "bound":
            self.waiting.pop((asked.member, asked.key_id), None)

    def _policy(self, aspect: str, value: Any) -> None:
        """Changes one thing in the policy; one that contradicts itself is not taken."""
        if aspect == "approvers":
            value = [each.entry() for each in APPROVERS if each.name in value]
        document = {**self.model.policy, "version": 1, aspect: value}
        if value is None:
            del document[aspect]
        before = self.model.policy
        self.model.change_policy(document)
        try:
            self._do(lambda: self.core.set_policy(document))
        except PolicyError:
            self.model.change_policy(before)
        self._rest()

    def _approvers_listed(self) -> set[str]:
        return {each["name"] for each in self.model.policy["approvers"]}

    def _position(self, group: bytes) -> int | None:
        self._watch()
        state = self.copy.projection.group_state(group)
        return state.last_position if state else None

    def _administer(self, act: Callable[[], object]) -> bool:
        """Whether it was done."""

        def done() -> bool:
            try:
                act()
            except AdministrationError:
                return False
            return True

        return self._do(done)

    def _do(self, call: Callable[[], _T]) -> _T:
        """Carries something out; what fails is asked for again, of a new process if it died."""
        self.model.now_ms = self.clock()
        while True:
            try:
                return call()
            except Died:
                self._revive(is_asked_again=True)
            except FaultyError:
                self._rest(is_asked_again=True)

    def _revive(self, *, is_asked_again: bool = False) -> None:
        self._collect()
        self.questions.clear()
        self.core.restart()
        self.model.said.clear()
        self._rest(is_asked_again=is_asked_again)

    def _rest(self, *, is_asked_again: bool = False) -> None:
        """Until nothing is under way; then everything must hold.

        Between a failure and the next try nobody knows yet whether what was asked for is done.
        """
        if is_asked_again:
            self.model.frozen = self.core.administration.frozen
        try:
            self.core.settle()
        except FaultyError:
            self._rest(is_asked_again=is_asked_again)
            return
        except Died:
            self._revive(is_asked_again=is_asked_again)
            return
        self._watch()
        self.model.check_epochs()
        self.is_unsure = self.is_unsure or is_asked_again
        if not is_asked_again:
            self._check_holds()
            self._check_listing()
            self.is_unsure = False

    def _watch(self) -> None:
        """Follows the ledger, and deletes listed holds as the vendor's worker does."""
        entries = self.copy.read()
        self.model.now_ms = self.clock()
        self.model.follow(entries)
        for verified in entries:
            self._unlist(verified)

    def _check_out(self, group: bytes, gone: set[bytes]) -> None:
        model = self.model.groups[group]
        inside = {member for member, _ in model.holders} if model.is_open else set()
        assert not inside & gone, "somebody who left holds an open epoch"

    def _collect(self) -> None:
        self.questions += self.core.answers.questions
        self.core.answers.questions.clear()

    # Holds

    def _check_holds(self) -> None:
        """I11: everyone who is due is granted or held, for the reason that there is."""
        held = {(hold.group, (hold.member, hold.key_id)): hold for hold in self.core.holds()}
        left_out = {
            (group_id, name)
            for group_id, group in self.model.groups.items()
            for name in self.model.due(group) - group.admitted
        }
        assert held.keys() == left_out
        for place, hold in held.items():
            assert not hold.due
            assert hold.reason is not None
            reason = Reason(hold.reason)
            assert reason not in BY_TIME or hold.next_try_ms is not None
            self._check_reason(place, reason, is_new=hold.version > self.seen_version)

    def _check_reason(self, place: tuple[bytes, Name], reason: Reason, *, is_new: bool) -> None:
        obstacles = list(self.model.obstacles(*place))
        if reason is Reason.QUOTA_USED_UP:
            assert self.model.policy.get("limits"), "held for a limit that is none"
            assert not is_new or self.is_unsure or not obstacles
            return
        if reason in UNCHECKED and UNCHECKED.intersection(obstacles):
            reason = Reason.MEMBERSHIP_UNCHECKED
        if is_new and not (self.is_noting or self.is_unsure):
            assert obstacles[:1] == [reason], (obstacles, reason)
        elif reason in BY_TIME:
            # It may have become another of its kind without anybody having looked.
            assert self.model.enforces
        else:
            assert reason in obstacles, f"held for {reason}, which is over"

    def _check_listing(self) -> None:
        """Who reads only what is new knows what there is; versions only grow."""
        with self.core.store.reader() as connection:
            news = list(read_holds(connection, self.listed_version))
            everything = list(read_holds(connection))
        version = self.core.admission.holds.version
        assert version >= max([self.seen_version, *(hold.version for hold in everything)])
        self.listed |= {(hold.group_id, hold.member): hold.reason for hold in news}
        self.listed_version = self.seen_version = version
        assert self.listed == {(hold.group_id, hold.member): hold.reason for hold in everything}

    def _unlist(self, verified: VerifiedEntry) -> None:
        body = verified.entry.body
        if isinstance(body, KeyUnbound):
            self.listed, self.listed_version = {}, 0
        if isinstance(body, EpochClosed | GroupReconciled):
            gone = {*body.left, *(grant.member for grant in verified.grants)}
            for member in gone:
                self.listed.pop((body.group, member), None)


@contextmanager
def _limits(*, low: bool) -> Iterator[None]:
    """`low`: what happens to large groups happens to small ones. No child processes in any case."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(wrap_pool, "_INLINE", 1000))
        stack.enter_context(patch.object(writer, "_RETRY_SECONDS", 0.001))
        if low:
            stack.enter_context(patch.object(rotation, "SMALL_GROUP", 1))
            stack.enter_context(patch.object(reconcile, "SMALL_GROUP", 1))
            stack.enter_context(patch.object(reconcile, "MAX_BATCH", 2))
            stack.enter_context(patch.object(writer, "MAX_BATCH", 2))
        yield
