"""A member's device that asks the provider for evidence, and the service's verifier of it."""

import os
import time
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from encryption_service.group_secrets import derive_xwing_public_key
from encryption_service.oidc.verifier import EvidenceError, EvidenceVerifier, VerifiedEvidence
from encryption_service.outbound_http import OutboundHttp
from encryption_service.secret_bytes import SecretBytes
from groupseal.bindings import BindingRequest
from groupseal.evidence import Evidence, evidence_info, evidence_nonce
from groupseal.reasons import Reason
from groupseal.trust import TrustMode, TrustSettings
from member_client import hpke
from tests.support.devices import Device
from tests.support.identity_provider import IdentityProvider

MINUTE_MS = 60_000


@dataclass
class TestClock:
    """The real time, plus what the test adds."""

    __test__ = False
    ahead_ms: int = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def forward(self, milliseconds: int) -> None:
        self.ahead_ms += milliseconds


@dataclass
class Organisation:
    """What an organisation's service knows of itself."""

    id: bytes = field(default_factory=lambda: os.urandom(16))
    evidence_seed: SecretBytes = field(default_factory=SecretBytes.random)
    signing_public_key: bytes = field(
        default_factory=lambda: Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    )


@dataclass
class Enrolment:
    """One device of one member, the organisation it enrols at, and the customer's provider."""

    provider: IdentityProvider
    organisation: Organisation = field(default_factory=Organisation)
    salt: bytes = field(default_factory=lambda: os.urandom(32))
    replaces: bool = False

    def __post_init__(self) -> None:
        self.device = Device(self.organisation.id)
        self.request: BindingRequest = replace(self.device.request, replaces=self.replaces)

    def another_device(self) -> "Enrolment":
        return Enrolment(self.provider, self.organisation)

    def nonce(self, request: BindingRequest | None = None) -> str:
        return evidence_nonce(
            self.organisation.signing_public_key,
            self.provider.issuer,
            self.provider.client_id,
            request or self.request,
            self.salt,
        )

    def claims(self, **changes: object) -> dict[str, Any]:
        """Those of a token that would be accepted, some changed; `None` leaves one out."""
        return self.provider.claims("ada", self.nonce(), **changes)

    def seal(self, id_token: str, request: BindingRequest | None = None) -> bytes:
        """The evidence document as it travels through the vendor."""
        to = request or self.request
        return hpke.seal(
            Evidence(self.salt, id_token).to_bytes(),
            derive_xwing_public_key(self.organisation.evidence_seed),
            evidence_info(to.organisation, to.member, to.key_id),
        )


@dataclass
class Service:
    """The verifier of one organisation, with a clock that the test may move."""

    organisation: Organisation
    trust: TrustSettings
    http: OutboundHttp
    clock: TestClock = field(default_factory=TestClock)

    def __post_init__(self) -> None:
        self.verifier = self.restarted()

    def restarted(self) -> EvidenceVerifier:
        """One with a cold cache."""
        self.verifier = EvidenceVerifier(
            trust=self.trust,
            organisation_key=self.organisation.signing_public_key,
            evidence_seed=self.organisation.evidence_seed,
            http=self.http,
            clock=self.clock,
        )
        return self.verifier

    def verify(self, enrolment: Enrolment, id_token: str) -> VerifiedEvidence:
        return self.verifier.verify(enrolment.request, enrolment.seal(id_token))


def refusal(service: Service, enrolment: Enrolment, id_token: str) -> Reason:
    """Why the service refuses this token as evidence for this enrolment."""
    with pytest.raises(EvidenceError) as refused:
        service.verify(enrolment, id_token)
    # The text goes to logs and to the vendor.
    assert id_token[:20] not in str(refused.value)
    return refused.value.reason


def trust_in(provider: IdentityProvider, **changes: Any) -> TrustSettings:
    settings = TrustSettings(TrustMode.OIDC, provider.issuer, provider.client_id, "sub")
    return replace(settings, **changes)
