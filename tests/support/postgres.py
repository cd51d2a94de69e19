"""A real PostgreSQL for the test run, and a fresh database, migrated, for each test.

Fixtures: `postgres` (the server), `database_url` (a migrated database of the test's own),
`empty_database_url` (one without tables).
"""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from embedded.child_process import environment_with, spawn, stop, wait_until_ready
from embedded.ports import free_port
from embedded.postgres_server import ROLE, PostgresServer
from tests.support.folders import server_folder

# The data of a test run need not survive a power cut; a server process that dies loses nothing.
_TEST_SETTINGS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB"}
_TEMPLATE = "migrated_template"


class RunningPostgres:
    """A running server that makes and drops databases."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._numbers = itertools.count(1)

    def url(self, database: str) -> str:
        """Return the URL of a database for the product's role, which owns it."""
        return self._server.url(database)

    def superuser_url(self, database: str = "postgres") -> str:
        """Return the URL of a database for the superuser."""
        return self._server.superuser_url(database)

    def create(self, name: str | None = None, *, template: str = "template1") -> str:
        """Create a database as a copy of `template`; return its name."""
        name = name or f"test_{next(self._numbers)}"
        self._execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
                sql.Identifier(name), sql.Identifier(template), sql.Identifier(ROLE)
            )
        )
        return name

    def drop(self, name: str) -> None:
        """Drop a database, with the sessions that still use it."""
        self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.superuser_url(), autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def postgres() -> Iterator[RunningPostgres]:
    """Start PostgreSQL for the session."""
    with server_folder("postgres") as folder:
        server = PostgresServer(folder / "postgres", free_port(), _TEST_SETTINGS)
        server.prepare()
        spec = server.child()
        with (folder / "postgres.log").open("wb") as log:
            process = spawn(spec, log)
        try:
            wait_until_ready(spec, process)
            server.ensure_database()
            yield RunningPostgres(server)
        finally:
            stop(spec, process)


@pytest.fixture(scope="session")
def migrated_template(postgres: RunningPostgres) -> str:
    """Migrate one database with the product's own command; return its name, to be copied."""
    name = postgres.create(_TEMPLATE)
    command = Path(sys.executable).with_name("groupseal")
    result = subprocess.run(
        [command, "migrate"],
        env=environment_with(GROUPSEAL_DATABASE_URL=postgres.url(name)),
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, f"groupseal migrate failed: {result.stderr}"
    return name


@pytest.fixture
def database_url(postgres: RunningPostgres, migrated_template: str) -> Iterator[str]:
    """Make a migrated database for one test; return its URL."""
    name = postgres.create(template=migrated_template)
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def empty_database_url(postgres: RunningPostgres) -> Iterator[str]:
    """Make a database without tables for one test; return its URL."""
    name = postgres.create()
    yield postgres.url(name)
    postgres.drop(name)
