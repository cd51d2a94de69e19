"""What only the running service knows of itself, for `encryption-service status`."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from encryption_service.certificate_watch import days_left
from encryption_service.ledger_store import Clock
from encryption_service.membership.checker import MembershipStatus
from encryption_service.policy.policy_file import PolicyFile
from encryption_service.server_identity import CertificateSource
from groupseal.trust import MembershipCheck, TrustMode, TrustSettings

_KEYS_BY_VENDOR = "vendor-trusted: the vendor's word decides whose key is whose"
_GROUPS_BY_VENDOR = "vendor-trusted: the vendor's word decides who is in a group"


class LiveStatus:
    """Facts by name; None where there is nothing to say."""

    def __init__(
        self,
        *,
        trust: TrustSettings,
        certificates: CertificateSource,
        policy: PolicyFile,
        membership: Callable[[], MembershipStatus | None],
        clock: Clock,
    ) -> None:
        self._trust = trust
        self._certificates = certificates
        self._policy = policy
        self._membership = membership
        self._clock = clock

    def facts(self) -> dict[str, Any]:
        return {**self._trust_facts(), **self._membership_facts(), **self._certificate_facts()}

    def _trust_facts(self) -> dict[str, Any]:
        trust = self._trust
        return {
            "trust_mode": trust.mode.name.lower(),
            "trust_mode_note": _KEYS_BY_VENDOR if trust.mode is TrustMode.PIN else None,
            "evidence_issuer": trust.issuer or None,
            "evidence_client_id": trust.client_id or None,
            "policy_fault": self._policy.fault or None,
            "frozen_by_policy": self._policy.current.freeze,
        }

    def _membership_facts(self) -> dict[str, Any]:
        check, status = self._trust.membership_check, self._membership()
        enforced = check is MembershipCheck.ENFORCE
        facts: dict[str, Any] = {
            "membership_check": check.name.lower(),
            "membership_check_note": None if enforced else _GROUPS_BY_VENDOR,
        }
        if status is not None:
            facts |= {
                "membership_source": status.source,
                "membership_last_success": _time(status.last_success_ms),
                "membership_last_audit": _time(status.last_audit_ms),
                "membership_findings": len(status.findings),
                "membership_fault": status.fault or None,
            }
        return facts

    def _certificate_facts(self) -> dict[str, Any]:
        presented, now_ms = self._certificates.refresh(), self._clock()
        return {
            "certificate_days_left": days_left(presented.certificate.not_after_ms, now_ms),
            "vendor_ca_days_left": days_left(presented.vendor_authority.not_after_ms, now_ms),
            "certificate_fault": self._certificates.fault or None,
        }


def _time(time_ms: int | None) -> str | None:
    """RFC 3339, in UTC, to the second."""
    if time_ms is None:
        return None
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")
