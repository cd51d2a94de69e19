"""A member at a browser of this machine, and an organisation whose ledger names the provider."""

from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import httpx

from encryption_service.oidc.verifier import EvidenceVerifier
from encryption_service.outbound_http import OutboundHttp
from encryption_service.secret_bytes import SecretBytes
from member_client.sign_in import SignInManner
from tests.support.evidence_makers import TestClock
from tests.support.identity_provider import IdentityProvider
from tests.support.org_maker import OrgMaker


@dataclass
class Person:
    """Goes where the client sends the browser, signs in, and comes back to the client."""

    provider: IdentityProvider
    user: str
    # Addresses that the client sent the browser to.
    sent_to: list[str] = field(default_factory=list)

    def __call__(self, address: str) -> None:
        self.sent_to.append(address)
        self.provider.allow_redirect(query_of(address)["redirect_uri"])
        assert httpx.get(self.provider.sign_in(address, self.user)).status_code == 200

    def is_there(self, address: str) -> bool:
        """As `webbrowser.open`."""
        self(address)
        return True

    @property
    def manner(self) -> SignInManner:
        return SignInManner(self, patience_seconds=20)


def query_of(address: str) -> dict[str, str]:
    """Parameters of an authorisation request."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def verifier_of(org: OrgMaker, http: OutboundHttp, clock: TestClock) -> EvidenceVerifier:
    """What the organisation's encryption service checks evidence with."""
    return EvidenceVerifier(
        trust=org.trust,
        organisation_key=org.public_key,
        evidence_seed=SecretBytes(org.evidence_seed),
        http=http,
        clock=clock,
    )
