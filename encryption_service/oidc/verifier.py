"""Sealed evidence in, a person that the identity provider vouches for out."""

from dataclasses import dataclass

from encryption_service.ledger_store import Clock
from encryption_service.oidc.errors import EvidenceError
from encryption_service.outbound_http import OutboundHttp
from encryption_service.secret_bytes import SecretBytes
from groupseal.bindings import BindingRequest
from groupseal.trust import TrustSettings

__all__ = ["EvidenceError", "EvidenceVerifier", "VerifiedEvidence"]


@dataclass(frozen=True, slots=True)
class VerifiedEvidence:
    """Who the identity provider says is behind the keys, and when it said so."""

    issuer: str
    # Value of the claim that `TrustSettings.subject_claim` names.
    subject: str
    issued_at_ms: int
    auth_time_ms: int | None
    acr: str | None
    # SHA-256 of the evidence document (32 bytes), for the ledger.
    digest: bytes


class EvidenceVerifier:
    """Opens sealed evidence and checks it; thread-safe."""

    def __init__(
        self,
        *,
        trust: TrustSettings,
        organisation_key: bytes,
        evidence_seed: SecretBytes,
        http: OutboundHttp,
        clock: Clock,
    ) -> None:
        raise NotImplementedError

    def verify(self, request: BindingRequest, sealed_evidence: bytes) -> VerifiedEvidence:
        """Raises EvidenceError; with IDENTITY_PROVIDER_UNAVAILABLE the caller tries again."""
        raise NotImplementedError
