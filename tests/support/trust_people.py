"""What the customer's own people do in a run: policy, freezes, approvals, lost keys."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
)

from groupseal.approvals import ApprovalStatement
from tests.support.policies import Approver
from tests.support.trust_model import Name
from tests.support.trust_run import APPROVERS, DAY, aspects, groups, members, numbers
from tests.support.trust_source import SourceRules


class PeopleRules(SourceRules):
    """By the commands on the service's socket, and the policy's file."""

    @rule(member=members, number=numbers)
    def unbind(self, member: bytes, number: int) -> None:
        key_id = self._key(member, number).key_id
        is_bound = key_id in self.model.bound
        self.model.may_unbind = {key_id}
        done = self._administer(lambda: self.core.administration.unbind_key(key_id))
        self._rest()
        assert done == is_bound or key_id in self.model.former
        assert key_id not in self.model.bound

    @rule(on=st.booleans())
    def freeze(self, on: bool) -> None:
        self._administer(lambda: self.core.administration.freeze(on))
        self.model.frozen = on
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
            # What vouched for the key when it was offered is not kept: the approver does.
            self._expect_binding(replace(asked, endorser=None), expected)
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
