"""Members' keys on their way to the service and back: evidence, waiting, replacing, removing."""

import os
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from directory.devices import Endorsement, Vouching, devices_of, request_removal, submit_key
from directory.fsck import check
from directory.member_view import grant_of, organisation
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from encryption_api import encryption_pb2 as pb
from groupseal.bindings import BindingRequest
from groupseal.entries import KeyRefused, TrustChanged
from groupseal.key_removal import KeyRemoval
from groupseal.suites import Suite
from groupseal.trust import MembershipCheck, TrustMode, TrustSettings
from tests.support.ledger_maker import FakeService
from tests.support.org_maker import xwing_public_key
from tests.worker.parts import Killed, Tenant, counted, killer

STATE = """
    SELECT state, reason, sealed_evidence FROM member_keys WHERE tenant_id = %s AND key_id = %s
"""


class Device:
    """A member's device, which submits itself through the directory as the gateway does."""

    def __init__(self, tenant: Tenant, organisation: bytes, user: UUID) -> None:
        self.tenant, self.user = tenant, user
        self.organisation = organisation
        self.signing_key = Ed25519PrivateKey.generate()
        self.public_key = xwing_public_key(os.urandom(32))

    def request(self, *, replaces: bool = False) -> BindingRequest:
        return BindingRequest(
            self.organisation,
            self.user.bytes,
            Suite.XWING,
            self.public_key,
            self.signing_key.public_key().public_bytes_raw(),
            replaces,
        )

    @property
    def key_id(self) -> bytes:
        return self.request().key_id

    def submit(
        self,
        evidence: bytes | None = None,
        *,
        replaces: bool = False,
        endorser: "Device | None" = None,
    ) -> None:
        request = self.request(replaces=replaces)
        proof = self.signing_key.sign(request.message())
        endorsement = None
        if endorser is not None:
            signature = endorser.signing_key.sign(request.endorsement_message())
            endorsement = Endorsement(endorser.key_id, signature)
        with UnitOfWork(self.tenant.bench.engine) as work:
            scope = TenantScope(work.connection, self.tenant.id)
            submit_key(scope, request, proof, Vouching(endorsement, evidence))
            work.commit()

    def remove(self, other: "Device") -> None:
        removal = KeyRemoval(self.organisation, self.user.bytes, other.key_id)
        signed = Endorsement(self.key_id, self.signing_key.sign(removal.message()))
        with UnitOfWork(self.tenant.bench.engine) as work:
            scope = TenantScope(work.connection, self.tenant.id)
            request_removal(scope, self.user, other.key_id, signed)
            work.commit()

    def row(self) -> tuple[str, str | None, bytes | None]:
        state, reason, evidence = self.tenant.one(STATE, self.key_id)
        return state, reason, evidence


@pytest.fixture
def user(tenant: Tenant) -> UUID:
    made = tenant.user("ada@example.com")
    tenant.run("UPDATE users SET external_id = '00u1' WHERE id = %s", made)
    return made


@pytest.fixture
def device(tenant: Tenant, service: FakeService, user: UUID) -> Device:
    return Device(tenant, service.org.id, user)


def let_time_pass(tenant: Tenant) -> None:
    tenant.make_due()
    for table in ("member_keys", "key_removals"):
        tenant.run(f"UPDATE {table} SET next_attempt_at = now()")  # noqa: S608 # constant names


def removal(tenant: Tenant) -> tuple[str, str | None]:
    state, reason = tenant.one("SELECT state, reason FROM key_removals WHERE tenant_id = %s")
    return state, reason


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


def test_a_removal_is_passed_on_and_the_ledger_carries_it_out(
    tenant: Tenant, service: FakeService, device: Device
) -> None:
    """One device signs another one away; the group rotates and is served to the first alone."""
    other = Device(tenant, service.org.id, device.user)
    device.submit()
    other.submit()
    group = tenant.group([device.user])
    tenant.reconcile()
    device.remove(other)
    assert removal(tenant) == ("submitted", None)
    tenant.reconcile()
    (sent,) = service.removals
    assert (sent.member_id, sent.key_id) == (device.user.bytes, other.key_id)
    message = KeyRemoval(service.org.id, device.user.bytes, other.key_id).message()
    device.signing_key.public_key().verify(sent.signature, message)
    assert sent.signing_key_id == device.key_id
    assert removal(tenant) == ("done", None)
    assert other.row() == ("unbound", "key_removed_by_member", None)
    assert tenant.committed(group) == {device.user}
    assert tenant.kinds().count("key_unbound") == 1
    with UnitOfWork(tenant.bench.engine) as work:
        scope = TenantScope(work.connection, tenant.id)
        assert grant_of(scope, device.user, group, other.key_id) is None
        assert grant_of(scope, device.user, group, device.key_id) is not None
        assert check(work.connection) == []


def test_a_new_device_is_offered_before_the_one_that_endorsed_it_is_removed(
    tenant: Tenant, service: FakeService, device: Device
) -> None:
    """Both in one stream."""
    device.submit()
    tenant.reconcile()
    other = Device(tenant, service.org.id, device.user)
    other.submit()
    other.remove(device)
    tenant.reconcile()
    assert other.row()[0] == "bound"
    assert device.row()[0] == "unbound"
    assert service.calls.count("BindMemberKeys") == 2


@pytest.mark.parametrize("step", ["keys_sent", "keys_answered", "applying"])
def test_a_removal_survives_a_worker_that_dies(
    tenant: Tenant, service: FakeService, device: Device, step: str
) -> None:
    device.submit()
    tenant.reconcile()
    device.remove(device)
    with pytest.raises(Killed):
        tenant.reconcile(tenant.bench.worker(killer(step)))
    tenant.reconcile()
    assert removal(tenant) == ("done", None)
    assert device.row() == ("unbound", "key_removed_by_member", None)


def test_a_refused_removal_says_why_and_may_be_asked_again(
    tenant: Tenant, service: FakeService, device: Device
) -> None:
    device.submit()
    tenant.reconcile()
    service.refuse_removals = "signature_invalid"
    device.remove(device)
    tenant.reconcile()
    assert removal(tenant) == ("refused", "signature_invalid")
    assert device.row()[0] == "bound"
    with UnitOfWork(tenant.bench.engine) as work:
        (shown,) = devices_of(TenantScope(work.connection, tenant.id), device.user)
    assert (shown.removal, shown.removal_reason) == ("refused", "signature_invalid")
    service.refuse_removals = None
    device.remove(device)
    tenant.reconcile()
    assert removal(tenant) == ("done", None)


def test_a_removal_of_what_is_gone_already_ends(
    tenant: Tenant, service: FakeService, device: Device
) -> None:
    """The ledger had unbound the key before the request was stored."""
    device.submit()
    tenant.reconcile()
    service.org.unbind(device.key_id)
    tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
    tenant.reconcile()
    device.remove(device)
    tenant.reconcile()
    assert removal(tenant) == ("done", None)


@pytest.mark.parametrize("has_another", [True, False])
def test_a_replacement_takes_every_group_away_from_the_old_key_and_rotates(
    tenant: Tenant, service: FakeService, device: Device, has_another: bool
) -> None:
    """Keys are unbound, epochs close with nobody leaving, and open for the keys that are left."""
    grace = Device(tenant, service.org.id, tenant.user())
    spare = Device(tenant, service.org.id, device.user)
    for one in (device, grace, *((spare,) if has_another else ())):
        one.submit()
    group = tenant.group([device.user, grace.user])
    wiring = tenant.bench.worker()
    tenant.reconcile(wiring)
    made = service.org.groups[group.bytes]
    service.org.unbind(device.key_id, "key_replaced")
    tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
    tenant.reconcile(wiring)
    assert tenant.committed(group) == ({device.user, grace.user} if has_another else {grace.user})
    service.org.close_epoch(made, [])
    tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
    tenant.reconcile(wiring)
    new = Device(tenant, service.org.id, device.user)
    request = new.request(replaces=True)
    service.org.bind(request, new.signing_key.sign(request.message()))
    service.org.open_epoch(made)
    tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
    tenant.reconcile(wiring)
    assert tenant.committed(group) == {device.user, grace.user}
    assert tenant.dirty() == []
    with UnitOfWork(tenant.bench.engine) as work:
        scope = TenantScope(work.connection, tenant.id)
        assert grant_of(scope, device.user, group, device.key_id) is None
        granted = grant_of(scope, device.user, group, new.key_id)
        assert granted is not None
        assert granted.epoch == 2
        assert check(work.connection) == []


def test_a_missing_envelope_of_an_unbound_key_keeps_no_group_open(
    tenant: Tenant, service: FakeService, device: Device
) -> None:
    service.loses_envelopes = True
    device.submit()
    group = tenant.group([device.user])
    tenant.reconcile()
    assert tenant.dirty() == [group]
    service.org.unbind(device.key_id)
    service.loses_envelopes = False
    tenant.make_due()
    tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
    tenant.reconcile()
    tenant.make_due()
    tenant.reconcile()
    assert tenant.rows("SELECT key_id FROM missing_envelopes WHERE tenant_id = %s") == []
    assert tenant.dirty() == []


def test_an_unbound_member_waits_for_a_key_and_no_longer_for_a_hold(
    tenant: Tenant, service: FakeService, device: Device
) -> None:
    device.submit()
    group = tenant.group([device.user])
    service.hold(group.bytes, device.user.bytes, reason="approval_needed")
    tenant.reconcile()
    reason = "SELECT reason FROM memberships WHERE tenant_id = %s"
    assert tenant.one(reason) == "approval_needed"
    service.org.unbind(device.key_id)
    service.holds.clear()
    tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
    tenant.reconcile()
    assert tenant.one(reason) is None


def test_a_hold_of_another_device_shows_once_the_granted_one_is_unbound(
    tenant: Tenant, service: FakeService, device: Device
) -> None:
    """Nobody listed it while the member was granted, and it is not a new hold now."""
    device.submit()
    group = tenant.group([device.user])
    tenant.reconcile()
    service.hold(group.bytes, device.user.bytes, reason="approval_needed")
    Device(tenant, service.org.id, device.user).submit()
    tenant.reconcile()
    reason = "SELECT reason FROM memberships WHERE tenant_id = %s"
    assert tenant.committed(group) == {device.user}
    assert tenant.one(reason) is None
    service.org.unbind(device.key_id)
    tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
    tenant.reconcile()
    assert tenant.committed(group) == set()
    assert tenant.one(reason) == "approval_needed"
    assert tenant.one("SELECT holds_version FROM tenants WHERE id = %s") == 1


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
