"""RQ, Redis and the sweeper: jobs are hints, and only what is allowed runs."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from directory.database import make_engine
from directory.wake_up import QUEUE, RECONCILE_TENANT, wake
from tests.support.ledger_maker import FakeService
from tests.support.valkey import RunningValkey
from tests.support.waiting import wait_for
from tests.worker.parts import Bench, Tenant, in_background
from tests.worker.test_commit import enrolled
from worker import jobs
from worker.rq_worker import GroupsealWorker
from worker.sweeper import Sweeper


@contextmanager
def connected(url: str) -> Iterator["redis.Redis"]:
    client = redis.Redis.from_url(url)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def process(bench: Bench, command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`groupseal worker` or `groupseal sweeper` as a process of its own."""
    program = Path(sys.executable).with_name("groupseal")
    with log.open("ab") as out:
        started = subprocess.Popen(
            [program, command], env=bench.environment(), stdout=out, stderr=out
        )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def sweep(bench: Bench) -> int:
    with connected(bench.redis_url) as client:
        return Sweeper(bench.engine, client, 1, timedelta(seconds=30)).sweep()


def burst(bench: Bench) -> None:
    """Works off the queue in this process."""
    wiring = bench.worker()
    jobs.install(wiring)
    try:
        with connected(bench.redis_url) as client:
            GroupsealWorker(client).work(burst=True, logging_level="WARNING")
    finally:
        jobs.install(None)


def test_a_wake_becomes_a_commit_in_a_worker_process(
    tenant: Tenant, service: FakeService, tmp_path: Path
) -> None:
    """Push, wake, commit; SIGTERM ends the worker in good order; its log is JSON, ids only."""
    bench, log = tenant.bench, tmp_path / "worker.log"
    with process(bench, "worker", log) as worker, connected(bench.redis_url) as client:
        users = enrolled(tenant, service, 2)
        group = tenant.group(users, "Secret project")
        wake(client, tenant.id)
        wait_for(lambda: tenant.committed(group) == set(users), 15, "the commit")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(10) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert all("event" in line for line in lines)
    assert "Secret project" not in log.read_text()


def test_a_wiped_redis_loses_nothing(tenant: Tenant, service: FakeService) -> None:
    """The sweeper finds the work in the database."""
    bench = tenant.bench
    users = enrolled(tenant, service, 2)
    group = tenant.group(users)
    with connected(bench.redis_url) as client:
        wake(client, tenant.id)
        client.flushall()
        burst(bench)
        assert tenant.committed(group) == set()
    assert sweep(bench) == 1
    burst(bench)
    assert tenant.committed(group) == set(users)
    assert sweep(bench) == 0, "nothing is due, and the ledger was just read"


def test_the_sweeper_finds_keys_and_unread_ledgers_and_leaves_the_rest_alone(
    tenant: Tenant, service: FakeService
) -> None:
    bench = tenant.bench
    bench.tenant()  # not connected
    assert sweep(bench) == 1, "a ledger that was never read"
    burst(bench)
    assert sweep(bench) == 0
    tenant.submit_key(service.org.id, tenant.user())
    assert sweep(bench) == 1, "a key that waits"
    burst(bench)
    tenant.group(tenant.users(1))
    tenant.run("UPDATE tenants SET next_attempt_at = now() + interval '1 minute'")
    assert sweep(bench) == 0, "the breaker is open"
    tenant.make_due()
    tenant.run("UPDATE tenants SET halted_reason = 'ledger_forked'")
    assert sweep(bench) == 0, "halted"
    tenant.run("UPDATE tenants SET halted_reason = NULL")
    assert sweep(bench) == 1


def test_a_sweeper_outlives_a_database_that_is_away(bench: Bench) -> None:
    over = threading.Event()
    engine = make_engine(bench.database_url.rpartition("/")[0] + "/not_there")
    with connected(bench.redis_url) as client:
        sweeper = Sweeper(engine, client, 0.05, timedelta(seconds=30))
        thread = in_background(lambda: sweeper.run(over.wait))
        thread.join(0.3)
        assert thread.is_alive()
        over.set()
        thread.join(5)
        assert not thread.is_alive()
    engine.dispose()


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("os.system", ["touch {marker}"]),
        ("subprocess.check_call", [["touch", "{marker}"]]),
        (RECONCILE_TENANT, ["not a tenant"]),
        (RECONCILE_TENANT, []),
        (RECONCILE_TENANT, [str(uuid4()), "more"]),
        (RECONCILE_TENANT, [{"a": 1}]),
    ],
)
def test_a_job_that_is_not_allowed_does_not_run(
    bench: Bench, tmp_path: Path, function: str, arguments: list[Any]
) -> None:
    """Whoever writes to Redis cannot choose a function, nor its arguments."""
    marker = tmp_path / "ran"
    text = json.dumps(arguments).replace("{marker}", str(marker))
    with connected(bench.redis_url) as client:
        queue = Queue(QUEUE, connection=client, serializer=JSONSerializer)
        job = queue.enqueue_call(function, args=tuple(json.loads(text)))
        burst(bench)
        fetched = Job.fetch(job.id, connection=client, serializer=JSONSerializer)
        assert fetched.get_status() == "failed"
        result = fetched.latest_result()
        assert result is not None
        assert "ForbiddenJobError" in str(result.exc_string)
    assert not marker.exists()


def test_callbacks_and_garbage_of_a_job_run_nothing_and_end_nothing(
    tenant: Tenant, service: FakeService, tmp_path: Path
) -> None:
    """A success callback is ignored; bytes that are no job do not end the worker."""
    bench, marker = tenant.bench, tmp_path / "ran"
    group = tenant.group(enrolled(tenant, service, 1))
    with connected(bench.redis_url) as client:
        queue = Queue(QUEUE, connection=client, serializer=JSONSerializer)
        bad = queue.enqueue_call(RECONCILE_TENANT, args=(str(tenant.id),))
        client.hset(f"rq:job:{bad.id}", "data", b"\x80\x04not json")
        good = queue.enqueue_call(RECONCILE_TENANT, args=(str(tenant.id),))
        client.hset(f"rq:job:{good.id}", "success_callback_name", "os.remove")
        client.hset(f"rq:job:{good.id}", "webhooks", "[]")
        burst(bench)
    assert tenant.committed(group)
    assert not marker.exists()


def test_a_worker_outlives_a_redis_that_is_killed(
    database_url: str, own_valkey: RunningValkey, tmp_path: Path
) -> None:
    """Redis dies under an idle worker and comes back; the next job is done."""
    bench = Bench(database_url, own_valkey.url, tmp_path)
    tenant = bench.tenant()
    with FakeService(bench.vendor_ca) as service:
        tenant.connect(service.identity, service.address)
        with process(bench, "worker", tmp_path / "log"), connected(own_valkey.url) as client:
            enrolled(tenant, service, 1)
            wake(client, tenant.id)
            states = "SELECT state FROM member_keys WHERE tenant_id = %s"
            wait_for(lambda: tenant.rows(states) == [("bound",)], 15, "the first job")
            own_valkey.kill()
            own_valkey.start()
            group = tenant.group(
                row[0] for row in tenant.rows("SELECT id FROM users WHERE tenant_id = %s")
            )

            def committed() -> bool:
                wake(client, tenant.id)
                return bool(tenant.committed(group))

            wait_for(committed, 20, "the commit after Redis came back", every=0.5)
    bench.close()


def test_a_full_slice_goes_to_the_tail_of_the_queue(tenant: Tenant, service: FakeService) -> None:
    """A tenant with much to do takes turns."""
    bench = tenant.bench
    bench.settings |= {"worker_slice_seconds": 0.001, "worker_groups_per_round": 2}
    groups = [tenant.group(tenant.users(1)) for _ in range(5)]
    tenant.reconcile()
    assert len(tenant.dirty()) == 3
    with connected(bench.redis_url) as client:
        assert client.llen(f"rq:queue:{QUEUE}") == 1
    burst(bench)
    assert tenant.dirty() == []
    assert len(groups) == 5
