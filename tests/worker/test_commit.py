"""From a push to a committed membership."""

from uuid import UUID

from sqlalchemy import text

from directory.fsck import check
from directory.provisioning_view import provisioning_of_groups
from directory.standing import Standing
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from groupseal.suites import Suite
from tests.support.ledger_maker import FakeService
from tests.support.waiting import wait_for
from tests.worker.parts import Bench, Tenant


def enrolled(tenant: Tenant, service: FakeService, count: int) -> list[UUID]:
    users = tenant.users(count)
    for user in users:
        tenant.submit_key(service.org.id, user)
    return users


def test_a_push_is_committed_with_envelopes_and_told_in_the_timeline(
    tenant: Tenant, service: FakeService
) -> None:
    """Keys are bound, the group is reconciled, and every member has a grant."""
    users = enrolled(tenant, service, 5)
    group = tenant.group(users, "Finance")
    tenant.reconcile()
    assert tenant.committed(group) == set(users)
    assert tenant.dirty() == []
    assert tenant.one("SELECT named_as FROM groups WHERE tenant_id = %s") == "Finance"
    lengths = tenant.rows("SELECT length(envelope) FROM grants WHERE tenant_id = %s")
    assert lengths == [(Suite.XWING.sealed_length(32),)] * 5
    assert tenant.kinds().count("committed") == 5
    assert tenant.kinds().count("key_bound") == 5
    assert tenant.kinds().count("epoch_opened") == 1
    assert tenant.ledger_size() == len(service.org.entries)


def test_committing_and_counting_look_at_a_grant_a_few_times_at_most(
    tenant: Tenant, service: FakeService
) -> None:
    """Whatever the planner chooses: no walk through the group for each of its members."""
    count = 300
    inserted, looked_at = _grants_touched(tenant)
    group = tenant.group(enrolled(tenant, service, count))
    wiring = tenant.bench.worker()
    tenant.reconcile(wiring)
    wiring.engine.dispose()  # a connection that ends reports what it did
    wait_for(lambda: _grants_touched(tenant)[0] == inserted + count, 10, "the statistics")
    assert _grants_touched(tenant)[1] - looked_at <= 10 * count
    assert len(tenant.committed(group)) == count
    with UnitOfWork(tenant.bench.engine) as work:
        scope = TenantScope(work.connection, tenant.id)
        tally = provisioning_of_groups(scope, [group])[group].tally
        assert tally.standings == {Standing.COMMITTED: count}
        fetched = work.connection.execute(_FETCHED_HERE).scalar_one()
    assert fetched <= 10 * count


_FETCHED_HERE = text("""
    SELECT coalesce(idx_tup_fetch, 0) + seq_tup_read FROM pg_stat_xact_user_tables
    WHERE relname = 'grants'
""")


def _grants_touched(tenant: Tenant) -> tuple[int, int]:
    """How many grants were ever inserted, and looked at."""
    with UnitOfWork(tenant.bench.engine) as work:
        row = work.connection.execute(
            text("""
                SELECT n_tup_ins, coalesce(idx_tup_fetch, 0) + seq_tup_read
                FROM pg_stat_user_tables WHERE relname = 'grants'
            """)
        ).one()
    return row[0], row[1]


def test_members_without_a_key_are_rostered_and_committed_once_they_have_one(
    tenant: Tenant, service: FakeService
) -> None:
    """Binding a key makes the groups due in which its member waits."""
    first = enrolled(tenant, service, 1)
    late = tenant.user()
    group = tenant.group([*first, late])
    tenant.reconcile()
    assert tenant.committed(group) == set(first)
    assert tenant.dirty() == []
    tenant.submit_key(service.org.id, late)
    tenant.reconcile()
    assert tenant.committed(group) == {*first, late}
    assert tenant.dirty() == []


def test_a_removal_rotates_and_forgets_the_envelope(tenant: Tenant, service: FakeService) -> None:
    """The leaver's row and grant are gone; the others are committed in the next epoch."""
    users = enrolled(tenant, service, 3)
    group = tenant.group(users)
    tenant.reconcile()
    tenant.push(group, remove=users[:1])
    tenant.reconcile()
    assert tenant.committed(group) == set(users[1:])
    members = tenant.rows("SELECT member_id, epoch FROM grants WHERE tenant_id = %s")
    assert sorted(members) == sorted((user, 2) for user in users[1:])
    assert len(tenant.rows("SELECT user_id FROM memberships WHERE tenant_id = %s")) == 2
    assert tenant.kinds().count("removed") == 1
    assert tenant.kinds().count("committed") == 3, "a rotation commits nobody anew"


def test_one_who_leaves_and_comes_back_is_committed_again(
    tenant: Tenant, service: FakeService
) -> None:
    users = enrolled(tenant, service, 2)
    group = tenant.group(users)
    tenant.reconcile()
    tenant.push(group, remove=users[:1])
    tenant.reconcile()
    tenant.push(group, add=users[:1])
    tenant.reconcile()
    assert tenant.committed(group) == set(users)


def test_leaving_and_coming_back_in_one_chunk(tenant: Tenant, service: FakeService) -> None:
    """The service acted twice before anybody read: the last word counts."""
    users = enrolled(tenant, service, 2)
    group = tenant.group(users)
    tenant.reconcile()
    made = service.org.groups[group.bytes]
    service.org.close_epoch(made, [users[0].bytes])
    service.org.open_epoch(made)
    service.org.add(made, [users[0].bytes])
    tenant.push(group)
    tenant.reconcile()
    assert tenant.committed(group) == set(users)
    assert tenant.dirty() == []


def test_an_unbound_key_loses_its_envelopes_and_another_device_takes_over(
    tenant: Tenant, service: FakeService
) -> None:
    """One member has two devices, another one; both of the first keys are unbound."""
    users = enrolled(tenant, service, 2)
    spare = tenant.submit_key(service.org.id, users[0])
    group = tenant.group(users)
    tenant.reconcile()
    assert tenant.one("SELECT count(*) FROM grants WHERE tenant_id = %s") == 3
    for key_id in set(service.org.keys) - {spare}:
        service.org.unbind(key_id)
    service.org.open_epoch(service.org.groups[group.bytes])
    tenant.push(group)
    tenant.reconcile()
    assert tenant.committed(group) == {users[0]}
    assert tenant.rows("SELECT key_id FROM grants WHERE tenant_id = %s") == [(spare,)]
    states = tenant.rows("SELECT state FROM member_keys WHERE tenant_id = %s ORDER BY state")
    assert states == [("bound",), ("unbound",), ("unbound",)]
    with tenant.bench.engine.connect() as connection:
        assert check(connection) == []


def test_many_groups_go_in_one_stream(tenant: Tenant, service: FakeService) -> None:
    users = enrolled(tenant, service, 3)
    groups = [tenant.group(users) for _ in range(30)]
    tenant.reconcile()
    assert all(tenant.committed(group) == set(users) for group in groups)
    assert service.calls.count("ReconcileGroups") == 1


def test_chunks_are_applied_one_by_one(tenant: Tenant, service: FakeService) -> None:
    """Each head of a long ledger is a commit of its own."""
    service.chunk = 3
    users = enrolled(tenant, service, 4)
    groups = [tenant.group(users) for _ in range(5)]
    steps: list[str] = []
    wiring = tenant.bench.worker(steps.append)
    tenant.reconcile(wiring)
    assert all(tenant.committed(group) == set(users) for group in groups)
    assert steps.count("applied") > 4


def test_a_large_difference_is_sent_and_read_in_pieces(
    tenant: Tenant, service: FakeService, bench: Bench
) -> None:
    """More members than fit one message, none of them with a key."""
    tenant.run(
        "INSERT INTO users (tenant_id, id, user_name, user_name_key)"
        " SELECT %s, gen_random_uuid(), n::text, n::text FROM generate_series(1, 12000) n",
        tenant.id,
    )
    users = [row[0] for row in tenant.rows("SELECT id FROM users WHERE tenant_id = %s")]
    group = tenant.group(users)
    tenant.reconcile()
    count = "SELECT count(*) FROM memberships WHERE tenant_id = %s AND rostered"
    assert tenant.one(count) == 12000
    assert tenant.dirty() == []
    assert service.org.groups[group.bytes].roster == {user.bytes for user in users}


def test_an_idle_tenant_only_reads_and_only_when_it_is_time(
    tenant: Tenant, service: FakeService
) -> None:
    tenant.reconcile()
    assert service.calls == ["GetOrganisation"] * 3 + ["ReadLedger"]
    service.calls.clear()
    tenant.reconcile()
    assert service.calls == []


def test_a_deleted_group_that_nobody_heard_of_needs_no_service(
    tenant: Tenant, service: FakeService
) -> None:
    group = tenant.group()
    tenant.run("UPDATE groups SET deleted_at = now() WHERE id = %s", group)
    tenant.reconcile()
    assert tenant.dirty() == []
    assert "ReconcileGroups" not in service.calls


def test_a_refused_key_is_shown_with_its_reason(tenant: Tenant, service: FakeService) -> None:
    service.refuse_keys = "another_key_is_bound"
    user = tenant.user()
    tenant.submit_key(service.org.id, user)
    tenant.reconcile()
    row = tenant.one("SELECT state, reason, position FROM member_keys WHERE tenant_id = %s")
    assert row == ("refused", "another_key_is_bound", 1)
    assert "key_refused" in tenant.kinds()


def test_lost_envelopes_are_asked_for_again(tenant: Tenant, service: FakeService) -> None:
    """A grant without envelope commits nobody; the next command asks for it."""
    users = enrolled(tenant, service, 2)
    service.loses_envelopes = True
    group = tenant.group(users)
    tenant.reconcile()
    assert tenant.committed(group) == set()
    assert tenant.dirty() == [group]
    assert len(tenant.rows("SELECT key_id FROM missing_envelopes WHERE tenant_id = %s")) == 2
    service.loses_envelopes = False
    tenant.make_due()
    tenant.reconcile()
    assert tenant.committed(group) == set(users)
    assert tenant.rows("SELECT key_id FROM missing_envelopes WHERE tenant_id = %s") == []
    assert tenant.dirty() == []
