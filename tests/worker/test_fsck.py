"""Everything stored is compared with the signed ledger; each kind of damage has its own code."""

from collections.abc import Sequence

import pytest

from directory.fsck import check
from tests.support.ledger_maker import FakeService
from tests.worker.parts import Tenant
from tests.worker.test_commit import enrolled


def codes(tenant: Tenant) -> set[str]:
    with tenant.bench.engine.connect() as connection:
        return {finding.code for finding in check(connection, tenant.id)}


def lived(tenant: Tenant, service: FakeService) -> None:
    """A tenant with a past: joined, left, rotated, renamed, one without a key."""
    users = enrolled(tenant, service, 3)
    group = tenant.group([*users, tenant.user()])
    tenant.group()
    tenant.reconcile()
    tenant.push(group, remove=users[:1])
    tenant.reconcile()
    tenant.push(group, add=users[:1])
    tenant.reconcile()
    tenant.push(group, remove=users[2:])
    tenant.reconcile()


def test_a_tenant_with_a_past_is_sound(tenant: Tenant, service: FakeService) -> None:
    tenant.bench.tenant()
    assert codes(tenant) == set()
    lived(tenant, service)
    with tenant.bench.engine.connect() as connection:
        assert check(connection) == []


DAMAGES: list[tuple[Sequence[str], str]] = [
    (["UPDATE ledger_entries SET entry = entry || '\\x00'::bytea"], "ledger_invalid"),
    (["UPDATE ledger_entries SET root = sha256(root) WHERE position = 3"], "root_differs"),
    (["UPDATE ledger_entries SET group_id = NULL WHERE position = 5"], "entry_group_differs"),
    (["DELETE FROM ledger_parts WHERE kind = 4"], "ledger_invalid"),
    (["UPDATE ledger_parts SET body = body || '\\x00'::bytea"], "ledger_invalid"),
    (["UPDATE tenants SET ledger_size = ledger_size + 1"], "size_differs"),
    (["UPDATE tenants SET ledger_range = NULL"], "range_differs"),
    (["UPDATE tenants SET ledger_time_ms = 7"], "time_differs"),
    (["UPDATE tenants SET ledger_head = ''"], "ledger_invalid"),
    (["UPDATE groups SET epoch_open = false"], "group_differs"),
    (["UPDATE groups SET roster_digest = sha256(roster_digest)"], "group_differs"),
    (["UPDATE groups SET reconciled_version = 99"], "versions_differ"),
    (["DELETE FROM epochs WHERE epoch = 1"], "epoch_differs"),
    (["UPDATE memberships SET rostered = NOT rostered"], "roster_differs"),
    (["UPDATE memberships SET rostered = NOT rostered"], "difference_not_due"),
    (["UPDATE memberships SET wanted = false"], "wanted_differs"),
    (["UPDATE memberships SET grant_key_id = NULL", "DELETE FROM grants"], "grant_missing"),
    (["UPDATE grants SET epoch = 1"], "grant_differs"),
    (["UPDATE grants SET batch_index = 9"], "grant_differs"),
    (["UPDATE grants SET envelope = envelope || '\\x00'::bytea"], "envelope_damaged"),
    (["UPDATE member_keys SET hpke_public_key = sha256(hpke_public_key)"], "key_differs"),
    (["UPDATE member_keys SET state = 'refused'"], "key_differs"),
    (["DELETE FROM member_keys"], "key_missing"),
    (["UPDATE member_keys SET sealed_evidence = 'x'"], "evidence_kept"),
    (["UPDATE tenants SET trust_mode = 'oidc'"], "trust_differs"),
    (["UPDATE tenants SET membership_check = 'enforce'"], "trust_differs"),
]


@pytest.mark.parametrize(("damage", "code"), DAMAGES)
def test_damage_is_found(
    tenant: Tenant, service: FakeService, damage: Sequence[str], code: str
) -> None:
    """One change to the stored rows, one code that says so."""
    lived(tenant, service)
    for statement in damage:
        tenant.run(statement)
    assert code in codes(tenant)
