"""`groupseal up`: everything on one machine, from one folder, and nothing left afterwards."""

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
import redis
from click.testing import CliRunner

from embedded.cli import up
from embedded.ports import free_port
from tests.embedded.processes import family_of, lives
from tests.support.folders import server_folder
from tests.support.stack import Stack
from tests.support.waiting import wait_for

_NAMES = {"postgres", "redis", "encryption-service", "gateway", "worker", "sweeper"}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with server_folder("up") as folder:
        yield folder


@pytest.fixture
def stack(folder: Path) -> Iterator[Stack]:
    with Stack(folder) as running:
        yield running


def _process(stack: Stack) -> subprocess.Popen[bytes]:
    assert stack._process is not None
    return stack._process


def test_everything_serves_and_the_ready_file_says_where(stack: Stack) -> None:
    ready = stack.ready
    assert stat.S_IMODE(stack._ready_file.stat().st_mode) == 0o600
    assert set(ready) == {
        *("tenant_id", "scim_base_url", "scim_token", "member_api_url", "fingerprint"),
        *("database_url", "redis_url", "service_data", "processes"),
    }
    assert ready["scim_base_url"].endswith("/scim/v2")
    assert ready["fingerprint"]
    assert Path(ready["service_data"]).is_dir()
    assert set(ready["processes"]) == _NAMES
    assert all(lives(pid) for pids in ready["processes"].values() for pid in pids)
    with psycopg.connect(ready["database_url"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with redis.Redis.from_url(ready["redis_url"]) as client:
        assert client.ping()
    assert httpx.get(f"{ready['member_api_url']}/member/v1/health").status_code == 200
    assert ready["scim_token"] not in (stack.folder / "up.log").read_text()


def test_a_restart_keeps_everything(folder: Path) -> None:
    stack = Stack(folder)
    with stack:
        before = stack.ready
    assert not stack._ready_file.exists()
    with stack:
        assert {**stack.ready, "processes": {}} == {**before, "processes": {}}


def test_a_killed_component_comes_back_and_the_ready_file_follows(stack: Stack) -> None:
    before = stack.ready["processes"]
    os.kill(before["worker"][0], signal.SIGKILL)
    wait_for(lambda: stack.pids("worker") not in (before["worker"], []), 15, "a new worker")
    assert stack.ready["processes"]["gateway"] == before["gateway"]


def test_a_killed_database_comes_back(stack: Stack) -> None:
    before = stack.ready["processes"]
    os.kill(before["postgres"][0], signal.SIGKILL)

    def answers() -> bool:
        try:
            psycopg.connect(stack.ready["database_url"]).close()
        except psycopg.OperationalError:
            return False
        return bool(stack.pids("postgres") != before["postgres"])

    wait_for(answers, 15, "an answer of the new PostgreSQL")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left(folder: Path, number: signal.Signals) -> None:
    with Stack(folder, "--workers", "2") as stack:
        assert len(stack.pids("worker")) == 2
        process = _process(stack)
        family = family_of(process.pid)
        process.send_signal(number)
        assert process.wait(30) == (-number if number == signal.SIGKILL else 0)
        wait_for(lambda: not [pid for pid in family if lives(pid)], 15, "the end of everyone")


def test_a_second_stack_on_the_same_folder_is_refused(stack: Stack, folder: Path) -> None:
    result = CliRunner().invoke(up, ["--data", str(folder / "data")])
    assert result.exit_code == 1
    assert "in use by another" in result.output


def test_servers_that_exist_are_used_and_none_of_our_own(
    empty_database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUPSEAL_DATABASE_URL", empty_database_url)
    monkeypatch.setenv("GROUPSEAL_REDIS_URL", redis_url)
    with Stack(tmp_path) as stack:
        assert stack.ready["database_url"] == empty_database_url
        assert stack.ready["redis_url"] == redis_url
        assert set(stack.ready["processes"]) == _NAMES - {"postgres", "redis"}


def test_a_server_that_does_not_answer_is_an_error_without_its_password(tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    result = CliRunner().invoke(
        up,
        ["--data", str(tmp_path / "data")],
        env={
            "GROUPSEAL_DATABASE_URL": f"postgresql://user:secret@{nowhere}/database",
            "GROUPSEAL_REDIS_URL": f"redis://:secret@{nowhere}",
        },
    )
    assert result.exit_code == 1
    assert "PostgreSQL cannot be reached" in result.output
    assert "secret" not in result.output


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GROUPSEAL_PORT", "70000"),
        ("GROUPSEAL_WORKERS", "none"),
        ("GROUPSEAL_DATABASE_URL", "mysql://user:secret@host/db"),
        ("GROUPSEAL_REDIS_URL", "http://:secret@host"),
    ],
)
def test_a_bad_value_names_the_variable_and_no_secret(variable: str, value: str) -> None:
    result = CliRunner().invoke(up, env={variable: value})
    assert result.exit_code == 2
    assert variable in result.output
    assert "secret" not in result.output
