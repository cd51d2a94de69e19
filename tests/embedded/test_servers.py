"""PostgreSQL and Valkey as child processes: data survives, strangers do not get in."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from embedded import unprivileged
from embedded.child_process import ChildSpec, kill_group, spawn, stop, wait_until_ready
from embedded.errors import EmbeddedError, StartFailedError
from embedded.ports import PortBook, free_port
from embedded.postgres_server import PostgresServer
from embedded.unprivileged import Identity, identity_for_non_root
from embedded.valkey_server import ValkeyServer
from tests.support.folders import server_folder
from tests.support.postgres import RunningPostgres
from tests.support.valkey import RunningValkey


@contextmanager
def running(server: PostgresServer, folder: Path) -> Iterator[None]:
    server.prepare()
    spec = server.child()
    with (folder / "log").open("ab") as log:
        process = spawn(spec, log)
    try:
        wait_until_ready(spec, process)
        yield
    finally:
        stop(spec, process)
    assert process.returncode == 0, (folder / "log").read_text()


def test_postgres_keeps_its_data_and_its_password_over_a_restart(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "data" / "postgres", free_port())
    with running(server, tmp_path):
        server.ensure_database()
        with psycopg.connect(server.url()) as connection:
            connection.execute("CREATE TABLE kept (value int)")
            connection.execute("INSERT INTO kept VALUES (42)")
    again = PostgresServer(tmp_path / "data" / "postgres", free_port())
    with running(again, tmp_path):
        again.ensure_database()
        with psycopg.connect(again.url()) as connection:
            assert connection.execute("SELECT value FROM kept").fetchone() == (42,)


def test_postgres_comes_back_after_it_was_killed_although_its_lock_names_a_living_process(
    tmp_path: Path,
) -> None:
    server = PostgresServer(tmp_path / "postgres", free_port())
    server.prepare()
    spec = server.child()
    with (tmp_path / "log").open("wb") as log:
        process = spawn(spec, log)
    wait_until_ready(spec, process)
    kill_group(process)
    process.wait()
    lock = tmp_path / "postgres" / "cluster" / "postmaster.pid"
    first, rest = lock.read_text().split("\n", 1)
    assert first == str(process.pid)
    lock.write_text(f"1\n{rest}")  # the number was given to another process
    with running(server, tmp_path):
        pass


def test_postgres_is_durable_and_on_the_loopback_interface_only(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path / "postgres", free_port())
    with running(server, tmp_path), psycopg.connect(server.superuser_url()) as connection:
        for setting, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
        }.items():
            row = connection.execute("SELECT current_setting(%s)", (setting,)).fetchone()
            assert row == (value,), setting


def test_postgres_lets_nobody_in_without_the_password(postgres: RunningPostgres) -> None:
    with psycopg.connect(postgres.url("groupseal")) as connection:
        info = connection.info
        assert connection.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone() == (False,)
    for password in ("", "wrong"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(
                host=info.host,
                port=info.port,
                user="groupseal",
                dbname="groupseal",
                password=password,
            )


def test_passwords_are_for_their_owner_only(tmp_path: Path) -> None:
    PostgresServer(tmp_path / "postgres", free_port()).prepare()
    ValkeyServer(tmp_path / "redis", free_port()).prepare()
    for secret in (
        tmp_path / "postgres" / "postgres.password",
        tmp_path / "redis" / "redis.password",
        tmp_path / "redis" / "valkey.conf",
    ):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600, secret
    for folder in (tmp_path / "postgres", tmp_path / "redis"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder


def test_a_folder_that_the_other_user_cannot_pass_is_named(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700)
    (locked / "postgres").mkdir()
    with pytest.raises(EmbeddedError, match="chmod o\\+x"):
        Identity("user", 64999, 64999).demand_reach(locked / "postgres" / "cluster")


def test_root_is_told_what_to_do_where_it_has_no_user_namespaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(unprivileged, "_works", lambda _identity: False)
    assert identity_for_non_root().kind == "user"
    with pytest.raises(EmbeddedError, match="Allow user namespaces"):
        identity_for_non_root(owner_uid=0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_without_user_namespaces_runs_postgres_as_a_user_who_owns_the_cluster_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unprivileged, "_works", lambda _identity: False)
    with server_folder("other-user") as folder:
        data = folder / "data"
        data.mkdir(mode=0o700)
        server = PostgresServer(data / "postgres", free_port())
        with running(server, folder):
            assert (data / "postgres" / "cluster").stat().st_uid != 0
        assert (data / "postgres" / "postgres.password").stat().st_uid == 0
        assert stat.S_IMODE(data.stat().st_mode) == 0o701
        with running(server, folder):  # and again, by the owner of what is there
            pass


def test_valkey_keeps_its_data_when_killed_and_started_again(own_valkey: RunningValkey) -> None:
    client = redis.Redis.from_url(own_valkey.url)
    client.set("kept", "42")
    client.waitaof(1, 0, 5000)
    client.close()
    own_valkey.kill()
    own_valkey.start()
    with redis.Redis.from_url(own_valkey.url) as client:
        assert client.get("kept") == b"42"


def test_valkey_lets_nobody_in_without_the_password(redis_url: str) -> None:
    address, _, _ = redis_url.rpartition("/")
    port = int(address.rpartition(":")[2])
    for password in (None, "wrong"):
        once = Retry(NoBackoff(), 0)
        with (
            redis.Redis(port=port, password=password, retry=once) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()


def test_a_server_that_ends_before_it_is_ready_is_an_error(tmp_path: Path) -> None:
    spec = ChildSpec(
        name="stillborn",
        role="stillborn",
        command=("false",),
        environment={},
        folder=tmp_path,
        ready=lambda: False,
    )
    with (tmp_path / "log").open("wb") as log:
        process = spawn(spec, log)
    with pytest.raises(StartFailedError, match="stillborn ended with status 1"):
        wait_until_ready(spec, process)


def test_ports_are_kept_over_restarts(tmp_path: Path) -> None:
    book = tmp_path / "ports.json"
    first = PortBook(book).port_for("gateway")
    assert PortBook(book).port_for("gateway") == first
    assert PortBook(book).port_for("service") != first
