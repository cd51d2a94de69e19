"""A restored database of the vendor's: nobody who had left comes back by himself (I6)."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.support.ledger_maker import FakeService
from tests.support.postgres import RunningPostgres
from tests.worker.parts import Bench, Tenant
from tests.worker.test_commit import enrolled


class Backup:
    """A copy of the test's database, which can take its place again."""

    def __init__(self, postgres: RunningPostgres, bench: Bench) -> None:
        self._postgres, self._bench = postgres, bench
        self._name = bench.database_url.rpartition("/")[2].partition("?")[0]

    def take(self) -> None:
        self._bench.engine.dispose()
        self._copy(self._name, f"{self._name}_backup")

    def restore(self) -> None:
        self._bench.engine.dispose()
        self._postgres.drop(self._name)
        self._copy(f"{self._name}_backup", self._name)

    def _copy(self, source: str, target: str) -> None:
        with psycopg.connect(self._postgres.superuser_url(), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (source,),
            )
        self._postgres.create(target, template=source)


@contextmanager
def at_backup(postgres: RunningPostgres, bench: Bench) -> Iterator[None]:
    """What happens inside is forgotten by the database, not by the service."""
    backup = Backup(postgres, bench)
    backup.take()
    yield
    backup.restore()


def held(tenant: Tenant) -> dict[object, object]:
    return dict(
        tenant.rows("SELECT user_id, held_reason FROM memberships WHERE tenant_id = %s AND desired")
    )


def test_who_left_since_the_backup_is_held_until_pushed_again(
    postgres: RunningPostgres, bench: Bench, tenant: Tenant, service: FakeService
) -> None:
    """The database wants the leaver in the group again; the ledger's last word is that he left."""
    users = enrolled(tenant, service, 3)
    group = tenant.group(users)
    tenant.reconcile()
    with at_backup(postgres, bench):
        tenant.push(group, remove=users[:1])
        tenant.reconcile()
        tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
        tenant.reconcile()  # acknowledges what was read
    assert tenant.committed(group) == set(users), "the backup says that he is in the group"
    tenant.push(group)
    tenant.reconcile()
    assert tenant.committed(group) == set(users[1:])
    assert held(tenant) == {users[0]: "held_after_restore", users[1]: None, users[2]: None}
    assert tenant.dirty() == []
    assert users[0].bytes not in service.org.groups[group.bytes].roster
    span = tenant.one("SELECT restored_until - restored_from FROM tenants WHERE id = %s")
    assert span == 2
    assert "held" in tenant.kinds()

    tenant.push(group, add=users[:1])
    tenant.reconcile()
    assert tenant.committed(group) == set(users), "a new push confirms him"


def test_who_left_and_came_back_since_the_backup_is_not_held(
    postgres: RunningPostgres, bench: Bench, tenant: Tenant, service: FakeService
) -> None:
    service.chunk = 1
    users = enrolled(tenant, service, 2)
    group = tenant.group(users)
    tenant.reconcile()
    with at_backup(postgres, bench):
        for change in ({"remove": users[:1]}, {"add": users[:1]}, {}):
            tenant.push(group, **change)
            tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
            tenant.reconcile()
    tenant.push(group)
    tenant.reconcile()
    assert tenant.committed(group) == set(users)
    assert set(held(tenant).values()) == {None}


def test_groups_and_members_that_the_backup_does_not_know_are_emptied(
    postgres: RunningPostgres, bench: Bench, tenant: Tenant, service: FakeService
) -> None:
    """They are projected as tombstones, and whoever nobody wants leaves."""
    users = enrolled(tenant, service, 1)
    known = tenant.group(users)
    tenant.reconcile()
    with at_backup(postgres, bench):
        stranger = tenant.user()
        tenant.submit_key(service.org.id, stranger)
        unknown = tenant.group([stranger, *users])
        tenant.push(known, add=[stranger])
        tenant.reconcile()
    tenant.push(known)
    tenant.reconcile()
    tenant.reconcile()
    assert tenant.committed(known) == set(users)
    assert service.org.groups[known.bytes].roster == {users[0].bytes}
    assert service.org.groups[unknown.bytes].roster == set()
    assert tenant.dirty() == []
    row = tenant.rows("SELECT deleted_at IS NOT NULL FROM groups WHERE tenant_id = %s")
    assert sorted(row) == [(False,), (True,)]
