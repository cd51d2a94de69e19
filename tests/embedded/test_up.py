"""`groupseal up`: everything on one machine, from one folder, and nothing left afterwards."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis
from click.testing import CliRunner

from embedded.child_process import environment_with
from embedded.cli import up
from embedded.ports import free_port
from tests.embedded.processes import family_of, lives, wait_until
from tests.support.folders import server_folder

_NAMES = {"postgres", "redis", "encryption-service", "gateway", "worker", "sweeper"}


class Running:
    """A running `groupseal up` over one data folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.ready_file = folder / "ready.json"
        self.console = folder / "console"
        command = [str(Path(sys.executable).with_name("groupseal")), "up"]
        self.ready_file.unlink(missing_ok=True)  # a killed stack leaves it
        started = time.monotonic()
        with self.console.open("wb") as console:
            self.process = subprocess.Popen(
                [
                    *command,
                    "--data",
                    str(folder / "data"),
                    "--ready-file",
                    self.ready_file,
                    *options,
                ],
                stdout=console,
                stderr=console,
                env=environment_with(),
            )
        wait_until(lambda: self.ready_file.exists() or self.process.poll() is not None, 60)
        self.seconds = time.monotonic() - started
        assert self.process.poll() is None, self.console.read_text()

    @property
    def ready(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.ready_file.read_text())
        return content

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with server_folder("up") as folder:
        yield folder


@pytest.fixture
def running(folder: Path) -> Iterator[Running]:
    stack = Running(folder)
    yield stack
    stack.stop()


def test_everything_serves_and_the_ready_file_says_where(running: Running) -> None:
    ready = running.ready
    assert stat.S_IMODE(running.ready_file.stat().st_mode) == 0o600
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
    assert ready["scim_token"] not in running.console.read_text()


def test_a_restart_keeps_everything_and_is_quick(folder: Path) -> None:
    first = Running(folder)
    before = first.ready
    assert first.stop(signal.SIGINT) == 0
    assert not first.ready_file.exists()
    second = Running(folder)
    try:
        assert second.seconds <= 6
        assert {**second.ready, "processes": {}} == {**before, "processes": {}}
    finally:
        second.stop()


def test_a_killed_component_comes_back_and_the_ready_file_follows(running: Running) -> None:
    before = running.ready["processes"]
    os.kill(before["worker"][0], signal.SIGKILL)
    wait_until(lambda: running.ready["processes"]["worker"] not in (before["worker"], []))
    assert running.ready["processes"]["gateway"] == before["gateway"]


def test_a_killed_database_comes_back(running: Running) -> None:
    before = running.ready["processes"]
    os.kill(before["postgres"][0], signal.SIGKILL)

    def answers() -> bool:
        try:
            psycopg.connect(running.ready["database_url"]).close()
        except psycopg.OperationalError:
            return False
        return bool(running.ready["processes"]["postgres"] != before["postgres"])

    wait_until(answers)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left(folder: Path, number: signal.Signals) -> None:
    stack = Running(folder, "--workers", "2")
    assert len(stack.ready["processes"]["worker"]) == 2
    family = family_of(stack.process.pid)
    stack.stop(number)
    wait_until(lambda: not [pid for pid in family if lives(pid)])


def test_a_second_stack_on_the_same_folder_is_refused(running: Running, folder: Path) -> None:
    result = CliRunner().invoke(up, ["--data", str(folder / "data")])
    assert result.exit_code == 1
    assert "in use by another" in result.output


def test_servers_that_exist_are_used_and_none_of_our_own(
    empty_database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUPSEAL_DATABASE_URL", empty_database_url)
    monkeypatch.setenv("GROUPSEAL_REDIS_URL", redis_url)
    stack = Running(tmp_path)
    try:
        assert stack.ready["database_url"] == empty_database_url
        assert stack.ready["redis_url"] == redis_url
        assert set(stack.ready["processes"]) == _NAMES - {"postgres", "redis"}
    finally:
        stack.stop()


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
