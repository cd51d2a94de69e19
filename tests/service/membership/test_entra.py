"""Microsoft Entra ID as membership source, against the stand-in for Microsoft Graph."""

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from encryption_service.membership.entra import EntraSource, entra_client_credentials
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
from tests.support.graph_api import GraphApi


@pytest.fixture
def graph() -> Iterator[GraphApi]:
    with GraphApi() as running:
        yield running


@pytest.fixture
def secret_file(graph: GraphApi, tmp_path: Path) -> Path:
    file = tmp_path / "client-secret"
    file.write_text(*graph.client_secrets)
    return file


@pytest.fixture
def source(graph: GraphApi, http: OutboundHttp, secret_file: Path) -> EntraSource:
    def clock() -> int:
        return int(time.time() * 1000)

    governor = RateGovernor("entra", clock)
    credential = entra_client_credentials(
        http,
        SecretFile(secret_file),
        tenant_id=graph.tenant_id,
        client_id=graph.client_id,
        governor=governor,
        clock=clock,
        login_url=graph.url,
        graph_url=graph.url,
    )
    return EntraSource(http, credential, governor, graph_url=graph.url)


def everybody(source: EntraSource, group_id: str) -> list[str]:
    return [subject for page in source.members(group_id) for subject in page]


class TestGroupsByName:
    def test_one_is_found_by_its_exact_name(self, graph: GraphApi, source: EntraSource) -> None:
        finance = graph.add_group("Finance")
        graph.add_group("FINANCE")
        assert source.find_groups("Finance") == [SourceGroup(finance, "Finance")]
        assert source.find_groups("finance") == []

    def test_all_of_one_name_are_found_over_several_pages(
        self, graph: GraphApi, source: EntraSource
    ) -> None:
        made = {graph.add_group("Finance") for _ in range(graph.page + 1)}
        assert {group.id for group in source.find_groups("Finance")} == made

    @settings(
        max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30))
    def test_any_name_finds_its_group_alone(
        self, graph: GraphApi, source: EntraSource, name: str
    ) -> None:
        graph.groups.clear()
        graph.add_group("another" + name)
        group_id = graph.add_group(name)
        assert source.find_groups(name) == [SourceGroup(group_id, name)]

    def test_quotes_are_only_signs(self, graph: GraphApi, source: EntraSource) -> None:
        graph.add_group("Finance")
        name = "x' or displayName eq 'Finance"
        assert source.find_groups(name) == []
        assert source.find_groups("Bob's & Ada's") == []

    def test_by_id(self, graph: GraphApi, source: EntraSource) -> None:
        finance = graph.add_group("Finance")
        assert source.group(finance) == SourceGroup(finance, "Finance")
        assert source.group(str(uuid4())) is None
        assert source.group("../users") is None


class TestMembers:
    def test_all_pages_are_read(self, graph: GraphApi, source: EntraSource) -> None:
        people = [graph.add_user() for _ in range(graph.page * 2 + 1)]
        finance = graph.add_group("Finance", people)
        assert sorted(everybody(source, finance)) == sorted(people)

    def test_one_is_told_apart_from_who_is_not(self, graph: GraphApi, source: EntraSource) -> None:
        ada, bob = graph.add_user(), graph.add_user()
        finance = graph.add_group("Finance", [ada])
        assert source.is_member(finance, ada)
        assert not source.is_member(finance, bob)
        assert not source.is_member(finance, str(uuid4()))
        assert not source.is_member(str(uuid4()), ada)

    def test_a_group_within_the_group_brings_nobody_in(
        self, graph: GraphApi, source: EntraSource
    ) -> None:
        """Entra provisions direct members alone."""
        ada, bob = graph.add_user(), graph.add_user()
        finance = graph.add_group("Finance", [ada, graph.add_group("Tax", [bob])])
        assert everybody(source, finance) == [ada]
        assert not source.is_member(finance, bob)

    def test_a_disabled_account_is_no_member(self, graph: GraphApi, source: EntraSource) -> None:
        ada, bob = graph.add_user(), graph.add_user(enabled=False)
        finance = graph.add_group("Finance", [ada, bob])
        assert everybody(source, finance) == [ada]
        assert not source.is_member(finance, bob)

    def test_a_credential_that_cannot_see_accounts_is_refused(
        self, graph: GraphApi, source: EntraSource
    ) -> None:
        ada = graph.add_user()
        finance = graph.add_group("Finance", [ada])
        graph.permissions = {"GroupMember.Read.All"}
        with pytest.raises(SourceRefusedError, match=r"grant User\.Read\.All"):
            source.is_member(finance, ada)

    def test_of_a_group_that_is_not_there(self, source: EntraSource) -> None:
        for group_id in (str(uuid4()), "Finance"):
            with pytest.raises(SourceGroupMissingError):
                everybody(source, group_id)

    @pytest.mark.parametrize("subject", ["ada@example.com", "me", "", "A" * 36])
    def test_somebody_is_named_by_object_id_alone(
        self, graph: GraphApi, source: EntraSource, subject: str
    ) -> None:
        assert not source.is_member(graph.add_group("Finance"), subject)
        assert len(graph.requests) == 0


class TestFaults:
    def test_a_link_to_another_host_is_not_followed(
        self, graph: GraphApi, source: EntraSource
    ) -> None:
        with GraphApi() as other:
            people = [graph.add_user() for _ in range(graph.page + 1)]
            finance = graph.add_group("Finance", people)
            graph.next_link_base = other.url
            with pytest.raises(SourceUnavailableError, match="leaves 127"):
                everybody(source, finance)
            assert other.requests == []

    def test_throttling_is_waited_for(self, graph: GraphApi, source: EntraSource) -> None:
        finance = graph.add_group("Finance")
        graph.throttled_for = 17
        with pytest.raises(SourceUnavailableError) as caught:
            source.group(finance)
        assert caught.value.reason is Reason.MEMBERSHIP_SOURCE_LIMITED
        assert 16 < caught.value.retry_after_seconds <= 17
        asked = len(graph.requests)
        with pytest.raises(SourceUnavailableError):
            source.group(finance)
        assert len(graph.requests) == asked
        assert source.audit_delay_seconds() > 16

    @pytest.mark.parametrize("status", [404, 500, 503])
    def test_a_status_that_is_not_graph_s_is_a_fault(
        self, graph: GraphApi, source: EntraSource, status: int
    ) -> None:
        ada = graph.add_user()
        finance = graph.add_group("Finance", [ada])
        assert source.is_member(finance, ada)
        graph.failing = status
        for ask in (
            lambda: source.is_member(finance, ada),
            lambda: source.group(finance),
            lambda: everybody(source, finance),
        ):
            with pytest.raises(SourceUnavailableError):
                ask()

    def test_missing_rights_are_named(self, graph: GraphApi, source: EntraSource) -> None:
        graph.permissions = set()
        with pytest.raises(SourceRefusedError, match="Authorization_RequestDenied"):
            source.group(str(uuid4()))


class TestClientSecret:
    def test_a_token_is_used_until_shortly_before_its_end(
        self, graph: GraphApi, source: EntraSource
    ) -> None:
        finance = graph.add_group("Finance")
        for _ in range(5):
            source.group(finance)
        assert sum("token" in path for path in graph.paths()) == 1

    def test_a_token_that_is_refused_is_replaced(
        self, graph: GraphApi, source: EntraSource
    ) -> None:
        finance = graph.add_group("Finance")
        assert source.group(finance)
        graph.expire_access_tokens()
        assert source.group(finance)

    def test_a_rotated_secret_is_used_at_once(
        self, graph: GraphApi, source: EntraSource, secret_file: Path
    ) -> None:
        finance = graph.add_group("Finance")
        assert source.group(finance)
        graph.client_secrets = {"another~secret"}
        graph.expire_access_tokens()
        secret_file.write_text("another~secret\n")
        assert source.group(finance)

    def test_a_wrong_secret_is_named_and_not_shown(
        self, source: EntraSource, secret_file: Path
    ) -> None:
        secret_file.write_text("wrong~secret")
        with pytest.raises(SourceUnavailableError, match="invalid_client") as caught:
            source.group(str(uuid4()))
        assert "wrong~secret" not in repr(caught.value)
