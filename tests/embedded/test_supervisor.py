"""The supervisor: what dies comes back, and nothing outlives it."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from embedded.child_process import ChildSpec, environment_with
from embedded.errors import StartFailedError
from embedded.ready_file import ReadyFile
from embedded.supervisor import Supervisor
from tests.embedded.processes import lives
from tests.support.waiting import wait_for

_FAMILY = Path(__file__).with_name("supervised_family.py")
_PROJECT = Path(__file__).parents[2]


class Family:
    """A running `supervised_family.py`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.supervisor = subprocess.Popen(
            [sys.executable, str(_FAMILY), str(folder)],
            cwd=_PROJECT,
            env=environment_with(PYTHONPATH=str(_PROJECT)),
            stdout=subprocess.DEVNULL,
        )
        wait_for((folder / "pids.json").exists, 15, "the start of the children")

    @property
    def pids(self) -> dict[str, list[int]]:
        content: dict[str, list[int]] = json.loads((self.folder / "pids.json").read_text())
        return content

    @property
    def everyone(self) -> set[int]:
        children = {pid for pids in self.pids.values() for pid in pids}
        return children | {int((self.folder / "grandchild").read_text())}


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    running = Family(tmp_path)
    yield running
    with suppress(ProcessLookupError):
        running.supervisor.send_signal(signal.SIGTERM)
    running.supervisor.wait(20)


def test_a_killed_child_is_replaced_and_the_new_id_is_written(family: Family) -> None:
    before = family.pids
    os.kill(before["sleeper"][0], signal.SIGKILL)
    wait_for(lambda: family.pids["sleeper"] not in (before["sleeper"], []), 15, "a replacement")
    assert lives(family.pids["sleeper"][0])
    assert family.pids["stubborn"] == before["stubborn"]


def test_what_a_killed_child_left_behind_is_killed_before_it_is_replaced(family: Family) -> None:
    orphan = int((family.folder / "grandchild").read_text())
    before = family.pids["parent"]
    os.kill(before[0], signal.SIGKILL)
    wait_for(lambda: family.pids["parent"] not in (before, []), 15, "a replacement")
    wait_for(lambda: not lives(orphan), 15, "the end of the orphan")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_even_a_child_that_does_not_listen(
    family: Family, number: signal.Signals
) -> None:
    everyone = family.everyone
    assert all(lives(pid) for pid in everyone)
    family.supervisor.send_signal(number)
    assert family.supervisor.wait(15) == 0
    assert not [pid for pid in everyone if lives(pid)]


def test_nothing_survives_when_the_supervisor_is_killed(family: Family) -> None:
    everyone = family.everyone
    family.supervisor.kill()
    family.supervisor.wait()
    wait_for(lambda: not [pid for pid in everyone if lives(pid)], 15, "the end of everyone")


def test_output_goes_to_a_log_file_of_the_child(family: Family) -> None:
    log = family.folder / "logs" / "sleeper.log"
    wait_for(lambda: log.read_text() == "sleeping\n", 15, "the line in the log")


def _python(name: str, folder: Path, program: str, ready: Callable[[], bool]) -> ChildSpec:
    return ChildSpec(
        name=name,
        role=name,
        command=(sys.executable, "-c", program),
        environment=environment_with(),
        folder=folder,
        ready=ready,
        ready_within=0.5,
    )


def test_a_child_that_ends_while_starting_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    spec = _python("failing", tmp_path, "print('no disk'); raise SystemExit(3)", lambda: False)
    with (
        Supervisor(tmp_path / "logs", lambda _: None) as supervisor,
        pytest.raises(StartFailedError, match=r"failing ended with status 3.*\n.*no disk"),
    ):
        supervisor.start(spec)


def test_a_child_that_never_gets_ready_is_an_error(tmp_path: Path) -> None:
    spec = _python("slow", tmp_path, "import signal; signal.pause()", lambda: False)
    with (
        Supervisor(tmp_path / "logs", lambda _: None) as supervisor,
        pytest.raises(StartFailedError, match=r"slow was not ready within 0\.5 s"),
    ):
        supervisor.start(spec)


def test_a_program_called_returns_its_standard_output_alone(tmp_path: Path) -> None:
    program = "import sys; print('answer'); print('chatter', file=sys.stderr)"
    with Supervisor(tmp_path / "logs", lambda _: None) as supervisor:
        output = supervisor.call(_python("asked", tmp_path, program, lambda: True))
        assert output == b"answer\n"
        failing = _python("failing", tmp_path, "raise SystemExit('bad option')", lambda: True)
        with pytest.raises(StartFailedError, match="failing ended with status 1: bad option"):
            supervisor.call(failing)
    assert (tmp_path / "logs" / "asked.log").read_text() == "chatter\n"


def test_the_ready_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    for pid in (1, 2):
        ReadyFile(
            tenant_id="t",
            scim_base_url="http://127.0.0.1:1/scim/v2",
            scim_token="token",
            member_api_url="http://127.0.0.1:1",
            fingerprint="f",
            database_url="postgresql://",
            redis_url="redis://",
            service_data="/data",
            processes={"worker": [pid]},
        ).write(path)
        assert json.loads(path.read_text())["processes"] == {"worker": [pid]}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["ready.json"]
