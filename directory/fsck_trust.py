"""Compares what is stored of trust with what the log says, and looks for evidence that was kept."""

from directory.fsck_findings import Findings
from directory.fsck_ledger import Said
from directory.tenancy import TenantScope, tenant_sql
from groupseal.trust import VENDOR_TRUSTED, TrustSettings

_TRUST = tenant_sql("""
    SELECT trust_mode, issuer, client_id, subject_claim, membership_check, membership_source
    FROM tenants WHERE id = :tenant_id
""")

_KEPT_EVIDENCE = tenant_sql("""
    SELECT member_id, key_id, state FROM member_keys
    WHERE tenant_id = :tenant_id AND state <> 'submitted' AND sealed_evidence IS NOT NULL
""")


def compare_trust(scope: TenantScope, said: Said, found: Findings) -> None:
    """Adds a finding if the settings are not the ledger's, and for each key with old evidence."""
    row = scope.one(_TRUST)
    created = said.projection.created
    if row is not None and row.trust_mode is not None and created is not None:
        settings = said.projection.trust
        if settings is VENDOR_TRUSTED:
            # No settings came into the ledger yet: only the mode is known.
            settings = TrustSettings(created.trust_mode)
        stored = (
            *(row.trust_mode, row.issuer or "", row.client_id or "", row.subject_claim or ""),
            *(row.membership_check or "off", row.membership_source or ""),
        )
        found.expect(
            stored == _columns(settings),
            "trust_differs",
            f"tenant {scope.tenant_id}",
            "how the service decides is shown otherwise than the ledger says",
        )
    for kept in scope.all(_KEPT_EVIDENCE):
        found.add(
            "evidence_kept",
            f"member {kept.member_id}, key {kept.key_id.hex()[:16]}",
            f"the key is {kept.state}, and its evidence is still there",
        )


def _columns(settings: TrustSettings) -> tuple[str, ...]:
    return (
        *(settings.mode.name.lower(), settings.issuer, settings.client_id, settings.subject_claim),
        *(settings.membership_check.name.lower(), settings.membership_source),
    )
