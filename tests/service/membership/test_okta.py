"""Okta as membership source, against the stand-in for its API."""

import logging
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encryption_service.membership.okta import OktaSource, next_link
from encryption_service.membership.okta_credentials import ApiToken
from encryption_service.membership.rate_limits import RateGovernor
from encryption_service.membership.secret_file import SecretFile
from encryption_service.membership.source import (
    SourceGroup,
    SourceGroupMissingError,
    SourceRefusedError,
    SourceUnavailableError,
)
from encryption_service.outbound_http import OutboundHttp
from groupseal.reasons import Reason
from tests.support.okta_api import OktaApi


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture
def source(okta: OktaApi, http: OutboundHttp, token_file: Path) -> OktaSource:
    governor = RateGovernor("okta", now_ms)
    return OktaSource(http, okta.url, ApiToken(SecretFile(token_file)), governor)


def everybody(source: OktaSource, group_id: str) -> list[str]:
    return [subject for page in source.members(group_id) for subject in page]


class TestGroupsByName:
    def test_one_is_found_by_its_exact_name(self, okta: OktaApi, source: OktaSource) -> None:
        finance = okta.add_group("Finance")
        okta.add_group("Finance Europe")
        assert source.find_groups("Finance") == [SourceGroup(finance, "Finance")]

    def test_another_spelling_is_another_group(self, okta: OktaApi, source: OktaSource) -> None:
        """Okta's own comparison ignores case."""
        okta.add_group("FINANCE")
        assert source.find_groups("Finance") == []

    def test_all_of_one_name_are_found_over_several_pages(
        self, okta: OktaApi, source: OktaSource
    ) -> None:
        made = {okta.add_group("Finance") for _ in range(okta.page * 2 + 1)}
        assert {group.id for group in source.find_groups("Finance")} == made

    @pytest.mark.parametrize(
        "name",
        ['The "A" Team', "back\\slash", 'x" or profile.name sw "', "&q=F", "Ä/ö ☂", "100 %", '\\"'],
    )
    def test_signs_of_the_query_language_in_a_name_are_only_signs(
        self, okta: OktaApi, source: OktaSource, name: str
    ) -> None:
        okta.add_group("Finance")
        group_id = okta.add_group(name)
        assert source.find_groups(name) == [SourceGroup(group_id, name)]

    @settings(
        max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30))
    def test_any_name_finds_its_group_alone(
        self, okta: OktaApi, source: OktaSource, name: str
    ) -> None:
        okta.groups.clear()
        okta.refill_limits()
        okta.add_group("another" + name)
        group_id = okta.add_group(name)
        assert source.find_groups(name) == [SourceGroup(group_id, name)]

    def test_by_id(self, okta: OktaApi, source: OktaSource) -> None:
        finance = okta.add_group("Finance")
        assert source.group(finance) == SourceGroup(finance, "Finance")
        assert source.group("00g-none") is None


class TestMembers:
    def test_all_pages_are_read(self, okta: OktaApi, source: OktaSource) -> None:
        people = [okta.add_user() for _ in range(okta.page * 3 + 1)]
        finance = okta.add_group("Finance", people)
        assert sorted(everybody(source, finance)) == sorted(people)
        assert okta.paths().count(f"/api/v1/groups/{finance}/users") == 4

    def test_of_a_group_that_is_not_there(self, source: OktaSource) -> None:
        with pytest.raises(SourceGroupMissingError):
            next(source.members("00gnone"))

    @pytest.mark.parametrize("status", ["DEPROVISIONED", "SUSPENDED"])
    def test_who_cannot_sign_in_is_no_member(
        self, okta: OktaApi, source: OktaSource, status: str
    ) -> None:
        ada, bob = okta.add_user(), okta.add_user()
        finance = okta.add_group("Finance", [ada, bob])
        okta.set_status(bob, status)
        assert everybody(source, finance) == [ada]
        assert not source.is_member(finance, bob)

    @pytest.mark.parametrize(
        "status", ["ACTIVE", "STAGED", "PROVISIONED", "RECOVERY", "PASSWORD_EXPIRED", "LOCKED_OUT"]
    )
    def test_any_other_state_of_an_account_is_no_reason(
        self, okta: OktaApi, source: OktaSource, status: str
    ) -> None:
        ada = okta.add_user(status=status)
        finance = okta.add_group("Finance", [ada])
        assert everybody(source, finance) == [ada]
        assert source.is_member(finance, ada)

    def test_a_page_that_fails_can_be_asked_for_again(
        self, okta: OktaApi, source: OktaSource
    ) -> None:
        people = [okta.add_user() for _ in range(okta.page * 3)]
        pages = source.members(okta.add_group("Finance", people))
        found = next(pages)
        okta.failing = 500
        with pytest.raises(SourceUnavailableError):
            next(pages)
        okta.failing = None
        for page in pages:
            found = found + page
        assert sorted(found) == sorted(people)


class TestOneMember:
    def test_is_told_apart_from_who_is_not(self, okta: OktaApi, source: OktaSource) -> None:
        ada, bob = okta.add_user(), okta.add_user()
        finance = okta.add_group("Finance", [ada])
        assert source.is_member(finance, ada)
        assert not source.is_member(finance, bob)
        assert not source.is_member(finance, "00u-none")

    def test_of_many_groups(self, okta: OktaApi, source: OktaSource) -> None:
        ada = okta.add_user()
        groups = [okta.add_group(f"Group {n}", [ada]) for n in range(okta.page * 2 + 1)]
        assert all(source.is_member(group, ada) for group in groups)

    @pytest.mark.parametrize("subject", ["me", "ada", "ada@example.com", "..", "../groups", "a?b"])
    def test_is_named_by_id_alone(self, okta: OktaApi, source: OktaSource, subject: str) -> None:
        """Okta takes logins and `me` in place of an id; a subject that is one is nobody."""
        okta.add_user("ada")
        okta.users["ada"].id = "00u-ada"
        finance = okta.add_group("Finance")
        okta.groups[finance].members["00u-ada"] = None
        okta.groups[finance].members["00u-the-admin"] = None
        assert not source.is_member(finance, subject)


class TestFaults:
    """Whatever is no answer of Okta's is no answer: nobody is told to be absent because of it."""

    @pytest.mark.parametrize("status", [301, 404, 500, 502, 503])
    def test_a_status_that_is_not_okta_s_is_a_fault(
        self, okta: OktaApi, source: OktaSource, status: int
    ) -> None:
        ada = okta.add_user()
        finance = okta.add_group("Finance", [ada])
        okta.failing = status
        for ask in (
            lambda: source.is_member(finance, ada),
            lambda: source.group(finance),
            lambda: source.find_groups("Finance"),
            lambda: everybody(source, finance),
        ):
            with pytest.raises(SourceUnavailableError):
                ask()

    def test_a_sign_in_page_of_the_network_is_a_fault(
        self, okta: OktaApi, source: OktaSource
    ) -> None:
        finance = okta.add_group("Finance")
        okta.wrong_json = True
        with pytest.raises(SourceUnavailableError, match="not JSON"):
            source.group(finance)

    def test_silence_is_a_fault(self, okta: OktaApi, source: OktaSource) -> None:
        okta.silent = True
        with pytest.raises(SourceUnavailableError):
            source.group("00gsilent")

    def test_a_link_to_another_host_is_not_followed(
        self, okta: OktaApi, source: OktaSource
    ) -> None:
        """The credential never leaves for where an answer points."""
        with OktaApi() as other:
            people = [okta.add_user() for _ in range(okta.page + 1)]
            finance = okta.add_group("Finance", people)
            okta.next_link_base = other.url
            with pytest.raises(SourceUnavailableError, match="leaves 127"):
                everybody(source, finance)
            assert other.requests == []

    def test_a_token_without_rights_is_refused(self, okta: OktaApi, source: OktaSource) -> None:
        okta.api_tokens = set()
        with pytest.raises(SourceUnavailableError, match=r"401 \(E0000011\).*renew") as caught:
            source.group("00gany")
        assert not isinstance(caught.value, SourceRefusedError)

    def test_neither_errors_nor_logs_repeat_the_token(
        self, okta: OktaApi, source: OktaSource, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            for fault in (401, 429, 500):
                okta.failing = fault
                with pytest.raises(SourceUnavailableError) as caught:
                    source.find_groups("Finance")
                assert okta.api_token not in repr(caught.value)
        assert okta.api_token not in caplog.text
        assert okta.api_token not in repr(source.__dict__)


class TestApiToken:
    def test_a_rotated_file_is_used_from_the_next_request_on(
        self, okta: OktaApi, source: OktaSource, token_file: Path
    ) -> None:
        finance = okta.add_group("Finance")
        assert source.group(finance)
        okta.api_tokens = {"00-the-next-token"}
        token_file.write_text("00-the-next-token")
        assert source.group(finance)

    def test_a_file_that_is_swapped_by_a_symlink_is_noticed(self, tmp_path: Path) -> None:
        """As Kubernetes does it with a mounted Secret."""
        for number in (1, 2):
            (tmp_path / f"..{number}").mkdir()
            (tmp_path / f"..{number}/token").write_text(f"token-number-{number}")
        (tmp_path / "..data").symlink_to("..1")
        (tmp_path / "token").symlink_to("..data/token")
        credential = ApiToken(SecretFile(tmp_path / "token"))
        assert credential.authorization() == "SSWS token-number-1"
        (tmp_path / "..new").symlink_to("..2")
        (tmp_path / "..new").rename(tmp_path / "..data")
        assert credential.authorization() == "SSWS token-number-2"

    @pytest.mark.parametrize("content", ["", "  \n", "two words", "line\nline", "tökén"])
    def test_what_is_no_token_is_not_sent(
        self, okta: OktaApi, source: OktaSource, token_file: Path, content: str
    ) -> None:
        token_file.write_text(content)
        with pytest.raises(SourceUnavailableError, match=str(token_file)):
            source.group("00gany")
        assert okta.requests == []

    def test_a_missing_file_is_named(self, source: OktaSource, token_file: Path) -> None:
        token_file.unlink()
        with pytest.raises(SourceUnavailableError, match=str(token_file)):
            source.group("00gany")


class TestLimits:
    def test_nothing_is_asked_beyond_the_reserve(self, okta: OktaApi, source: OktaSource) -> None:
        """A tenth of each limit is left to what else uses the organisation."""
        okta.limit = 20
        finance = okta.add_group("Finance")
        for _ in range(18):
            source.group(finance)
        with pytest.raises(SourceUnavailableError) as caught:
            source.group(finance)
        assert caught.value.reason is Reason.MEMBERSHIP_SOURCE_LIMITED
        assert 0 < caught.value.retry_after_seconds <= okta.window_seconds + 1
        assert len(okta.requests) == 18
        assert source.remaining == 2

    def test_an_audit_leaves_half(self, okta: OktaApi, source: OktaSource) -> None:
        okta.limit = 20
        finance = okta.add_group("Finance")
        while not source.audit_delay_seconds():
            source.group(finance)
        assert len(okta.requests) == 10
        assert source.group(finance)

    def test_other_endpoints_have_limits_of_their_own(
        self, okta: OktaApi, source: OktaSource
    ) -> None:
        okta.limit = 1
        finance = okta.add_group("Finance")
        source.group(finance)
        with pytest.raises(SourceUnavailableError):
            source.group(finance)
        assert source.find_groups("Finance")

    def test_a_429_is_waited_for_until_the_reset(self, okta: OktaApi, source: OktaSource) -> None:
        finance = okta.add_group("Finance")
        okta.use_up_limits()
        with pytest.raises(SourceUnavailableError) as caught:
            source.group(finance)
        assert caught.value.reason is Reason.MEMBERSHIP_SOURCE_LIMITED
        assert 50 < caught.value.retry_after_seconds <= 61
        asked = len(okta.requests)
        with pytest.raises(SourceUnavailableError):
            source.group(finance)
        assert len(okta.requests) == asked

    @pytest.mark.parametrize("ahead", [-7200, 7200])
    def test_a_clock_that_differs_does_not_matter(
        self, okta: OktaApi, source: OktaSource, ahead: int
    ) -> None:
        okta.clock_ahead_seconds = ahead
        okta.use_up_limits()
        with pytest.raises(SourceUnavailableError) as caught:
            source.group("00gany")
        assert 50 < caught.value.retry_after_seconds <= 61

    def test_the_window_that_follows_is_used(
        self, okta: OktaApi, http: OutboundHttp, token_file: Path
    ) -> None:
        now = [now_ms()]
        governor = RateGovernor("okta", lambda: now[0])
        source = OktaSource(http, okta.url, ApiToken(SecretFile(token_file)), governor)
        finance = okta.add_group("Finance")
        okta.use_up_limits()
        with pytest.raises(SourceUnavailableError) as caught:
            source.group(finance)
        okta.refill_limits()
        now[0] += int(caught.value.retry_after_seconds * 1000) + 1
        assert source.group(finance)


class TestLinkHeader:
    """RFC 8288."""

    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            ('<https://a/x>; rel="self", <https://a/y?after=1>; rel="next"', "https://a/y?after=1"),
            ('<https://a/y>; rel="next"', "https://a/y"),
            ("<https://a/y>;rel=next", "https://a/y"),
            ('<https://a/y,z>; title="t"; rel="next"', "https://a/y,z"),
            ('<https://a/x>; rel="self"', None),
            ('<https://a/x>; rel="nextish"', None),
            ("", None),
            ("nonsense", None),
        ],
    )
    def test_the_next_page_is_found(self, header: str, expected: str | None) -> None:
        assert next_link(header) == expected

    @given(st.text(max_size=200))
    def test_any_header_is_read(self, header: str) -> None:
        link = next_link(header)
        assert link is None or link in header
