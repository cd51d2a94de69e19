"""What the vendor sends in a run: commands, keys that members offer or remove."""

from hypothesis import strategies as st
from hypothesis.stateful import (
    rule,
)

from encryption_service.bindings import BindingAnswer
from encryption_service.reconcile import Answer, GroupCommand, Outcome
from groupseal.reasons import Reason
from groupseal.trust import TrustMode
from tests.support.trust_model import Asked, Evidence, ModelGroup, Name
from tests.support.trust_people import PeopleRules
from tests.support.trust_run import GROUPS, MEMBERS, SUBJECTS, groups, members, names, numbers, some


class VendorRules(PeopleRules):
    """On the present base as the worker does, on an old one, once more, or in between."""

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
        waiting = self.waiting.get((member, key.key_id))
        if waiting is not None and waiting.replaces != replaces:
            self.model.forget_key_approvals(member)
        is_new = key.key_id not in self.model.bound
        expected = self._verdict(asked)
        self._expect_binding(asked, expected)
        answer = self._do(lambda: self.core.writer.decided(offer))
        assert _told(answer) == expected, (answer, asked)
        if expected != "refused":
            self.model.external_ids.setdefault(member, external_id)
        if expected == "waits" and self.mode is TrustMode.APPROVE:
            self.waiting[member, key.key_id] = asked
        self._rest()
        assert expected != "bound" or key.key_id in self.model.bound
        if expected == "bound" and is_new and replaces:
            assert self.model.devices(member) == [key.key_id]

    @rule(member=members, which=numbers, by=numbers, is_other=st.booleans())
    def member_removes_a_key(self, member: bytes, which: int, by: int, is_other: bool) -> None:
        """Signed by a bound key of the member, by one that is none, or by somebody else's."""
        key = self._key(member, which)
        signer = self._key(MEMBERS[0] if is_other else member, by)
        removal = key.removal(self.core.keyset.organisation, signer)
        is_known = {key.key_id, signer.key_id} <= set(self.model.devices(member))
        if is_known:
            self.model.may_unbind = {key.key_id}
        answer = self._do(lambda: self.core.writer.decided(removal))
        assert answer.unbound == (is_known or key.key_id in self.model.former), answer
        self._rest()
        assert not is_known or key.key_id in self.model.former

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

    def _note_name(self, group: bytes, name: str) -> None:
        self.model.groups.setdefault(group, ModelGroup()).names.add(name)


def _told(answer: BindingAnswer) -> str:
    if answer.waits:
        return "waits"
    return "bound" if answer.reason is None and not answer.unbound else "refused"
