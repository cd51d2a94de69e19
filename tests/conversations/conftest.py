"""One running gateway for every scenario; each has a tenant of its own in it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

from directory.database import make_engine
from embedded.child_process import environment_with
from embedded.ports import free_port
from tests.support.postgres import RunningPostgres
from tests.support.valkey import RunningValkey
from tests.support.waiting import wait_for


@pytest.fixture(scope="package")
def engine(postgres: RunningPostgres, migrated_template: str) -> Iterator[Engine]:
    """The gateway's database."""
    name = postgres.create(template=migrated_template)
    engine = make_engine(postgres.url(name))
    yield engine
    engine.dispose()
    postgres.drop(name)


@pytest.fixture(scope="package")
def base_url(
    engine: Engine, shared_valkey: RunningValkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The SCIM base URL of a running `groupseal gateway`."""
    port = free_port()
    log = tmp_path_factory.mktemp("conversations") / "gateway.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("groupseal"), "gateway"],
            env=environment_with(
                GROUPSEAL_DATABASE_URL=engine.url.render_as_string(hide_password=False),
                GROUPSEAL_REDIS_URL=shared_valkey.url,
                GROUPSEAL_GATEWAY_LISTEN=f"127.0.0.1:{port}",
            ),
            stdout=output,
            stderr=output,
        )

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_for(ready, 30, "the gateway")
        yield f"http://127.0.0.1:{port}/scim/v2"
    finally:
        process.terminate()
        process.wait(30)
