"""An Okta organisation to ask, what asking it takes, and who listens to the answers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from encryption_service.membership.checker import MembershipChecker
from encryption_service.membership.okta import OktaSource
from encryption_service.membership.okta_credentials import ApiToken
from encryption_service.membership.rate_limits import RateGovernor
from encryption_service.membership.secret_file import SecretFile
from encryption_service.outbound_http import OutboundHttp
from tests.support.membership_events import Listener
from tests.support.okta_api import OktaApi

GROUP = b"a group's id 16B"
CACHE_MS, AUDIT_MS, RECHECK_MS = 120_000, 900_000, 60_000


class Time:
    """A clock that is set."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms

    def pass_seconds(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


@pytest.fixture
def okta() -> Iterator[OktaApi]:
    with OktaApi() as running:
        yield running


@pytest.fixture(scope="session")
def http() -> Iterator[OutboundHttp]:
    http = OutboundHttp(allow_private_addresses=True, timeout=1.0)
    yield http
    http.close()


@pytest.fixture
def token_file(tmp_path: Path, okta: OktaApi) -> Path:
    file = tmp_path / "okta-token"
    file.write_text(okta.api_token + "\n")
    return file


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def events() -> Listener:
    return Listener()


@pytest.fixture
def okta_source(okta: OktaApi, http: OutboundHttp, token_file: Path, clock: Time) -> OktaSource:
    return OktaSource(http, okta.url, ApiToken(SecretFile(token_file)), RateGovernor("okta", clock))


MakeChecker = Callable[..., MembershipChecker]


@pytest.fixture
def make_checker(okta_source: OktaSource, events: Listener, clock: Time) -> MakeChecker:
    def make(*, enforce: bool = True) -> MembershipChecker:
        return MembershipChecker(
            okta_source,
            events,
            clock=clock,
            cache_ms=CACHE_MS,
            audit_ms=AUDIT_MS,
            recheck_ms=RECHECK_MS,
            enforce=enforce,
        )

    return make


@pytest.fixture
def checker(make_checker: MakeChecker) -> MembershipChecker:
    """Its threads are not started: what is due is answered when the test says so."""
    return make_checker()
