"""The audit of those who are granted already, against the stand-in for Okta's API."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from encryption_service.membership.cache import Verdict
from encryption_service.membership.checker import MembershipChecker
from encryption_service.membership.okta import OktaSource
from encryption_service.membership.source import SourceGroup
from groupseal.reasons import Reason
from tests.service.membership.conftest import AUDIT_MS, GROUP, MakeChecker, Time
from tests.support.membership_events import Listener, member_id
from tests.support.okta_api import OktaApi
from tests.support.stand_in_server import Request
from tests.support.waiting import wait_for


@dataclass
class Audited:
    """A group at Okta, and the same group here with all its members granted."""

    okta: OktaApi
    events: Listener
    id: str
    people: list[str]

    @property
    def granted(self) -> set[str]:
        return self.events.subjects(GROUP)


@pytest.fixture
def finance(okta: OktaApi, events: Listener) -> Audited:
    people = sorted(okta.add_user() for _ in range(okta.page * 2))
    group_id = okta.add_group("Finance", people)
    events.keep(GROUP, group_id, "Finance", people)
    return Audited(okta, events, group_id, people)


class TestWhoLeft:
    def test_is_told_to_the_service(self, finance: Audited, checker: MembershipChecker) -> None:
        finance.okta.leave(finance.id, finance.people[1])
        result = checker.audit_now()
        assert finance.events.heard == [("left_at_source", GROUP, (member_id(finance.people[1]),))]
        assert (result.groups, result.left, result.failed) == (1, 1, set())
        [finding] = checker.findings
        assert (finding.group, finding.reason) == (GROUP, Reason.NOT_IN_SOURCE_GROUP)
        assert finding.members == (member_id(finance.people[1]),)

    @pytest.mark.parametrize("status", ["DEPROVISIONED", "SUSPENDED"])
    def test_is_also_who_cannot_sign_in_any_more(
        self, finance: Audited, checker: MembershipChecker, status: str
    ) -> None:
        finance.okta.set_status(finance.people[0], status)
        checker.audit_now()
        assert finance.granted == set(finance.people[1:])

    def test_is_also_who_was_deleted(self, finance: Audited, checker: MembershipChecker) -> None:
        finance.okta.delete_user(finance.people[0])
        checker.audit_now()
        assert finance.granted == set(finance.people[1:])

    def test_has_no_verdict_left_that_would_let_them_in_again(
        self, finance: Audited, checker: MembershipChecker
    ) -> None:
        ada = finance.people[0]
        checker.ask(GROUP, finance.id, "Finance", [ada])
        checker.answer_due()
        finance.okta.leave(finance.id, ada)
        assert checker.verdicts(finance.id, [ada]) == {ada: Verdict.YES}
        checker.audit_now()
        assert checker.verdicts(finance.id, [ada]) == {ada: Verdict.NO}

    def test_is_only_listed_when_the_check_observes(
        self, finance: Audited, make_checker: MakeChecker
    ) -> None:
        checker = make_checker(enforce=False)
        finance.okta.leave(finance.id, finance.people[1])
        checker.audit_now()
        assert finance.events.heard == []
        assert [finding.members for finding in checker.findings] == [
            (member_id(finance.people[1]),)
        ]
        assert checker.status.members_left == 1
        finance.okta.join(finance.id, finance.people[1])
        checker.audit_now()
        assert checker.findings == ()


class TestNobodyIsTakenOff:
    def test_who_is_in_the_group(
        self, finance: Audited, checker: MembershipChecker, clock: Time
    ) -> None:
        checker.audit_now()
        assert finance.events.heard == []
        assert checker.last_audit_ms == clock()

    def test_who_was_missing_on_a_page_alone(
        self, finance: Audited, checker: MembershipChecker
    ) -> None:
        """Somebody who is moved while the pages are read may be on none of them."""

        def be_elsewhere(request: Request) -> None:
            listed = request.path.endswith("/users")
            (finance.okta.leave if listed else finance.okta.join)(finance.id, finance.people[-1])

        finance.okta.before_reply = be_elsewhere
        checker.audit_now()
        assert finance.events.heard == []

    @pytest.mark.parametrize("good", range(5))
    def test_when_the_audit_fails_part_way(
        self, finance: Audited, checker: MembershipChecker, good: int
    ) -> None:
        """At each of its requests in turn: the group, two pages, one user, the group again."""
        finance.okta.leave(finance.id, finance.people[0])
        finance.okta.failing, finance.okta.failing_after = 500, good
        result = checker.audit_now()
        assert result.failed == {GROUP}
        assert finance.events.heard == []
        assert checker.last_audit_ms is None
        finance.okta.failing = None
        checker.audit_now()
        assert finance.granted == set(finance.people[1:])

    def test_when_a_page_is_no_answer_of_okta_s(
        self, finance: Audited, checker: MembershipChecker
    ) -> None:
        finance.okta.wrong_json = True
        assert checker.audit_now().failed == {GROUP}
        assert finance.events.heard == []

    def test_when_the_group_is_gone(self, finance: Audited, checker: MembershipChecker) -> None:
        finance.okta.delete_group(finance.id)
        checker.audit_now()
        assert finance.events.heard == [("group_not_found", GROUP, Reason.GROUP_NOT_AT_SOURCE)]
        assert [finding.reason for finding in checker.findings] == [Reason.GROUP_NOT_AT_SOURCE]

    def test_when_the_credential_may_not_see_the_group(
        self, finance: Audited, checker: MembershipChecker
    ) -> None:
        finance.okta.visible_groups = set()
        checker.audit_now()
        assert finance.events.of("left_at_source") == []
        finance.okta.visible_groups = None
        checker.audit_now()
        assert finance.events.heard[-1] == (
            "group_found",
            GROUP,
            SourceGroup(finance.id, "Finance"),
        )
        assert checker.findings == ()

    def test_when_the_group_is_deleted_while_it_is_audited(
        self, finance: Audited, checker: MembershipChecker
    ) -> None:
        finance.okta.leave(finance.id, finance.people[0])

        def delete(request: Request) -> None:
            if "/users/" in request.path and finance.id in finance.okta.groups:
                finance.okta.delete_group(finance.id)

        finance.okta.before_reply = delete
        checker.audit_now()
        assert finance.events.of("left_at_source") == []

    @pytest.mark.parametrize("right", ["okta.groups.read", "token"])
    def test_when_the_credential_lost_its_rights(
        self, finance: Audited, checker: MembershipChecker, right: str
    ) -> None:
        if right == "token":
            finance.okta.api_tokens = set()
        else:
            finance.okta.forbidden_groups = {finance.id}
        assert checker.audit_now().failed == {GROUP}
        assert finance.events.heard == []


class TestTheGroup:
    def test_that_was_renamed_is_told_with_its_id(
        self, finance: Audited, checker: MembershipChecker
    ) -> None:
        finance.okta.rename(finance.id, "Finance & Tax")
        checker.audit_now()
        checker.audit_now()
        assert finance.events.heard == [
            ("group_found", GROUP, SourceGroup(finance.id, "Finance & Tax"))
        ]

    def test_whose_name_another_one_took_keeps_its_id(
        self, finance: Audited, checker: MembershipChecker
    ) -> None:
        finance.okta.rename(finance.id, "Old")
        finance.okta.add_group("Finance")
        checker.audit_now()
        assert finance.events.heard == [("group_found", GROUP, SourceGroup(finance.id, "Old"))]

    def test_that_fails_does_not_keep_the_others_from_being_audited(
        self, finance: Audited, checker: MembershipChecker
    ) -> None:
        other = b"another group 16"
        legal = finance.okta.add_group("Legal", finance.people[:1])
        finance.events.keep(other, legal, "Legal", finance.people[:2])
        finance.okta.forbidden_groups = {finance.id}
        assert checker.audit_now().failed == {GROUP}
        assert finance.events.subjects(other) == set(finance.people[:1])

    def test_that_comes_in_parts_is_read_once(
        self, finance: Audited, checker: MembershipChecker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        finance.okta.leave(finance.id, finance.people[0])
        finance.okta.leave(finance.id, finance.people[-1])
        whole = next(finance.events.audited_groups())
        parts = [
            type(whole)(whole.group, whole.source_group_id, whole.name, whole.members[start:end])
            for start, end in ((0, 3), (3, 6))
        ]
        monkeypatch.setattr(finance.events, "audited_groups", lambda: iter(parts))
        checker.audit_now()
        [finding] = checker.findings
        assert set(finding.members) == {member_id(finance.people[0]), member_id(finance.people[-1])}
        assert finance.okta.paths().count(f"/api/v1/groups/{finance.id}/users") == 2


class TestSchedule:
    @pytest.fixture
    def running(self, make_checker: MakeChecker) -> Iterator[MembershipChecker]:
        checker = make_checker()
        checker.start()
        yield checker
        checker.stop()

    def test_every_group_is_audited_in_each_period(
        self, finance: Audited, running: MembershipChecker, clock: Time
    ) -> None:
        clock.pass_seconds(3)
        wait_for(lambda: running.last_audit_ms, 10, "a first audit")
        finance.okta.leave(finance.id, finance.people[0])
        finance.okta.refill_limits()
        clock.pass_seconds(AUDIT_MS / 1000)
        wait_for(lambda: finance.events.of("left_at_source"), 10, "the next audit")
        assert finance.granted == set(finance.people[1:])

    def test_an_audit_that_failed_is_repeated_within_a_minute(
        self, finance: Audited, running: MembershipChecker, clock: Time
    ) -> None:
        finance.okta.leave(finance.id, finance.people[0])
        finance.okta.forbidden_groups = {finance.id}
        clock.pass_seconds(3)
        wait_for(lambda: running.status.fault, 10, "a fault")
        finance.okta.forbidden_groups = set()
        clock.pass_seconds(61)
        wait_for(lambda: finance.events.of("left_at_source"), 10, "the audit")

    def test_audits_leave_room_for_checks(
        self, finance: Audited, running: MembershipChecker, okta_source: OktaSource, clock: Time
    ) -> None:
        """Half of a limit is not theirs: they wait, and a check goes through."""
        finance.okta.limit = 10
        for _ in range(5):
            okta_source.group(finance.id)
        asked = len(finance.okta.requests)
        clock.pass_seconds(3)
        ada = finance.okta.add_user()
        running.ask(GROUP, finance.id, "Finance", [ada])
        wait_for(lambda: running.verdicts(finance.id, [ada]), 10, "a verdict")
        assert not [path for path in finance.okta.paths()[asked:] if path.endswith("/users")]
        clock.pass_seconds(61)
        finance.okta.refill_limits()
        wait_for(lambda: running.last_audit_ms, 10, "the audit")
