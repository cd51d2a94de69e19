"""News of an idle tenant's ledger reaches a worker at once, and only from who was connected."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from directory.database import make_engine
from directory.due_work import has_work, workable_tenant
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from directory.wake_up import QUEUE, make_redis
from encryption_api import encryption_pb2 as pb
from tests.support.devices import Device
from tests.support.ledger_maker import FakeService
from tests.support.service import ServiceProcess
from tests.support.waiting import wait_for
from tests.worker.parts import AUTHORITY, Bench, Tenant
from worker.client_certificates import Authority, tenant_identity
from worker.settings import WatchingSettings
from worker.watcher import LedgerWatcher, WatcherSettings
from worker.wiring import watching

QUICK = WatcherSettings(interval=0.1, timeout=5.0, settle=0.05)
REFRESH = timedelta(hours=1)


@contextmanager
def watched(bench: Bench, settings: WatcherSettings = QUICK) -> Iterator[LedgerWatcher]:
    engine, redis = make_engine(bench.database_url, pool_size=2), make_redis(bench.redis_url)
    watcher = LedgerWatcher(engine, redis, Authority(bench.folder / AUTHORITY), settings)
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()
        redis.close()
        engine.dispose()


def jobs(bench: Bench) -> list[str]:
    """The tenants that jobs are waiting for."""
    redis = Redis.from_url(bench.redis_url)
    queue = Queue(QUEUE, connection=redis, serializer=JSONSerializer)
    found = [str(job.args[0]) for job in queue.get_jobs()]
    redis.close()
    return found


def has_news(tenant: Tenant) -> bool:
    """The ledger is to be read although it is not time; the sweeper sees that."""
    if tenant.one("SELECT ledger_read_at IS NOT NULL FROM tenants WHERE id = %s"):
        return False
    with UnitOfWork(tenant.bench.engine) as work:
        assert has_work(TenantScope(work.connection, tenant.id), REFRESH)
    return True


def idle(tenant: Tenant) -> None:
    """Everything is read, and nothing is to do."""

    def is_idle() -> bool:
        tenant.make_due()
        tenant.reconcile()
        return not tenant.dirty() and not has_news(tenant)

    wait_for(is_idle, 20, "a tenant with nothing to do", every=0.2)


def test_entries_and_holds_of_an_idle_tenant_make_it_due_and_wake_a_worker(
    tenant: Tenant, service: FakeService
) -> None:
    user = tenant.user()
    group = tenant.group([user])
    idle(tenant)
    with watched(tenant.bench):
        wait_for(lambda: "WatchLedger" in service.calls, 10, "the watch")
        assert not has_news(tenant), "what is known already is no news"
        service.org.rename(service.org.groups[group.bytes], "Treasury")
        service.tell()
        wait_for(lambda: has_news(tenant), 10, "the news of an entry")
        wait_for(lambda: str(tenant.id) in jobs(tenant.bench), 10, "a job")
        idle(tenant)
        service.hold(group.bytes, user.bytes, reason="frozen")
        service.tell()
        wait_for(lambda: has_news(tenant), 10, "the news of a hold")
        idle(tenant)
    assert tenant.one("SELECT holds_version FROM tenants WHERE id = %s") == 1
    assert service.calls.count("WatchLedger") == 1, "one call all the time"


def test_a_service_that_went_away_is_watched_again(tenant: Tenant, service: FakeService) -> None:
    """After the back-off, which its return does not have to wait out for long."""
    idle(tenant)
    with watched(tenant.bench):
        wait_for(lambda: "WatchLedger" in service.calls, 10, "the watch")
        service.stop()
        service.calls.clear()
        service.org.group("Finance")
        service.start()
        wait_for(lambda: "WatchLedger" in service.calls, 20, "another watch")
        wait_for(lambda: has_news(tenant), 10, "the news")


def test_a_service_that_hangs_holds_up_no_other(bench: Bench) -> None:
    """Its first word does not come; the other tenant's news does."""
    with FakeService(bench.vendor_ca) as hanging, FakeService(bench.vendor_ca) as well:
        tenants = []
        for service in (hanging, well):
            tenant = bench.tenant()
            tenant.connect(service.identity, service.address)
            idle(tenant)
            tenants.append(tenant)
        hanging.silent.set()
        with watched(bench, replace(QUICK, timeout=0.5)):
            wait_for(lambda: "WatchLedger" in well.calls, 10, "the watch")
            well.org.group("Finance")
            well.tell()
            wait_for(lambda: has_news(tenants[1]), 10, "the news")
            assert not has_news(tenants[0])
        hanging.silent.clear()


def test_tenants_that_come_move_or_are_halted_are_noticed(bench: Bench) -> None:
    with (
        FakeService(bench.vendor_ca) as first,
        FakeService(bench.vendor_ca, org=first.org) as second,
        watched(bench),
    ):
        tenant = bench.tenant()
        tenant.connect(first.identity, first.address)
        wait_for(lambda: "WatchLedger" in first.calls, 10, "a tenant that came")
        tenant.connect(second.identity, second.address)
        wait_for(lambda: "WatchLedger" in second.calls, 10, "a tenant that moved")
        tenant.run("UPDATE tenants SET halted_reason = 'ledger_forked' WHERE id = %s", tenant.id)
        wait_for(lambda: first.watching == second.watching == 0, 10, "the end")


def test_another_service_at_the_address_is_not_believed(bench: Bench) -> None:
    """It has no certificate of the pinned authority: no news of its is taken."""
    with FakeService(bench.vendor_ca) as service, FakeService(bench.vendor_ca) as other:
        tenant = bench.tenant()
        tenant.connect(service.identity, service.address)
        idle(tenant)
        tenant.run(
            "UPDATE tenants SET service_address = %s WHERE id = %s", other.address, tenant.id
        )
        for _ in range(5):
            other.org.group("More entries than the tenant's own service has")
        with watched(bench):
            watching_again = threading.Event()
            assert not watching_again.wait(1.5)
            assert other.calls == []
            assert not has_news(tenant)


def test_another_organisation_with_the_right_certificate_is_not_believed(
    tenant: Tenant, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle(tenant)
    original = FakeService.GetOrganisation

    def another(
        self: FakeService, request: pb.GetOrganisationRequest, context: grpc.ServicerContext
    ) -> pb.GetOrganisationResponse:
        answer = original(self, request, context)
        answer.organisation_id = bytes(16)
        return answer

    monkeypatch.setattr(FakeService, "GetOrganisation", another)
    service.stop()
    service.start()
    service.calls.clear()
    with watched(tenant.bench):
        wait_for(lambda: service.calls.count("GetOrganisation") > 1, 15, "two attempts")
    assert "WatchLedger" not in service.calls


def test_a_database_that_is_away_ends_nothing(tenant: Tenant, service: FakeService) -> None:
    """Its connections are cut; the watch goes on and notes the next news."""
    idle(tenant)
    with watched(tenant.bench):
        wait_for(lambda: "WatchLedger" in service.calls, 10, "the watch")
        tenant.run(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        service.org.group("Finance")
        service.tell()
        wait_for(lambda: has_news(tenant), 10, "the news")
    assert service.calls.count("WatchLedger") == 1


def test_more_tenants_than_are_watched_are_left_to_the_sweeper(bench: Bench) -> None:
    with FakeService(bench.vendor_ca) as first, FakeService(bench.vendor_ca) as second:
        services = {}
        for service in (first, second):
            tenant = bench.tenant()
            tenant.connect(service.identity, service.address)
            services[tenant.id] = service
        with watched(bench, replace(QUICK, most=1)):
            lower, higher = (services[id_] for id_ in sorted(services))
            wait_for(lambda: "WatchLedger" in lower.calls, 10, "the watch")
            assert "WatchLedger" not in higher.calls


def test_the_settings_switch_it_off(bench: Bench) -> None:
    """Without the authority, or by GROUPSEAL_WATCH_LEDGERS."""
    off = WatchingSettings(
        database_url=bench.database_url,
        redis_url=bench.redis_url,
        watch_ledgers=False,
        authority_dir=bench.folder / AUTHORITY,
    )
    for settings in (
        off,
        off.model_copy(update={"watch_ledgers": True, "authority_dir": None}),
    ):
        with watching(settings):
            assert not [one for one in threading.enumerate() if one.name == "watcher"]
    with watching(off.model_copy(update={"watch_ledgers": True})):
        assert [one for one in threading.enumerate() if one.name == "watcher"]
    assert not [one for one in threading.enumerate() if one.name == "watcher"]


def test_the_sweeper_process_watches_a_real_service(bench: Bench) -> None:
    """What the service does by itself is noticed at once, long before the next refresh."""
    tenant = bench.tenant()
    with ServiceProcess(
        bench.folder / "service",
        vendor_ca=bench.vendor_ca,
        client_identity=tenant_identity(tenant.id),
    ) as service:
        tenant.connect(service.identity(), service.address)
        user = tenant.user()
        group = tenant.group([user])
        idle(tenant)
        bench.settings["ledger_refresh"] = 3600
        process = subprocess.Popen(
            [Path(sys.executable).with_name("groupseal"), "sweeper"], env=bench.environment()
        )
        try:
            wait_for(lambda: _is_looking(tenant), 30, "the start of the sweeper")
            # Somebody's worker died as soon as the service had bound the key.
            device = Device(service.identity().organisation, user.bytes)
            _offer(tenant, device.binding())
            assert not has_news(tenant)
            wait_for(lambda: has_news(tenant), 20, "the news")
            wait_for(lambda: str(tenant.id) in jobs(bench), 10, "a job")
            tenant.reconcile()
            wait_for(lambda: tenant.committed(group) == {user}, 10, "the grant", every=0.2)
        finally:
            process.terminate()
            assert process.wait(15) == 0


def _is_looking(tenant: Tenant) -> bool:
    return bool(
        tenant.rows(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'groupseal watcher' AND %s IS NOT NULL"
        )
    )


def _offer(tenant: Tenant, binding: pb.KeyBinding) -> None:
    wiring = tenant.bench.worker()
    with UnitOfWork(tenant.bench.engine) as work:
        connected = workable_tenant(TenantScope(work.connection, tenant.id), REFRESH)
    assert connected is not None
    message = pb.BindMemberKeysRequest(binding=binding)
    (answer,) = wiring.services.connection(connected).bind_member_keys("", [message])
    assert answer.outcome == pb.BINDING_OUTCOME_BOUND
