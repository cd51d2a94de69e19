"""The membership source of a run: what is true there, what it says, and when it says nothing."""

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
)

from encryption_service.admission import Question
from encryption_service.membership.cache import Verdict
from encryption_service.membership.source import SourceGroup
from groupseal.reasons import Reason
from groupseal.trust import MembershipCheck
from tests.support.trust_run import SUBJECTS, TrustRun, groups, members, names


class SourceRules(TrustRun):
    """The membership checker's part is played here, on what the core asked."""

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
