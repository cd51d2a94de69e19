"""Keys that are replaced or removed: by members, by the service, in every group."""

import pytest

from directory.devices import devices_of
from directory.fsck import check
from directory.member_view import grant_of
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from groupseal.key_removal import KeyRemoval
from tests.support.ledger_maker import FakeService
from tests.worker.devices import Device
from tests.worker.parts import Killed, Tenant, killer


def removal(tenant: Tenant) -> tuple[str, str | None]:
    state, reason = tenant.one("SELECT state, reason FROM key_removals WHERE tenant_id = %s")
    return state, reason


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
