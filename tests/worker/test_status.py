"""What operators are shown of trust: in whom, by which check, and what holds additions back."""

from datetime import UTC, datetime

from directory.status import as_json, read_status
from directory.status_text import tenant_text
from groupseal.entries import TrustChanged
from groupseal.trust import MembershipCheck, TrustMode, TrustSettings
from tests.support.ledger_maker import FakeService
from tests.worker.parts import Tenant


def shown(tenant: Tenant) -> str:
    with tenant.bench.engine.connect() as connection:
        (status,) = read_status(connection, tenant.id)
    return tenant_text(status, every_group=True, now=datetime.now(UTC))


def test_mode_pin_is_called_vendor_trusted(tenant: Tenant) -> None:
    tenant.reconcile()
    text = shown(tenant)
    assert "trust: pin (vendor-trusted" in text
    assert "membership check: off" in text
    with tenant.bench.engine.connect() as connection:
        (status,) = read_status(connection, tenant.id)
    assert as_json(status, every_group=False)["vendor_trusted"] is True


def test_evidence_and_membership_check_are_named(tenant: Tenant, service: FakeService) -> None:
    settings = TrustSettings(
        *(TrustMode.OIDC, "https://id.example.com", "groupseal", "sub"),
        *(MembershipCheck.ENFORCE, "okta"),
    )
    service.org.append(TrustChanged(settings))
    tenant.reconcile()
    expected = "trust: oidc (evidence of https://id.example.com); membership check: enforce at okta"
    assert expected in shown(tenant)
    with tenant.bench.engine.connect() as connection:
        (status,) = read_status(connection, tenant.id)
    assert as_json(status, every_group=False)["vendor_trusted"] is False


def test_what_holds_additions_back_is_said(tenant: Tenant, service: FakeService) -> None:
    service.frozen, service.policy_fault = True, "limits: 'x' is no number"
    tenant.reconcile()
    assert "FROZEN" in shown(tenant)
    assert "limits: 'x' is no number" in shown(tenant)
    service.let_keys_wait = "key_approval_needed"
    tenant.submit_key(service.org.id, tenant.user())
    tenant.reconcile()
    assert "1 keys waiting: key_approval_needed. Somebody of the organisation" in shown(tenant)
