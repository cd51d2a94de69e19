"""Everything that can happen to an organisation, as rules that Hypothesis interleaves."""

import sys

from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
)

from encryption_service.fsck import check_store
from groupseal.trust import MembershipCheck, TrustMode
from tests.support.policies import Approver
from tests.support.trust_run import (
    APPROVERS,
    GROUPS,
    MEMBERS,
    STEPS,
    SUBJECTS,
    groups,
    members,
    numbers,
)
from tests.support.trust_vendor import VendorRules


class TrustMachine(VendorRules):
    """Begins with some groups; whatever happened, ends with everybody let in who may be."""

    @initialize(low_limits=st.booleans())
    def begin(self, low_limits: bool) -> None:
        """Everybody has a key, two groups have members."""
        self._start(low_limits=low_limits)
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
            # After a failure there is nothing to converge, and only its own error tells of it.
            if sys.exc_info()[0] is None:
                self._converge()
        finally:
            self._stack.close()

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

    @rule(step=st.sampled_from(["planned", "sealed", "before commit", "epoch closed"]))
    def fail_soon(self, step: str) -> None:
        """What was done in the transaction until then counts for nothing."""
        self.core.failing_at = step

    @precondition(lambda self: type(self).mode is TrustMode.PIN)
    @rule(mode=st.sampled_from([TrustMode.PIN, TrustMode.APPROVE]))
    def change_mode(self, mode: TrustMode) -> None:
        """What the vendor's word alone has bound is not enough any more, or is again."""
        self.mode = mode  # type: ignore[misc] # of this run
        self.core.restart(self._settings(mode))
        self.model.mode = mode.name.lower()
        self.model.said.clear()
        self._rest()

    # Stories: steps that chance alone seldom puts one after another

    @rule(
        group=groups,
        member=members,
        seconds=st.sampled_from([7.0, 65.0]),
        stays=st.booleans(),
        approver=st.sampled_from(APPROVERS[:2]),
    )
    def comes_back_to_a_protected_group(
        self, group: bytes, member: bytes, seconds: float, stays: bool, approver: Approver
    ) -> None:
        """With an approval that may be over by then, and with a device that an old one let in."""
        rule_ = {"match": [{"name": "*"}], "approvals": 1, "approvers": ["ben"]}
        self._policy("protected", [rule_])
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

    @precondition(lambda self: self.mode is TrustMode.OIDC)
    @rule(member=members, number=numbers, replaces=st.booleans(), flaw=st.integers(1, 7))
    def a_stolen_account_brings_a_key(
        self, member: bytes, number: int, replaces: bool, flaw: int
    ) -> None:
        """With evidence that does not suffice, although that of the member's own key did."""
        self._policy("evidence", {"required_acr": ["mfa"]})
        self.offer(member, 0, False, 0, False)
        self.offer(member, number, replaces, flaw, False)

    @precondition(lambda self: self.mode is TrustMode.APPROVE)
    @rule(member=members, number=numbers)
    def a_waiting_key_is_offered_for_something_else(self, member: bytes, number: int) -> None:
        """What one approver signed for is not what is asked for then, whatever suffices by then."""
        self._policy("keys", {"approvals": 2})
        self.offer(member, number, False, 0, False)
        name = (member, self._key(member, number).key_id)
        if name in self.waiting:
            self._sign(None, name, APPROVERS[1], 40.0, counts=True)
        self._policy("keys", {"approvals": 1})
        self.offer(member, number, True, 0, False)

    @rule(group=groups, member=members, allows=st.booleans())
    def a_group_is_renamed_to_escape(self, group: bytes, member: bytes, allows: bool) -> None:
        """A name that is allowed does not wash off the one that is not."""
        rules = {"allow": [{"name": "Team*"}]} if allows else {"deny": [{"name": "Board"}]}
        self._policy("groups", rules)
        self.command(group, {member}, set(), "Board")
        self.remove(group, {member})
        self.command(group, {member}, set(), "Team")

    @precondition(lambda self: self.check is MembershipCheck.ENFORCE)
    @rule(member=members)
    def leaves_at_the_source_alone(self, member: bytes) -> None:
        """The next audit takes the epoch back, although the vendor says nothing."""
        self.source_answers()
        for source in ("s0", "s1"):
            self.change_at_source(source, member, False)
        self.audit()

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

    # The end

    def _converge(self) -> None:
        """Nothing holds anybody back: exactly roster and bound keys are granted, in few rounds."""
        self.core.dying_at = self.core.failing_at = None
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
