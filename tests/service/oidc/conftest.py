"""An organisation whose members sign in at canaille, and its service's verifier."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from encryption_service.outbound_http import OutboundHttp
from groupseal.reasons import Reason
from tests.support.evidence_makers import Enrolment, Service, refusal, trust_in
from tests.support.identity_provider import IdentityProvider

settings.register_profile("oidc", deadline=None)
settings.load_profile("oidc")


@pytest.fixture(scope="session")
def ada(identity_provider: IdentityProvider) -> str:
    """A user of the shared provider."""
    return identity_provider.add_user("ada")


@pytest.fixture(scope="session")
def http() -> Iterator[OutboundHttp]:
    http = OutboundHttp(allow_private_addresses=True)
    yield http
    http.close()


@pytest.fixture
def enrolment(identity_provider: IdentityProvider, ada: str) -> Enrolment:
    return Enrolment(identity_provider)


@pytest.fixture
def service(enrolment: Enrolment, http: OutboundHttp) -> Service:
    return Service(enrolment.organisation, trust_in(enrolment.provider), http)


@pytest.fixture
def own_provider() -> Iterator[IdentityProvider]:
    """One that the test may stop and whose keys it may change."""
    with IdentityProvider() as provider:
        provider.add_user("ada")
        yield provider


@pytest.fixture
def own_enrolment(own_provider: IdentityProvider) -> Enrolment:
    return Enrolment(own_provider)


@pytest.fixture
def own_service(own_enrolment: Enrolment, http: OutboundHttp) -> Service:
    return Service(own_enrolment.organisation, trust_in(own_enrolment.provider), http)


@pytest.fixture
def refused(enrolment: Enrolment, service: Service) -> Callable[[str], Reason]:
    """Why a token is refused."""
    return lambda token: refusal(service, enrolment, token)
