"""The gateway as a process: gunicorn, probes, an orderly end, and hints through Redis."""

import json
import signal
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from directory.database import make_engine
from directory.tenants import NewTenant, create_tenant
from directory.unit_of_work import UnitOfWork
from directory.wake_up import QUEUE, begin, make_redis
from tests.support.gateway_process import GatewayProcess
from tests.support.scim_client import ScimClient, values
from tests.support.valkey import RunningValkey

_DEADLINE = 30.0


def _until(condition: Callable[[], bool]) -> None:
    """Waits until the condition holds; fails at the deadline."""
    pause = threading.Event()
    for _ in range(int(_DEADLINE / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    pytest.fail("the condition did not come about in time")


@pytest.fixture
def tenant(database_url: str) -> NewTenant:
    """A tenant with a token."""
    engine = make_engine(database_url)
    with UnitOfWork(engine) as uow:
        made = create_tenant(uow.connection, "tenant")
        uow.commit()
    engine.dispose()
    return made


@pytest.fixture
def gateway(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[GatewayProcess]:
    """The process, ended with SIGKILL if the test has left it running."""
    with GatewayProcess(database_url, redis_url, tmp_path / "gateway.log") as running:
        yield running


def test_it_serves_and_ends_in_good_order(gateway: GatewayProcess, tenant: NewTenant) -> None:
    """Answers over HTTP; SIGTERM ends it with 0; no token in its log; no control socket."""
    assert gateway.get("/healthz") == gateway.get("/member/v1/health") == 200
    user = {"userName": "ada@example.com"}
    status, body = gateway.request("POST", "/scim/v2/Users", user, tenant.scim_token)
    assert status == 201
    location = json.loads(body)["meta"]["location"]
    assert location.startswith(f"http://127.0.0.1:{gateway.port}/scim/v2/Users/")
    assert gateway.request("GET", "/scim/v2/Users", token="gs_scim_wrong")[0] == 401
    assert not any(Path.home().glob(".gunicorn/*.ctl"))
    gateway.process.send_signal(signal.SIGTERM)
    assert gateway.process.wait(_DEADLINE) == 0
    assert tenant.scim_token not in gateway.log
    assert "gs_scim_wrong" not in gateway.log


def test_a_push_wakes_the_workers_once(scim: ScimClient, redis_url: str) -> None:
    """One job for several pushes, JSON with the tenant's id alone, until the job has begun."""
    client = make_redis(redis_url)
    group = scim.create_group("Finance")
    for user in scim.create_users(3):
        scim.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": values([user])})
    queue = f"rq:queue:{QUEUE}"
    _until(lambda: client.llen(queue) == 1)
    (job,) = client.lrange(queue, 0, -1)
    assert isinstance(job, bytes)
    data = client.hget(f"rq:job:{job.decode()}", "data")
    assert isinstance(data, bytes)
    assert str(scim.tenant_id).encode() in _decompressed(data)
    assert b"worker.jobs.reconcile_tenant" in _decompressed(data)
    begin(client, scim.tenant_id)
    scim.put_group(group, "Finance", [])
    _until(lambda: client.llen(queue) == 2)
    client.close()


def test_what_changes_nothing_wakes_nobody(scim: ScimClient, redis_url: str) -> None:
    """Reads, no-op renames and users without groups leave Redis alone."""
    scim.create_users(2)
    scim.send("GET", "/Users")
    scim.wiring.close()
    client = redis.Redis.from_url(redis_url)
    assert client.keys("rq:*") == client.keys("groupseal:wake:*") == []
    client.close()


def test_scim_answers_while_redis_is_away(
    own_valkey: RunningValkey, database_url: str, tenant: NewTenant, tmp_path: Path
) -> None:
    """Nothing waits for it, nothing is lost but the hint; hints come again with Redis."""
    own_valkey.kill()
    with GatewayProcess(database_url, own_valkey.url, tmp_path / "gateway.log") as gateway:
        for name in ("Finance", "Sales"):
            body = {"displayName": name}
            assert gateway.request("POST", "/scim/v2/Groups", body, tenant.scim_token)[0] == 201
        _until(lambda: "redis is not reachable" in gateway.log)
        own_valkey.start()
        body = {"displayName": "Law"}
        assert gateway.request("POST", "/scim/v2/Groups", body, tenant.scim_token)[0] == 201
        client = make_redis(own_valkey.url)
        _until(lambda: client.llen(f"rq:queue:{QUEUE}") == 1)
        client.close()


def _decompressed(data: bytes) -> bytes:
    """RQ compresses what it stores."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data
