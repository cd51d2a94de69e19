"""Members' keys on their way to the service and back: evidence, waiting, trust."""

import pytest

from directory.member_view import organisation
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from encryption_api import encryption_pb2 as pb
from groupseal.entries import KeyRefused, TrustChanged
from groupseal.trust import MembershipCheck, TrustMode, TrustSettings
from tests.support.ledger_maker import FakeService
from tests.worker.devices import Device
from tests.worker.parts import Tenant, counted


def let_time_pass(tenant: Tenant) -> None:
    tenant.make_due()
    for table in ("member_keys", "key_removals"):
        tenant.run(f"UPDATE {table} SET next_attempt_at = now()")  # noqa: S608 # constant names


def test_evidence_travels_with_the_key_and_is_gone_once_it_is_bound(
    tenant: Tenant, service: FakeService, device: Device
) -> None:
    """The offer says who the member is by the identity provider's pushes."""
    device.submit(b"sealed evidence", replaces=True)
    assert device.row() == ("submitted", None, b"sealed evidence")
    tenant.reconcile()
    (offer,) = service.offers
    assert offer.sealed_evidence == b"sealed evidence"
    assert offer.replaces
    assert (offer.external_id, offer.user_name) == ("00u1", "ada@example.com")
    assert device.row() == ("bound", None, None)


@pytest.mark.parametrize("in_ledger", [True, False])
def test_refused_evidence_leaves_the_device_refused_and_new_evidence_is_offered_again(
    tenant: Tenant, service: FakeService, device: Device, in_ledger: bool
) -> None:
    device.submit(b"old")
    if in_ledger:
        service.refuse_keys = "evidence_expired"
    else:
        service.let_keys_wait = "evidence_needed"
    tenant.reconcile()
    assert device.row()[1] == ("evidence_expired" if in_ledger else "evidence_needed")
    assert device.row()[2] == (None if in_ledger else b"old"), "kept only as long as it is needed"
    service.refuse_keys = service.let_keys_wait = None
    device.submit(b"new")
    assert device.row() == ("submitted", None, b"new")
    tenant.reconcile()
    assert [offer.sealed_evidence for offer in service.offers] == [b"old", b"new"]
    assert device.row() == ("bound", None, None)


def test_a_key_is_offered_after_the_one_that_vouches_for_it(
    tenant: Tenant, service: FakeService, device: Device
) -> None:
    """Or the service, which takes one after the other, would not know that one yet."""
    others = [Device(tenant, service.org.id, device.user) for _ in range(8)]
    for other in others:
        other.submit(endorser=device)
    device.submit()
    let_time_pass(tenant)
    tenant.reconcile()
    offered = [offer.signing_public_key for offer in service.offers]
    signing = [each.request().signing_public_key for each in (device, *others)]
    assert offered == signing


def test_submitting_the_same_again_changes_nothing(
    tenant: Tenant, service: FakeService, device: Device
) -> None:
    service.let_keys_wait = "key_approval_needed"
    device.submit(b"evidence")
    tenant.reconcile()
    device.submit(b"evidence")
    device.submit()
    assert device.row() == ("submitted", "key_approval_needed", b"evidence")
    tenant.reconcile()
    assert len(service.offers) == 1, "it waits its time"


def test_another_kind_of_request_keeps_no_evidence_of_the_first(
    tenant: Tenant, service: FakeService, device: Device
) -> None:
    """Evidence to add a device vouches for no replacement."""
    service.let_keys_wait = "evidence_needed"
    device.submit(b"to add")
    tenant.reconcile()
    device.submit(replaces=True)
    assert device.row() == ("submitted", None, None)
    tenant.reconcile()
    assert [offer.replaces for offer in service.offers] == [False, True]


def test_a_refusal_of_what_was_offered_before_does_not_hit_what_was_submitted_since(
    tenant: Tenant, service: FakeService, device: Device
) -> None:
    """New evidence came while the service refused the old."""
    service.refuse_keys = "evidence_expired"
    device.submit(b"old")
    done: list[str] = []

    def once(step: str) -> None:
        if step == "keys_answered" and not done:
            done.append(step)
            device.submit(b"new")
            service.refuse_keys = None

    tenant.reconcile(tenant.bench.worker(once))
    tenant.reconcile()
    assert device.row() == ("bound", None, None)
    assert [offer.sealed_evidence for offer in service.offers] == [b"old", b"new"]


@pytest.mark.parametrize(
    ("reason", "soon"), [("identity_provider_unavailable", True), ("key_approval_needed", False)]
)
def test_a_waiting_key_says_why_and_is_offered_again(
    tenant: Tenant, service: FakeService, device: Device, reason: str, soon: bool
) -> None:
    """Within seconds where the fault passes by itself, and later and later; else in a minute."""
    service.let_keys_wait = reason
    device.submit(b"evidence")
    due = "SELECT extract(epoch FROM next_attempt_at - now()) FROM member_keys WHERE tenant_id = %s"
    waits = []
    for _ in range(4):
        let_time_pass(tenant)
        tenant.reconcile()
        assert device.row() == ("submitted", reason, b"evidence")
        waits.append(float(tenant.one(due)))
    assert len(service.offers) == 4
    if soon:
        assert waits[0] < 2 < waits[3] < 12
    else:
        assert all(50 < wait <= 60 for wait in waits)


def test_a_waiting_key_that_the_service_binds_later_is_found_in_the_ledger(
    tenant: Tenant, service: FakeService, device: Device
) -> None:
    """An approver approved it; nobody offers it again."""
    service.let_keys_wait = "key_approval_needed"
    device.submit(b"evidence")
    group = tenant.group([device.user])
    tenant.reconcile()
    request = device.request()
    service.org.bind(request, device.signing_key.sign(request.message()))
    tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
    tenant.reconcile()
    assert device.row() == ("bound", None, None)
    assert tenant.committed(group) == {device.user}
    assert len(service.offers) == 1


def test_how_the_service_decides_is_learned_from_the_ledger(
    tenant: Tenant, service: FakeService
) -> None:
    """Mode from the first entry, everything else from the newest settings."""
    tenant.run("UPDATE tenants SET trust_mode = NULL WHERE id = %s", tenant.id)

    def seen() -> tuple[str | None, ...]:
        with UnitOfWork(tenant.bench.engine) as work:
            found = organisation(TenantScope(work.connection, tenant.id))
        assert found is not None
        return (
            *(found.trust_mode, found.issuer, found.client_id, found.subject_claim),
            found.membership_check,
        )

    assert seen() == (None,) * 5
    tenant.reconcile()
    assert seen() == ("pin", None, None, None, "off")
    settings = TrustSettings(
        *(TrustMode.OIDC, "https://id.example.com", "groupseal", "sub"),
        *(MembershipCheck.ENFORCE, "okta"),
    )
    service.org.append(TrustChanged(settings))
    tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
    tenant.reconcile()
    assert seen() == ("oidc", "https://id.example.com", "groupseal", "sub", "enforce")
    query = "SELECT membership_source FROM tenants WHERE id = %s"
    assert tenant.one(query) == "okta"


def test_what_the_service_says_of_itself_is_kept_short(
    tenant: Tenant, service: FakeService
) -> None:
    """Frozen, and what is wrong with its policy: on one line, and not for ever."""
    service.frozen = True
    service.policy_fault = "line 3:\n\x1b[31mgroups must be a list " + "x" * 3_000
    tenant.reconcile()
    frozen, fault = tenant.one("SELECT frozen, policy_fault FROM tenants WHERE id = %s")
    assert frozen
    assert fault.startswith("line 3: [31mgroups must be a list xxx")
    assert len(fault) == 500
    service.frozen, service.policy_fault = False, ""
    tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
    tenant.reconcile()
    assert tenant.one("SELECT frozen, policy_fault FROM tenants WHERE id = %s") == (False, None)


def test_a_refusal_in_the_ledger_of_a_key_that_was_never_offered_is_no_news(
    tenant: Tenant, service: FakeService, device: Device
) -> None:
    """A restored database offers it once more, and is told."""
    service.let_keys_wait = "evidence_needed"
    device.submit(b"evidence")
    tenant.run("UPDATE member_keys SET next_attempt_at = now() + interval '1 hour'")
    service.org.append(KeyRefused(device.user.bytes, device.key_id, "evidence_expired"))
    tenant.reconcile()
    assert device.row() == ("submitted", None, b"evidence")


def test_outcomes_of_many_keys_take_as_many_statements_as_of_one(
    tenant: Tenant, service: FakeService
) -> None:
    service.let_keys_wait = "key_approval_needed"
    worker = tenant.bench.worker()
    tenant.reconcile(worker)
    counts = []
    for number in (1, 60):
        for _ in range(number):
            tenant.submit_key(service.org.id, tenant.user())
        with counted(worker) as statements:
            tenant.reconcile(worker)
        counts.append(len(statements))
    assert counts[0] == counts[1]
    assert len(service.offers) == 61


def test_an_answer_out_of_order_or_without_meaning_is_no_answer(
    tenant: Tenant, service: FakeService, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key stays as it is, and the breaker opens."""
    bad = [
        pb.BindMemberKeysResponse(member_id=bytes(16), outcome=pb.BINDING_OUTCOME_BOUND),
        pb.BindMemberKeysResponse(member_id=device.user.bytes),
    ]
    device.submit(b"evidence")
    for answer in bad:
        monkeypatch.setattr(service, "_bind", lambda _, given=answer: given)
        let_time_pass(tenant)
        tenant.reconcile()
        assert tenant.one("SELECT service_reason FROM tenants WHERE id = %s") == "malformed"
        assert device.row() == ("submitted", None, b"evidence")
