"""Sealed evidence in, a person that the identity provider vouches for out."""

from dataclasses import dataclass, field

from encryption_service.errors import SettingsError
from encryption_service.ledger_store import Clock
from encryption_service.oidc.discovery import fetch_keys
from encryption_service.oidc.errors import EvidenceError
from encryption_service.oidc.id_token import (
    SUBJECT_CLAIMS,
    Expected,
    check_claims,
    read_header,
    verify_signature,
)
from encryption_service.oidc.opening import EvidenceOpener
from encryption_service.oidc.provider import ProviderKeys
from encryption_service.outbound_http import OutboundError, OutboundHttp, check_url
from encryption_service.secret_bytes import SecretBytes
from groupseal.bindings import BindingRequest
from groupseal.evidence import evidence_nonce
from groupseal.trust import TrustMode, TrustSettings

__all__ = ["EvidenceError", "EvidenceVerifier", "VerifiedEvidence"]


@dataclass(frozen=True, slots=True)
class VerifiedEvidence:
    """Who the identity provider says is behind the keys, and when it said so."""

    issuer: str
    # Value of the claim that `TrustSettings.subject_claim` names.
    subject: str = field(repr=False)
    issued_at_ms: int
    # When the person last proved who they are; absent if the provider does not say.
    auth_time_ms: int | None
    acr: str | None
    # SHA-256 of the evidence document (32 bytes), for the ledger.
    digest: bytes


class EvidenceVerifier:
    """Opens sealed evidence and checks it; thread-safe.

    A call takes milliseconds, or up to twice the timeout of `http` when it is the one that asks
    the provider for its keys: it belongs outside transactions.
    """

    def __init__(
        self,
        *,
        trust: TrustSettings,
        organisation_key: bytes,
        evidence_seed: SecretBytes,
        http: OutboundHttp,
        clock: Clock,
    ) -> None:
        """Raises SettingsError for settings with which no evidence could ever be checked."""
        _check_settings(trust)
        self._trust = trust
        self._organisation_key = organisation_key
        self._opener = EvidenceOpener(evidence_seed)
        self._keys = ProviderKeys(lambda: fetch_keys(http, trust.issuer), clock)
        self._clock = clock

    @property
    def provider_fault(self) -> str:
        """Why the provider's keys could not be fetched last time; empty if they could."""
        return self._keys.fault

    def verify(self, request: BindingRequest, sealed_evidence: bytes) -> VerifiedEvidence:
        """Raises EvidenceError; with IDENTITY_PROVIDER_UNAVAILABLE the caller tries again.

        1. Open the document, which is sealed for this organisation, member and key.
        2. Find the keys that may have signed the token, by its header.
        3. Check the signature, and only then
        4. the claims, with a nonce that commits to the request's keys.
        """
        evidence = self._opener.open(request, sealed_evidence)
        header = read_header(evidence.id_token)
        keys = self._keys.keys_for(header)
        payload = verify_signature(evidence.id_token, header, keys)
        token = check_claims(payload, self._expected(request, evidence.salt), self._clock())
        return VerifiedEvidence(
            issuer=self._trust.issuer,
            subject=token.subject,
            issued_at_ms=token.issued_at_ms,
            auth_time_ms=token.auth_time_ms,
            acr=token.acr,
            digest=evidence.digest(),
        )

    def _expected(self, request: BindingRequest, salt: bytes) -> Expected:
        issuer, client_id = self._trust.issuer, self._trust.client_id
        nonce = evidence_nonce(self._organisation_key, issuer, client_id, request, salt)
        return Expected(issuer, client_id, self._trust.subject_claim, nonce)


def _check_settings(trust: TrustSettings) -> None:
    if trust.mode is not TrustMode.OIDC:
        raise SettingsError("evidence is checked in trust mode `oidc` alone")
    if not trust.client_id:
        raise SettingsError("GROUPSEAL_SERVICE_OIDC_CLIENT_ID is not set")
    if trust.subject_claim not in SUBJECT_CLAIMS:
        raise SettingsError(
            "GROUPSEAL_SERVICE_OIDC_SUBJECT_CLAIM must be one of "
            f"{', '.join(sorted(SUBJECT_CLAIMS))}"
        )
    try:
        check_url(trust.issuer)
    except OutboundError as error:
        raise SettingsError(f"GROUPSEAL_SERVICE_OIDC_ISSUER is not usable: {error}") from error
    if "?" in trust.issuer:
        raise SettingsError("GROUPSEAL_SERVICE_OIDC_ISSUER has a query: an issuer has none")
