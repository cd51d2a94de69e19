"""Crashes, repeated jobs, two workers at once, a service that fails, hangs or comes back."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import grpc
import psycopg
import pytest

from encryption_api import encryption_pb2 as pb
from tests.support.ledger_maker import FakeService
from tests.worker.parts import Bench, Killed, Tenant, in_background, killer
from tests.worker.test_commit import enrolled

BEFORE_THE_COMMIT = [
    "claimed",
    "commands_sent",
    "outcomes_received",
    "entries_verified",
    "applying",
]


def breaker(tenant: Tenant) -> tuple[int, str | None, bool]:
    row: tuple[int, str | None, bool] = tenant.one(
        "SELECT service_failures, service_reason, service_down_since IS NOT NULL"
        " FROM tenants WHERE id = %s"
    )
    return row


@pytest.mark.parametrize("step", [*BEFORE_THE_COMMIT, "applied", "finished"])
def test_a_worker_that_dies_at_any_step_leaves_nothing_to_repair(
    tenant: Tenant, service: FakeService, step: str
) -> None:
    """The next worker commits, at once, and the service has opened one epoch only."""
    users = enrolled(tenant, service, 3)
    tenant.reconcile()
    group = tenant.group(users)
    with pytest.raises(Killed):
        tenant.reconcile(tenant.bench.worker(killer(step)))
    if step in BEFORE_THE_COMMIT:
        assert tenant.committed(group) == set()
    tenant.reconcile()
    assert tenant.committed(group) == set(users)
    assert tenant.dirty() == []
    assert tenant.one("SELECT count(*) FROM epochs WHERE tenant_id = %s") == 1
    assert tenant.kinds().count("committed") == 3


@pytest.mark.parametrize("step", ["keys_sent", "keys_answered", "applying"])
def test_keys_survive_a_worker_that_dies(tenant: Tenant, service: FakeService, step: str) -> None:
    enrolled(tenant, service, 2)
    with pytest.raises(Killed):
        tenant.reconcile(tenant.bench.worker(killer(step)))
    tenant.reconcile()
    assert tenant.rows("SELECT state FROM member_keys WHERE tenant_id = %s") == [("bound",)] * 2


def test_repeated_jobs_change_nothing(tenant: Tenant, service: FakeService) -> None:
    users = enrolled(tenant, service, 2)
    group = tenant.group(users)
    wiring = tenant.bench.worker()
    for _ in range(3):
        tenant.reconcile(wiring)
    size = len(service.org.entries)
    tenant.push(group)
    tenant.reconcile(wiring)
    assert len(service.org.entries) == size
    assert tenant.dirty() == []


def test_two_workers_at_once_do_the_work_once(tenant: Tenant, service: FakeService) -> None:
    """The second finds the lease taken and goes; what came meanwhile is not lost."""
    users = enrolled(tenant, service, 2)
    first_group = tenant.group(users)
    reached, go_on = threading.Event(), threading.Event()

    def stop_once(step: str) -> None:
        if step == "commands_sent" and not reached.is_set():
            reached.set()
            assert go_on.wait(10)

    thread = in_background(lambda: tenant.reconcile(tenant.bench.worker(stop_once)))
    assert reached.wait(10)
    second_group = tenant.group(users)
    tenant.reconcile()
    assert tenant.committed(second_group) == set(), "the other worker has the tenant"
    go_on.set()
    thread.join(10)
    assert not thread.is_alive()
    assert tenant.committed(first_group) == tenant.committed(second_group) == set(users)
    assert tenant.dirty() == []


def test_a_worker_that_lost_its_lease_writes_nothing_twice(
    tenant: Tenant, service: FakeService
) -> None:
    """Its session is cut while it works; another one takes over; the fence and size decide."""
    users = enrolled(tenant, service, 2)
    tenant.reconcile()
    group = tenant.group(users)
    reached, go_on = threading.Event(), threading.Event()

    def stop_once(step: str) -> None:
        if step == "entries_verified" and not reached.is_set():
            reached.set()
            assert go_on.wait(10)

    thread = in_background(lambda: tenant.reconcile(tenant.bench.worker(stop_once)))
    assert reached.wait(10)
    with psycopg.connect(tenant.bench.database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        )
    tenant.reconcile()
    assert tenant.committed(group) == set(users)
    go_on.set()
    thread.join(10)
    assert not thread.is_alive()
    assert tenant.dirty() == []
    assert tenant.kinds().count("committed") == 2
    assert breaker(tenant) == (0, None, False)


def test_connections_that_died_between_jobs_cost_no_job(
    tenant: Tenant, service: FakeService
) -> None:
    """PostgreSQL was restarted, or a firewall forgot: the next job has new connections."""
    users = enrolled(tenant, service, 1)
    wiring = tenant.bench.worker()
    tenant.reconcile(wiring)
    group = tenant.group(users)
    tenant.run(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'groupseal worker'"
    )
    tenant.reconcile(wiring)
    assert tenant.committed(group) == set(users)


def test_another_base_is_read_on_and_tried_at_once(tenant: Tenant, service: FakeService) -> None:
    """The service acted by itself: the difference is worked out again."""
    users = enrolled(tenant, service, 3)
    group = tenant.group(users[:2])
    wiring = tenant.bench.worker()
    tenant.reconcile(wiring)
    service.org.open_epoch(service.org.groups[group.bytes])
    tenant.push(group, add=users[2:])
    tenant.reconcile(wiring)
    assert tenant.committed(group) == set(users)
    assert tenant.dirty() == []


def test_a_base_that_never_fits_is_tried_a_few_times_only(
    tenant: Tenant, service: FakeService
) -> None:
    service.outcome = pb.ReconcileGroupsResponse(outcome=pb.OUTCOME_BASE_MISMATCH)
    group = tenant.group(enrolled(tenant, service, 1))
    tenant.reconcile()
    assert service.calls.count("ReconcileGroups") == 4
    assert tenant.dirty() == [group]
    assert tenant.one("SELECT reason FROM groups WHERE tenant_id = %s") == "ledger_order"


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [
        (
            pb.ReconcileGroupsResponse(outcome=pb.OUTCOME_REFUSED, reason="roster_too_large"),
            ("roster_too_large", 1, True),
        ),
        (
            pb.ReconcileGroupsResponse(outcome=pb.OUTCOME_DELAYED, retry_after_ms=60_000),
            ("rotating", 0, True),
        ),
    ],
)
def test_refused_and_delayed_groups_wait_with_their_reason(
    tenant: Tenant,
    service: FakeService,
    outcome: pb.ReconcileGroupsResponse,
    shown: tuple[str, int, bool],
) -> None:
    service.outcome = outcome
    group = tenant.group(enrolled(tenant, service, 1))
    tenant.reconcile()
    assert tenant.dirty() == [group]
    query = "SELECT reason, attempts, next_attempt_at > now() FROM groups WHERE tenant_id = %s"
    assert tenant.one(query) == shown


def test_members_that_the_service_refuses_are_shown_with_their_reason(
    tenant: Tenant, service: FakeService
) -> None:
    users = tenant.users(2)
    group = tenant.group(users)
    tenant.reconcile()
    refusal = pb.Refusal(member_id=users[0].bytes, reason="suite_not_allowed")
    service.outcome = pb.ReconcileGroupsResponse(outcome=pb.OUTCOME_DONE, refusals=[refusal])
    tenant.push(group)
    tenant.reconcile()
    reasons = dict(tenant.rows("SELECT user_id, reason FROM memberships WHERE tenant_id = %s"))
    assert reasons == {users[0]: "suite_not_allowed", users[1]: None}
    assert tenant.dirty() == []


def test_the_breaker_opens_and_closes_and_says_so_once(
    tenant: Tenant, service: FakeService
) -> None:
    """Down: nothing is sent until it is time. Up again: everything is done."""
    users = enrolled(tenant, service, 2)
    group = tenant.group(users)
    service.stop()
    tenant.reconcile()
    assert breaker(tenant) == (1, "service_unavailable", True)
    calls = len(service.calls)
    tenant.reconcile()
    assert (len(service.calls), breaker(tenant)[0]) == (calls, 1), "the breaker is open"
    tenant.make_due()
    tenant.reconcile()
    assert breaker(tenant)[0] == 2
    service.start()
    tenant.make_due()
    tenant.reconcile()
    assert tenant.committed(group) == set(users)
    assert breaker(tenant) == (0, None, False)
    assert tenant.one("SELECT reason FROM groups WHERE tenant_id = %s") is None
    assert [k for k in tenant.kinds() if k.startswith("service_")] == ["service_down", "service_up"]


@pytest.mark.parametrize(
    ("code", "given", "shown"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, "ledger_behind", "ledger_behind"),
        (grpc.StatusCode.PERMISSION_DENIED, "who knows", "service_refused"),
        (grpc.StatusCode.INTERNAL, "internal", "internal"),
    ],
)
def test_a_refusal_of_calls_is_shown_as_what_it_is(
    tenant: Tenant, service: FakeService, code: grpc.StatusCode, given: str, shown: str
) -> None:
    group = tenant.group(tenant.users(1))
    service.deaf = (code, given)
    tenant.reconcile()
    assert breaker(tenant) == (1, shown, True)
    assert tenant.one("SELECT halted_reason FROM tenants WHERE id = %s") is None
    assert tenant.one("SELECT reason FROM groups WHERE tenant_id = %s") in {shown, None}
    service.deaf = None
    tenant.make_due()
    tenant.reconcile()
    assert tenant.dirty() == []
    assert tenant.committed(group) == set()


def test_another_service_on_the_address_is_not_believed(
    tenant: Tenant, service: FakeService, bench: Bench
) -> None:
    """Its certificate is not of the pinned authority."""
    tenant.group(tenant.users(1))
    port = service.port
    service.stop()
    impostor = FakeService(bench.vendor_ca)
    impostor.port = port
    with impostor:
        tenant.reconcile()
    assert breaker(tenant)[1] == "unpinned_service"
    assert impostor.calls == []


def test_a_tenants_certificate_is_not_issued_for_another(bench: Bench) -> None:
    """Each identity names its tenant."""
    one, two = bench.tenant(), bench.tenant()
    certificates = [bench.authority.certificate_for(t.id).certificate for t in (one, two)]
    assert str(one.id).encode() not in certificates[1]
    assert bench.authority.certificate_for(one.id).certificate == certificates[0]


@contextmanager
def black_hole() -> Iterator[str]:
    """An address that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_hanging_service_holds_up_one_worker_and_no_other_tenant(
    tenant: Tenant, service: FakeService, bench: Bench
) -> None:
    """Two workers: one waits for the black hole, the other serves; then the breaker is open."""
    other = FakeService(bench.vendor_ca)
    hanging = bench.tenant()
    with black_hole() as address:
        hanging.connect(other.identity, address, offline=True)
        hanging.group(hanging.users(1))
        group = tenant.group(enrolled(tenant, service, 1))
        begun = time.monotonic()
        first, second = bench.worker(), bench.worker()
        waiting = in_background(lambda: hanging.reconcile(first))
        hanging_again = in_background(lambda: hanging.reconcile(second))
        hanging_again.join(2)
        held = [thread for thread in (waiting, hanging_again) if thread.is_alive()]
        assert len(held) == 1, "only one of two workers waits for the same tenant"
        tenant.reconcile()
        assert time.monotonic() - begun < 4
        assert tenant.committed(group)
        held[0].join(8)
        assert not held[0].is_alive()
        assert time.monotonic() - begun < 7
    assert breaker(hanging)[:2] == (1, "service_timeout")


@pytest.mark.parametrize("call", ["ReconcileGroups", "ReadLedger"])
def test_a_service_that_falls_silent_is_given_up(
    bench: Bench, service: FakeService, call: str
) -> None:
    """No progress within the time of a call ends it, on a kept channel too."""
    bench.settings["call_timeout"] = 0.5
    tenant = bench.tenant()
    tenant.connect(service.identity, service.address)
    step = {"ReconcileGroups": "commands_sent", "ReadLedger": "outcomes_received"}[call]

    def fall_silent(reached: str) -> None:
        if reached == step:
            service.silent.set()

    group: UUID = tenant.group(tenant.users(1))
    begun = time.monotonic()
    tenant.reconcile(bench.worker(fall_silent))
    assert time.monotonic() - begun < 3
    assert breaker(tenant)[:2] == (1, "service_timeout")
    assert tenant.dirty() == [group]
    service.silent.clear()


def test_a_fault_of_ours_is_shown_and_does_not_spin(tenant: Tenant, service: FakeService) -> None:
    """An unexpected exception opens the breaker with `internal`; the group stays due."""

    def fault(step: str) -> None:
        if step == "entries_verified":
            raise RuntimeError("made by the test")

    group = tenant.group(tenant.users(1))
    with pytest.raises(RuntimeError):
        tenant.reconcile(tenant.bench.worker(fault))
    assert breaker(tenant) == (1, "internal", True)
    assert tenant.dirty() == [group]
    tenant.make_due()
    tenant.reconcile()
    assert breaker(tenant) == (0, None, False)
    assert tenant.dirty() == []
