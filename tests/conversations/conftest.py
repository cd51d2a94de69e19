"""One running gateway for every scenario; each has a tenant of its own in it."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from directory.database import make_engine
from tests.support.gateway_process import GatewayProcess
from tests.support.postgres import RunningPostgres
from tests.support.valkey import RunningValkey


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
    database_url = engine.url.render_as_string(hide_password=False)
    log = tmp_path_factory.mktemp("conversations") / "gateway.log"
    with GatewayProcess(database_url, shared_valkey.url, log) as gateway:
        yield gateway.scim_url
