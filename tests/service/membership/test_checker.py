"""The membership check: verdicts, questions, faults; against the stand-in for Okta's API."""

import threading
import time
from collections.abc import Iterator

import pytest

from encryption_service.membership.answering import FEW
from encryption_service.membership.cache import Verdict, VerdictCache
from encryption_service.membership.checker import MembershipChecker
from encryption_service.membership.source import SourceGroup
from groupseal.reasons import Reason
from tests.service.membership.conftest import CACHE_MS, GROUP, RECHECK_MS, MakeChecker, Time
from tests.support.membership_events import Listener
from tests.support.okta_api import OktaApi
from tests.support.waiting import wait_for


def ask(checker: MembershipChecker, source_group_id: str | None, *subjects: str) -> None:
    checker.ask(GROUP, source_group_id, "Finance", subjects)
    checker.answer_due()


class TestVerdicts:
    def test_of_a_few_take_a_question_for_each(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener
    ) -> None:
        ada, bob = okta.add_user(), okta.add_user()
        finance = okta.add_group("Finance", [ada])
        assert checker.verdicts(finance, [ada, bob]) == {}
        ask(checker, finance, ada, bob)
        assert checker.verdicts(finance, [ada, bob]) == {ada: Verdict.YES, bob: Verdict.NO}
        assert events.of("answered") == [(GROUP,)]
        assert f"/api/v1/groups/{finance}/users" not in okta.paths()

    def test_of_many_take_the_whole_list_once(
        self, okta: OktaApi, checker: MembershipChecker
    ) -> None:
        okta.page = 5
        people = [okta.add_user() for _ in range(FEW + 2)]
        finance = okta.add_group("Finance", people[1:])
        ask(checker, finance, *people)
        verdicts = checker.verdicts(finance, people)
        assert verdicts == {people[0]: Verdict.NO} | dict.fromkeys(people[1:], Verdict.YES)
        assert okta.paths() == [f"/api/v1/groups/{finance}/users"] * 3

    def test_that_are_fresh_are_not_asked_for_again(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener
    ) -> None:
        ada = okta.add_user()
        finance = okta.add_group("Finance", [ada])
        ask(checker, finance, ada)
        asked = len(okta.requests)
        ask(checker, finance, ada)
        assert len(okta.requests) == asked
        assert len(events.of("answered")) == 2

    def test_a_yes_ends_with_the_cache_time(
        self, okta: OktaApi, checker: MembershipChecker, clock: Time
    ) -> None:
        ada = okta.add_user()
        finance = okta.add_group("Finance", [ada])
        ask(checker, finance, ada)
        clock.pass_seconds(CACHE_MS / 1000 - 1)
        assert checker.verdicts(finance, [ada]) == {ada: Verdict.YES}
        clock.pass_seconds(2)
        assert checker.verdicts(finance, [ada]) == {}

    def test_a_clock_that_is_set_back_makes_none_last(
        self, okta: OktaApi, checker: MembershipChecker, clock: Time
    ) -> None:
        ada = okta.add_user()
        finance = okta.add_group("Finance", [ada])
        ask(checker, finance, ada)
        clock.pass_seconds(-3600)
        assert checker.verdicts(finance, [ada]) == {}

    def test_a_no_ends_sooner_so_that_the_grant_follows(
        self, okta: OktaApi, checker: MembershipChecker, clock: Time
    ) -> None:
        ada = okta.add_user()
        finance = okta.add_group("Finance")
        ask(checker, finance, ada)
        assert checker.verdicts(finance, [ada]) == {ada: Verdict.NO}
        okta.join(finance, ada)
        clock.pass_seconds(RECHECK_MS / 1000 + 1)
        assert checker.verdicts(finance, [ada]) == {}
        ask(checker, finance, ada)
        assert checker.verdicts(finance, [ada]) == {ada: Verdict.YES}

    def test_are_forgotten_of_whoever_was_taken_off(
        self, okta: OktaApi, checker: MembershipChecker
    ) -> None:
        """Neither an answer nor a list from before counts for who is added again."""
        okta.page = 5
        people = [okta.add_user() for _ in range(FEW + 2)]
        finance = okta.add_group("Finance", people)
        ask(checker, finance, *people)
        checker.forget(finance, people[:1])
        assert checker.verdicts(finance, people) == dict.fromkeys(people[1:], Verdict.YES)
        okta.leave(finance, people[0])
        ask(checker, finance, people[0])
        assert checker.verdicts(finance, people[:1]) == {people[0]: Verdict.NO}

    def test_of_a_listing_under_way_do_not_count_for_the_forgotten(self, clock: Time) -> None:
        cache = VerdictCache(clock, CACHE_MS, RECHECK_MS)
        begun = clock()
        clock.pass_seconds(0.01)
        cache.put("g", "bob", Verdict.YES)
        cache.forget("g", ["ada"])
        cache.put_list("g", ["ada", "bob"], begun_ms=begun)
        assert cache.verdicts("g", ["ada", "bob"]) == {"bob": Verdict.YES}

    def test_of_one_group_say_nothing_about_another(
        self, okta: OktaApi, checker: MembershipChecker
    ) -> None:
        ada = okta.add_user()
        finance, legal = okta.add_group("Finance", [ada]), okta.add_group("Legal")
        ask(checker, finance, ada)
        assert checker.verdicts(legal, [ada]) == {}

    def test_of_ten_thousand_are_looked_up_in_no_time(self, clock: Time) -> None:
        cache = VerdictCache(clock, CACHE_MS, RECHECK_MS)
        people = [f"00u{number:017}" for number in range(10_000)]
        cache.put_list("group", people, begun_ms=clock())
        cache.put("group", people[0], Verdict.NO)
        begun = time.thread_time()
        verdicts = cache.verdicts("group", people)
        assert time.thread_time() - begun < 0.25
        assert list(verdicts.values()).count(Verdict.YES) == 9_999

    def test_a_single_answer_that_came_during_a_listing_is_the_newer_one(self, clock: Time) -> None:
        """Whoever left while the list was read is out, whatever its first page said."""
        cache = VerdictCache(clock, CACHE_MS, RECHECK_MS)
        begun = clock()
        clock.pass_seconds(1)
        cache.put("group", "ada", Verdict.NO)
        clock.pass_seconds(1)
        cache.put_list("group", ["ada", "bob"], begun_ms=begun)
        assert cache.verdicts("group", ["ada", "bob"]) == {"ada": Verdict.NO, "bob": Verdict.YES}


class TestTheGroupItself:
    def test_is_found_by_its_name_at_the_first_question(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener
    ) -> None:
        ada = okta.add_user()
        finance = okta.add_group("Finance", [ada])
        ask(checker, None, ada)
        assert events.heard == [
            ("group_found", GROUP, SourceGroup(finance, "Finance")),
            ("answered", GROUP),
        ]
        assert checker.verdicts(finance, [ada]) == {ada: Verdict.YES}

    def test_that_shares_its_name_waits_to_be_mapped(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener, clock: Time
    ) -> None:
        ada = okta.add_user()
        groups = [okta.add_group("Finance", [ada]) for _ in range(2)]
        ask(checker, None, ada)
        assert events.heard == [("group_not_found", GROUP, Reason.GROUP_AMBIGUOUS)]
        clock.pass_seconds(3600)
        asked = len(okta.requests)
        checker.answer_due()
        assert len(okta.requests) == asked
        ask(checker, groups[1], ada)
        assert events.heard[-1] == ("answered", GROUP)

    def test_that_is_not_there_yet_is_looked_for_again(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener, clock: Time
    ) -> None:
        ada = okta.add_user()
        ask(checker, None, ada)
        assert events.heard == [("group_not_found", GROUP, Reason.GROUP_NOT_AT_SOURCE)]
        finance = okta.add_group("Finance", [ada])
        clock.pass_seconds(RECHECK_MS / 1000 - 1)
        checker.answer_due()
        assert len(events.heard) == 1
        clock.pass_seconds(2)
        checker.answer_due()
        assert ("group_found", GROUP, SourceGroup(finance, "Finance")) in events.heard
        assert checker.verdicts(finance, [ada]) == {ada: Verdict.YES}

    def test_that_was_deleted_says_so_and_no_no(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener
    ) -> None:
        """Whether few or many are asked about."""
        people = [okta.add_user() for _ in range(FEW + 1)]
        for asked in (people[:1], people):
            events.heard.clear()
            ask(checker, "00gdeleted", *asked)
            assert events.heard == [("group_not_found", GROUP, Reason.GROUP_NOT_AT_SOURCE)]

    def test_that_was_gone_and_is_back_says_so(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener, clock: Time
    ) -> None:
        """Whoever heard that it is gone has to hear that it is there, before any verdict."""
        ada = okta.add_user()
        ask(checker, "00gcomesback", ada)
        okta.add_group("Finance", [ada], group_id="00gcomesback")
        clock.pass_seconds(RECHECK_MS / 1000)
        checker.answer_due()
        assert events.heard[1:] == [
            ("group_found", GROUP, SourceGroup("00gcomesback", "Finance")),
            ("answered", GROUP),
        ]

    def test_is_looked_up_by_its_id_when_nobody_is_asked_about(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener, clock: Time
    ) -> None:
        """As after it was gone: the pinned id counts, not the name."""
        ask(checker, "00gcomesback")
        assert events.heard == [("group_not_found", GROUP, Reason.GROUP_NOT_AT_SOURCE)]
        okta.add_group("Renamed", group_id="00gcomesback")
        clock.pass_seconds(RECHECK_MS / 1000)
        checker.answer_due()
        found = SourceGroup("00gcomesback", "Renamed")
        assert ("group_found", GROUP, found) in events.heard

    def test_without_a_name_is_not_looked_for(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener
    ) -> None:
        checker.ask(GROUP, None, "", ["00u-ada"])
        checker.answer_due()
        assert events.heard == [("group_not_found", GROUP, Reason.GROUP_NOT_AT_SOURCE)]
        assert okta.requests == []


class TestFaults:
    def test_say_why_and_until_when_and_the_answer_follows(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener, clock: Time
    ) -> None:
        ada = okta.add_user()
        finance = okta.add_group("Finance", [ada])
        okta.failing = 503
        ask(checker, finance, ada)
        [(groups, reason, retry_at)] = events.of("unavailable")
        assert (groups, reason) == ((GROUP,), Reason.MEMBERSHIP_SOURCE_UNAVAILABLE)
        assert clock() < retry_at <= clock() + 1_000
        assert checker.verdicts(finance, [ada]) == {}
        assert "503" in checker.status.fault
        okta.failing = None
        clock.ms = retry_at
        checker.answer_due()
        assert checker.verdicts(finance, [ada]) == {ada: Verdict.YES}
        assert checker.status.fault == ""

    def test_back_off_longer_each_time_up_to_half_a_minute(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener, clock: Time
    ) -> None:
        okta.failing = 500
        checker.ask(GROUP, "00gany", "Finance", ["00uada"])
        waits = []
        for _ in range(12):
            checker.answer_due()
            waits.append(events.of("unavailable")[-1][2] - clock())
            clock.ms += waits[-1]
        assert waits[0] <= 1_000
        assert 15_000 <= waits[-1] <= 30_000

    def test_of_a_silent_source_cost_one_time_out_for_all_groups(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener
    ) -> None:
        """Other groups are told at once, without asking a source that does not answer."""
        okta.silent = True
        groups = [bytes([number]) * 16 for number in range(20)]
        for group in groups:
            checker.ask(group, "00gany", "Finance", ["00uada"])
        checker.answer_due()
        assert len(okta.requests) == 1
        assert {g for told, *_ in events.of("unavailable") for g in told} == set(groups)
        assert checker.status.waiting == 20

    def test_whoever_asks_during_the_wait_hears_of_it(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener
    ) -> None:
        okta.failing = 500
        ask(checker, "00gany", "00uada")
        [first] = events.of("unavailable")
        ask(checker, "00gany", "00ubob")
        assert events.of("unavailable") == [first, first]
        assert len(okta.requests) == 1

    def test_of_one_group_do_not_hold_up_the_others(
        self, okta: OktaApi, checker: MembershipChecker
    ) -> None:
        """A refusal concerns one request; it is no outage."""
        ada = okta.add_user()
        finance = okta.add_group("Finance", [ada])
        legal = okta.add_group("Legal")
        okta.forbidden_groups = {legal}
        checker.ask(b"legal's group id", legal, "Legal", [])
        checker.ask(GROUP, finance, "Finance", [ada])
        checker.answer_due()
        assert checker.verdicts(finance, [ada]) == {ada: Verdict.YES}

    def test_a_used_up_limit_has_a_reason_of_its_own(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener, clock: Time
    ) -> None:
        ada = okta.add_user()
        finance = okta.add_group("Finance", [ada])
        okta.use_up_limits()
        ask(checker, finance, ada)
        [(_, reason, retry_at)] = events.of("unavailable")
        assert reason is Reason.MEMBERSHIP_SOURCE_LIMITED
        okta.refill_limits()
        clock.ms = retry_at
        checker.answer_due()
        assert checker.verdicts(finance, [ada]) == {ada: Verdict.YES}

    def test_a_list_that_a_limit_interrupts_goes_on_where_it_was(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener, clock: Time
    ) -> None:
        """A group that takes more requests than a minute allows gets its verdicts all the same."""
        okta.page, okta.limit = 1, 5
        people = [okta.add_user() for _ in range(FEW + 3)]
        finance = okta.add_group("Finance", people)
        checker.ask(GROUP, finance, "Finance", people)
        for _ in range(10):
            checker.answer_due()
            okta.refill_limits()
            clock.pass_seconds(61)
        assert checker.status.waiting == 0
        assert okta.paths().count(f"/api/v1/groups/{finance}/users") == len(people)
        assert events.of("answered") == [(GROUP,)]

    def test_a_listener_that_fails_is_told_again(
        self, okta: OktaApi, checker: MembershipChecker, events: Listener, clock: Time
    ) -> None:
        ada = okta.add_user()
        finance = okta.add_group("Finance", [ada])
        events.raises = RuntimeError("busy")
        ask(checker, finance, ada)
        events.raises = None
        clock.pass_seconds(10)
        checker.answer_due()
        assert events.of("answered") == [(GROUP,), (GROUP,)]


class TestThreads:
    """The check as it runs: by threads of its own, by the real clock."""

    @pytest.fixture
    def running(self, make_checker: MakeChecker) -> Iterator[MembershipChecker]:
        checker = make_checker()
        checker.start()
        yield checker
        checker.stop()

    def test_ask_returns_before_there_is_an_answer(
        self, okta: OktaApi, running: MembershipChecker
    ) -> None:
        ada = okta.add_user()
        finance = okta.add_group("Finance", [ada])
        with okta.lock:
            running.ask(GROUP, finance, "Finance", [ada])
            assert running.verdicts(finance, [ada]) == {}
        wait_for(lambda: running.verdicts(finance, [ada]), 10, "a verdict")

    def test_questions_about_one_group_become_one(
        self, okta: OktaApi, running: MembershipChecker
    ) -> None:
        people = [okta.add_user() for _ in range(3)]
        finance = okta.add_group("Finance", people)
        with okta.lock:
            running.ask(GROUP, finance, "Finance", people)
            for _ in range(200):
                running.ask(GROUP, finance, "Finance", people)
        wait_for(lambda: running.status.waiting == 0, 10, "all questions answered")
        assert len(okta.requests) == 2 * len(people)

    def test_no_more_than_two_requests_at_a_time(
        self, okta: OktaApi, running: MembershipChecker
    ) -> None:
        finance = okta.add_group("Finance")
        okta.silent = True
        for number in range(20):
            running.ask(bytes([number]) * 16, finance, "Finance", [f"00u{number}"])
        wait_for(lambda: len(okta.requests) >= 2, 10, "requests on their way")
        assert running.status.waiting == 20
        assert len(okta.requests) == 2

    def test_stopping_ends_them(self, make_checker: MakeChecker) -> None:
        checker = make_checker()
        checker.start()
        checker.ask(GROUP, "00gany", "Finance", ["00uada"])
        checker.stop()
        assert not [t for t in threading.enumerate() if t.name.startswith("membership")]
