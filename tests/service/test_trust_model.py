"""What may be granted, whatever vendor, members, source, approvers and crashes do in what order.

Each step is done to the service's core and to a model in plain Python that shares no code with it;
after each step the ledger is verified, and what it grants and what is held are compared.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from encryption_service import reconcile, rotation, wrap_pool, writer
from encryption_service.administration import AdministrationError
from encryption_service.admission import Question
from encryption_service.bindings import BindingAnswer
from encryption_service.fsck import check_store
from encryption_service.holds import read_holds
from encryption_service.membership.cache import Verdict
from encryption_service.membership.source import SourceGroup
from encryption_service.policy.errors import PolicyError
from encryption_service.reconcile import Answer, GroupCommand, Outcome
from groupseal.approvals import ApprovalStatement
from groupseal.entries import EpochClosed, GroupReconciled, KeyUnbound
from groupseal.identifiers import identifier_to_text
from groupseal.ledger import VerifiedEntry
from groupseal.reasons import Reason
from groupseal.trust import MembershipCheck, TrustMode, TrustSettings
from tests.support.policies import Approver
from tests.support.trust_core import Core, Died, LedgerCopy, SetClock
from tests.support.trust_keys import ISSUER, MemberKey, make_key
from tests.support.trust_model import Asked, Evidence, ModelGroup, Name, TrustModel

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


class TrustMachine(RuleBasedStateMachine):
    """One organisation's life in one trust mode."""

    mode: ClassVar[TrustMode]
    check: ClassVar[MembershipCheck]

    @initialize(low_limits=st.booleans())
    def begin(self, low_limits: bool) -> None:
        """Everybody has a key, two groups have members."""
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
        self.is_noting = False
        self.listed: dict[tuple[bytes, bytes], str] = {}
        self.listed_version = self.seen_version = 0
        self._policy("approvers", ["ana", "ben"])
        for member in MEMBERS[:3]:
            self.offer(member, 0, False, 0, False)
            if self.mode is TrustMode.APPROVE:
                self.approve_by_command(member, 0)
        self.command(GROUPS[0], set(MEMBERS[:2]), set(), "Team")
        self.source_answers()
        self.command(GROUPS[1], {MEMBERS[0], MEMBERS[3]}, set(), None)

    def teardown(self) -> None:
        if not hasattr(self, "core"):
            return
        try:
            self._converge()
        finally:
            self._stack.close()

    # The vendor

    @rule(group=groups, added=some, removed=some, name=st.none() | names)
    def command(
        self, group: bytes, added: set[bytes], removed: set[bytes], name: str | None
    ) -> None:
        """On the present base. Who leaves is out of the epoch when the answer comes (I5)."""
        removed = removed - added
        if name is not None:
            self._note_name(group, name)
        answer = self._send(group, added, removed, name)
        assert answer.outcome in {Outcome.DONE, Outcome.DELAYED}, answer
        self._watch()
        model = self.model.groups[group]
        self._check_out(group, removed)
        self._rest()
        assert added <= model.roster
        assert not removed & model.roster

    @rule(group=groups, members_=some)
    def remove(self, group: bytes, members_: set[bytes]) -> None:
        self.command(group, set(), members_, None)

    @rule(group=groups, member=members, number=numbers)
    def lost_envelope(self, group: bytes, member: bytes, number: int) -> None:
        """The vendor asks for one again, of a key that has one or of one that shall not get any."""
        name = (member, self._key(member, number).key_id)
        self._send(group, set(), set(), None, needed=name)
        self._rest()

    @rule(member=members, number=numbers, added=some, removed=some)
    def commands_while_a_key_goes(
        self, member: bytes, number: int, added: set[bytes], removed: set[bytes]
    ) -> None:
        """Nobody waits in between: some of the member's epochs are closed, some are open."""
        key_id, removed = self._key(member, number).key_id, removed - added
        self.model.may_unbind = {key_id}
        self._administer(lambda: self.core.administration.unbind_key(key_id))
        for group in GROUPS:
            self._send(group, added, removed, None)
            self._watch()
            self._check_out(group, removed)
        self._rest()
        assert all(added <= self.model.groups[group].roster for group in GROUPS)
        assert not any(removed & self.model.groups[group].roster for group in GROUPS)

    @rule(number=st.integers(0, 20))
    def old_or_repeated_command(self, number: int) -> None:
        """Does nothing that the group's roster does not say already (I6)."""
        if not self.commands:
            return
        command = self.commands[-1 - number % len(self.commands)]
        before = {group: set(model.roster) for group, model in self.model.groups.items()}
        if command.base == self._position(command.group_id):
            return
        answer = self._do(lambda: self.core.writer.carried_out(command))
        assert answer.outcome is not Outcome.REFUSED
        self._rest()
        assert before == {group: model.roster for group, model in self.model.groups.items()}

    @rule(
        member=members,
        number=numbers,
        replaces=st.booleans(),
        flaw=st.sampled_from([0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7]),
        endorsed=st.booleans(),
    )
    def offer(
        self,
        member: bytes,
        number: int,
        replaces: bool,
        flaw: int,
        endorsed: bool,
        *,
        endorser: int | None = None,
    ) -> None:
        """With the evidence that the mode asks for, or with something wrong in it."""
        key = self._key(member, number)
        bound = sorted(self.model.devices(member))
        signer = self._key_of(member, bound[0]) if endorsed and bound else None
        if endorser is not None:
            signer = self._key(member, endorser)
        evidence, external_id = self._evidence(member, flaw), SUBJECTS[member]
        asked = Asked(
            member,
            key.key_id,
            key.suite_name,
            replaces,
            signer.key_id if signer else None,
            evidence,
            external_id,
        )
        offer = key.offer(self.core.keyset.organisation, asked, signer)
        expected = self.model.verdict(asked)
        self._expect_binding(asked, expected)
        answer = self._do(lambda: self.core.writer.decided(offer))
        assert _told(answer) == expected, (answer, asked)
        if expected != "refused":
            self.model.external_ids.setdefault(member, external_id)
        if expected == "waits" and self.mode is TrustMode.APPROVE:
            self.waiting[member, key.key_id] = asked
        self._rest()
        assert expected != "bound" or key.key_id in self.model.bound

    @rule(member=members, which=numbers, by=numbers)
    def member_removes_a_key(self, member: bytes, which: int, by: int) -> None:
        """Signed by a bound key of the member, or by one that is none."""
        key, signer = self._key(member, which), self._key(member, by)
        removal = key.removal(self.core.keyset.organisation, signer)
        is_known = {key.key_id, signer.key_id} <= set(self.model.devices(member))
        if is_known:
            self.model.may_unbind = {key.key_id}
        answer = self._do(lambda: self.core.writer.decided(removal))
        assert answer.unbound == (is_known or key.key_id in self.model.former), answer
        self._rest()

    # The customer's people

    @rule(member=members, number=numbers)
    def unbind(self, member: bytes, number: int) -> None:
        key_id = self._key(member, number).key_id
        is_bound = key_id in self.model.bound
        self.model.may_unbind = {key_id}
        done = self._administer(lambda: self.core.administration.unbind_key(key_id))
        self._rest()
        assert done == is_bound or key_id in self.model.former

    @rule(on=st.booleans())
    def freeze(self, on: bool) -> None:
        self.model.frozen = on
        self._administer(lambda: self.core.administration.freeze(on))
        self._rest()

    @rule(aspect=aspects)
    def change_policy(self, aspect: tuple[str, Any]) -> None:
        self._policy(*aspect)

    @rule()
    def open_policy(self) -> None:
        self.model.policy = {}
        self._policy("approvers", ["ana", "ben"])

    @rule(
        group=groups,
        member=members,
        number=numbers,
        approver=st.sampled_from(APPROVERS),
        seconds=st.sampled_from([40.0, DAY]),
    )
    def approve_into_group(
        self, group: bytes, member: bytes, number: int, approver: Approver, seconds: float
    ) -> None:
        key_id = self._key(member, number).key_id
        counts = key_id in self.model.bound
        self._sign(group, (member, key_id), approver, seconds, counts=counts)

    @precondition(lambda self: self.waiting)
    @rule(number=numbers, approver=st.sampled_from(APPROVERS), seconds=st.sampled_from([40.0, DAY]))
    def approve_key(self, number: int, approver: Approver, seconds: float) -> None:
        """A signature for a key that waits, which is bound with the last one needed."""
        name = sorted(self.waiting)[number % len(self.waiting)]
        self._sign(None, name, approver, seconds, counts=True)

    @rule(member=members, number=numbers)
    def approve_by_command(self, member: bytes, number: int) -> None:
        name = (member, self._key(member, number).key_id)
        asked = self.waiting.get(name)
        needed = self.model.policy.get("keys", {}).get("approvals", 0)
        expected = "refused" if asked is None or needed else self._verdict(asked, by_command=True)
        if asked is not None:
            self._expect_binding(asked, expected)
        done = self._administer(lambda: self.core.administration.approve_key(*name))
        self._rest()
        assert (name[1] in self.model.bound and done) or expected != "bound"

    @precondition(lambda self: self.waiting)
    @rule(number=numbers)
    def turn_down_a_key(self, number: int) -> None:
        name = sorted(self.waiting)[number % len(self.waiting)]
        self._administer(lambda: self.core.administration.refuse_key(*name))
        self.model.turned_down.add(name[1])
        del self.waiting[name]
        self._rest()

    @precondition(lambda self: self.check is MembershipCheck.ENFORCE)
    @rule(group=groups)
    def map_group(self, group: bytes) -> None:
        """To a group at the source that is nobody else's."""
        if group not in self.model.groups:
            return
        source_id = f"mapped-{group.hex()}"
        self.source.setdefault(source_id, ("Mapped", set()))
        model = self.model.groups[group]
        model.source, model.source_fault = source_id, None
        self._administer(lambda: self.core.administration.map_group(group, source_id))
        self._rest()

    # Stories: steps that chance alone seldom puts one after another

    @rule(group=groups, member=members, seconds=st.sampled_from([7.0, 65.0]), stays=st.booleans())
    def comes_back_to_a_protected_group(
        self, group: bytes, member: bytes, seconds: float, stays: bool
    ) -> None:
        """With an approval that may be over by then, and with a device that an old one let in."""
        self._policy("protected", [{"match": [{"name": "*"}], "approvals": 1}])
        approver = next(a for a in APPROVERS if a.name in self._approvers_listed())
        for key_id in self.model.devices(member):
            self._sign(group, (member, key_id), approver, 40.0, counts=True)
        self.command(group, {member}, set(), None)
        self.offer(member, 1, False, 0, True)
        if not stays:
            self.remove(group, {member})
        self.time_passes(seconds)
        self.command(group, {member}, set(), None)

    @precondition(lambda self: self.mode is TrustMode.APPROVE)
    @rule(member=members, number=numbers, seconds=st.sampled_from([7.0, 65.0]))
    def two_approvers_sign_for_a_key(self, member: bytes, number: int, seconds: float) -> None:
        """The second one when the first one's signature may be over."""
        self._policy("keys", {"approvals": 2})
        self.offer(member, number, False, 0, False)
        name = (member, self._key(member, number).key_id)
        listed = [a for a in APPROVERS if a.name in self._approvers_listed()]
        for approver in listed[:2]:
            if name in self.waiting:
                self._sign(None, name, approver, 40.0, counts=True)
                self.time_passes(seconds)

    @rule(member=members, replaces=st.booleans())
    def a_lost_device_vouches_for_a_new_one(self, member: bytes, replaces: bool) -> None:
        """Whoever found it signs with a key that is not bound any more."""
        self.offer(member, 0, False, 0, False)
        self.unbind(member, 0)
        self.offer(member, 1, replaces, 1, True, endorser=0)

    @rule(member=members, group=groups)
    def sealed_up_to_the_limit(self, member: bytes, group: bytes) -> None:
        """One an hour; each who comes and goes takes one, and who stays takes none."""
        self._policy("limits", {"seals_per_hour_per_group": 1})
        for other in MEMBERS:
            self.command(group, {other}, set(), None)
        self.remove(group, {member})
        self.command(group, {member}, set(), None)

    # The membership source

    @rule(source=st.sampled_from(["s0", "s1"]), person=members, is_in=st.booleans())
    def change_at_source(self, source: str, person: bytes, is_in: bool) -> None:
        inside = self.source[source][1]
        (inside.add if is_in else inside.discard)(SUBJECTS[person])

    @rule(source=st.sampled_from(["s0", "s1"]), name=names)
    def rename_at_source(self, source: str, name: str) -> None:
        self.source[source] = (name, self.source[source][1])

    @rule()
    def source_answers(self) -> None:
        """Everything that was asked, by what is true now."""
        self._collect()
        questions, self.questions = self.questions, []
        for question in questions:
            source_id = self._look_up(question)
            if source_id is None:
                continue
            _, inside = self.source[source_id]
            for subject in question.subjects:
                verdict = Verdict.YES if subject in inside else Verdict.NO
                self.core.answers.cache.put(source_id, subject, verdict)
                self.model.said[source_id, subject] = (subject in inside, self.clock())
            self._do(lambda group=question.group: self.core.recorder.answered(group))  # type: ignore[misc]
            self._rest()

    @rule(limited=st.booleans())
    def source_is_silent(self, limited: bool) -> None:
        self._collect()
        asked = {question.group for question in self.questions}
        self.questions = []
        reason = (
            Reason.MEMBERSHIP_SOURCE_LIMITED if limited else Reason.MEMBERSHIP_SOURCE_UNAVAILABLE
        )
        retry_at_ms = self.clock() + 20_000
        self._note(lambda: self.core.recorder.unavailable(asked, reason, retry_at_ms))

    @rule()
    def questions_are_lost(self) -> None:
        self._collect()
        self.questions = []

    @precondition(lambda self: self.check is MembershipCheck.ENFORCE)
    @rule()
    def audit(self) -> None:
        """Whoever is not in the group at the source is out of the epoch when it is said (I5)."""
        for audited in list(self.core.recorder.audited_groups()):
            name, inside = self.source[audited.source_group_id]
            self._group_found(audited.group, audited.source_group_id, name)
            gone = [member for member, subject in audited.members if subject not in inside]
            if gone:
                self._do(lambda g=audited.group, m=gone: self.core.recorder.left_at_source(g, m))  # type: ignore[misc]
                self._watch()
                self._check_out(audited.group, set(gone))
                self._rest()
                assert not self.model.groups[audited.group].roster & set(gone)

    # Time and crashes

    @rule(seconds=st.sampled_from([1.0, 7.0, 31.0, 65.0, 1900.0, 3700.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.forward(seconds)
        self._do(self.core.keep_house)
        self._rest()

    @rule()
    def restart(self) -> None:
        self._revive()

    @rule(step=st.sampled_from(STEPS))
    def die_soon(self, step: str) -> None:
        """At this step, whenever it is next reached."""
        self.core.dying_at = step

    @precondition(lambda self: type(self).mode is TrustMode.PIN)
    @rule(mode=st.sampled_from([TrustMode.PIN, TrustMode.APPROVE]))
    def change_mode(self, mode: TrustMode) -> None:
        """What the vendor's word alone has bound is not enough any more, or is again."""
        self.mode = mode  # type: ignore[misc] # of this run
        self.core.restart(self._settings(mode))
        self.model.mode = mode.name.lower()
        self.model.said.clear()
        self._rest()

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

    def _evidence(self, member: bytes, flaw: int) -> Evidence | None:
        """What is wrong with it, by number; 0: nothing."""
        if self.mode is not TrustMode.OIDC or flaw == 1:
            return None
        now_ms = self.clock()
        faults = {6: Reason.EVIDENCE_INVALID, 7: Reason.IDENTITY_PROVIDER_UNAVAILABLE}
        other = MEMBERS[(MEMBERS.index(member) + 1) % len(MEMBERS)]
        return Evidence(
            SUBJECTS[other if flaw == 2 else member],
            now_ms - (500_000_000 if flaw == 3 else 0),
            now_ms - (600_000 if flaw == 5 else 0),
            None if flaw == 4 else "mfa",
            faults.get(flaw),
        )

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

    def _send(
        self,
        group: bytes,
        added: set[bytes],
        removed: set[bytes],
        name: str | None,
        *,
        needed: Name | None = None,
    ) -> Answer:
        def send() -> Answer:
            command = GroupCommand(
                group,
                self._position(group),
                tuple(sorted(added)),
                tuple(sorted(removed)),
                (needed,) if needed else (),
                name=None if name is None else (name, ""),
            )
            self.commands.append(command)
            answer = self.core.writer.carried_out(command)
            # A rotation was faster: once more on top of it, as the worker does.
            return send() if answer.outcome is Outcome.BASE_MISMATCH else answer

        return self._do(send)

    def _position(self, group: bytes) -> int | None:
        self._watch()
        state = self.copy.projection.group_state(group)
        return state.last_position if state else None

    def _note_name(self, group: bytes, name: str) -> None:
        self.model.groups.setdefault(group, ModelGroup()).names.add(name)

    def _sign(
        self, group: bytes | None, name: Name, approver: Approver, seconds: float, *, counts: bool
    ) -> None:
        expires_ms = self.clock() + round(seconds * 1000)
        organisation = self.core.keyset.organisation
        statement = ApprovalStatement(organisation, group, *name, expires_ms)
        signature = approver.sign(statement)
        if counts and approver.name in self._approvers_listed():
            place = (group, *name, approver.public_key)
            kept = self.model.approvals.get(place, 0) if group else 0
            self.model.approvals[place] = max(kept, expires_ms)
            if group is None:
                asked = self.waiting[name]
                self._expect_binding(asked, self._verdict(asked))
        self._administer(
            lambda: self.core.administration.add_approval(statement, approver.public_key, signature)
        )
        self._rest()

    def _approvers_listed(self) -> set[str]:
        return {each["name"] for each in self.model.policy["approvers"]}

    def _administer(self, act: Callable[[], object]) -> bool:
        """Whether it was done."""

        def done() -> bool:
            try:
                act()
            except AdministrationError:
                return False
            return True

        return self._do(done)

    def _collect(self) -> None:
        self.questions += self.core.answers.questions
        self.core.answers.questions.clear()

    def _look_up(self, question: Question) -> str | None:
        """What the source has for the group; tells the service as the checker does."""
        source_id = question.source_group_id
        if source_id is None:
            found = [i for i, (name, _) in self.source.items() if name == question.group_name]
            if len(found) != 1:
                reason = Reason.GROUP_AMBIGUOUS if found else Reason.GROUP_NOT_AT_SOURCE
                self.model.groups[question.group].source_fault = reason
                self._note(lambda: self.core.recorder.group_not_found(question.group, reason))
                return None
            source_id = found[0]
        self._group_found(question.group, source_id, self.source[source_id][0])
        return source_id

    def _note(self, call: Callable[[], None]) -> None:
        """Changes what is said of holds, without looking whether anything else holds them."""
        self.is_noting = True
        self._do(call)
        self._rest()
        self.is_noting = False

    def _group_found(self, group: bytes, source_id: str, name: str) -> None:
        model = self.model.groups[group]
        others = [g for i, g in self.model.groups.items() if i != group and g.roster]
        if model.source in {None, source_id}:
            if any(each.source == source_id for each in others):
                model.source_fault = Reason.GROUP_AMBIGUOUS
            else:
                model.source, model.source_fault = source_id, None
                model.names.add(name)
        self._do(lambda: self.core.recorder.group_found(group, SourceGroup(source_id, name)))
        self._rest()

    def _do(self, call: Callable[[], _T]) -> _T:
        """Carries something out; if the process dies meanwhile, it is started and asked again."""
        self.model.now_ms = self.clock()
        try:
            return call()
        except Died:
            self._revive()
            return call()

    def _revive(self) -> None:
        self._collect()
        self.questions.clear()
        self.core.restart()
        self.model.said.clear()
        self._rest()

    def _rest(self) -> None:
        """Until nothing is under way; then everything must hold."""
        try:
            self.core.settle()
        except Died:
            self._revive()
            return
        self._watch()
        self.model.check_epochs()
        self._check_holds()
        self._check_listing()

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
            assert not is_new or not obstacles
            return
        if reason in UNCHECKED and UNCHECKED.intersection(obstacles):
            reason = Reason.MEMBERSHIP_UNCHECKED
        if is_new and not self.is_noting:
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

    # The end

    def _converge(self) -> None:
        """Nothing holds anybody back: exactly roster and bound keys are granted, in few rounds."""
        self.core.dying_at = None
        self.freeze(False)
        self.open_policy()
        everyone = set(SUBJECTS.values())
        for group in self.model.groups:
            if self.check is MembershipCheck.ENFORCE:
                self.source[f"mapped-{group.hex()}"] = ("Mapped", everyone)
                self.map_group(group)
        for _ in range(3):
            self.time_passes(3700.0)
            self.source_answers()
        for model in self.model.groups.values():
            left_out = self.model.due(model) - model.admitted
            assert all(self.model.is_weak(key_id) for _, key_id in left_out), self.core.holds()
        with self.core.store.reader() as connection:
            report = check_store(connection, self.core.provider)
        assert report.faults == []


def _told(answer: BindingAnswer) -> str:
    if answer.waits:
        return "waits"
    return "bound" if answer.reason is None and not answer.unbound else "refused"


@contextmanager
def _limits(*, low: bool) -> Iterator[None]:
    """`low`: what happens to large groups happens to small ones. No child processes in any case."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(wrap_pool, "_INLINE", 1000))
        if low:
            stack.enter_context(patch.object(rotation, "SMALL_GROUP", 1))
            stack.enter_context(patch.object(reconcile, "SMALL_GROUP", 1))
            stack.enter_context(patch.object(reconcile, "MAX_BATCH", 2))
            stack.enter_context(patch.object(writer, "MAX_BATCH", 2))
        yield


def _machine(mode_: TrustMode, check_: MembershipCheck) -> type[TrustMachine]:
    class Machine(TrustMachine):
        mode = mode_
        check = check_

    Machine.__name__ = f"{mode_.name}_{check_.name}"
    return Machine


MACHINES = [
    _machine(TrustMode.PIN, MembershipCheck.OFF),
    _machine(TrustMode.APPROVE, MembershipCheck.OFF),
    _machine(TrustMode.APPROVE, MembershipCheck.ENFORCE),
    _machine(TrustMode.OIDC, MembershipCheck.OFF),
    _machine(TrustMode.OIDC, MembershipCheck.ENFORCE),
]
_PROFILE = settings(
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
each_machine = pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.__name__.lower())


@each_machine
def test_only_what_is_allowed_is_granted_and_the_rest_is_held(machine: type[TrustMachine]) -> None:
    """A few examples, for every run of the tests."""
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    profile = settings(_PROFILE, max_examples=8, stateful_step_count=25, phases=phases)
    run_state_machine_as_test(machine, settings=profile)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@each_machine
def test_the_same_of_very_many_interleavings(machine: type[TrustMachine]) -> None:
    profile = settings(_PROFILE, max_examples=300, stateful_step_count=50)
    run_state_machine_as_test(machine, settings=profile)
