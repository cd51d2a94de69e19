"""`groupseal demo`: it holds, it says where it failed, and it leaves nothing behind."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from embedded import demo_story
from embedded.demo import demo
from embedded.demo_programs import DemoError
from embedded.demo_screen import Chapter, Step, Told
from embedded.demo_world import World
from tests.embedded.processes import family_of, lives
from tests.support.folders import server_folder
from tests.support.waiting import wait_for

_WITHIN_SECONDS = 240  # of a machine busy with other tests; an idle one needs far less


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which the demo makes its own; no setting of ours reaches it."""
    with server_folder("demo") as folder:
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.setenv("GROUPSEAL_DATABASE_URL", "postgresql://nobody@nowhere.invalid/none")
        yield folder


def _start(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "screen").open("wb") as screen:
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("groupseal")), "demo"],
            stdout=screen,
            stderr=screen,
            env=dict(os.environ),
        )


@pytest.mark.slow
@pytest.mark.timeout(_WITHIN_SECONDS + 60)
def test_every_claim_holds_and_nothing_is_left(folder: Path) -> None:
    process = _start(folder)
    status = process.wait(_WITHIN_SECONDS)
    screen = (folder / "screen").read_text()
    assert status == 0, screen
    assert "Everything held" in screen
    assert "none is there" in screen
    assert not list(folder.glob("groupseal-demo-*"))


@pytest.mark.slow
def test_a_stopped_demo_stops_everything_and_keeps_the_logs(folder: Path) -> None:
    process = _start(folder)
    wait_for(lambda: "2  Okta" in (folder / "screen").read_text(), 60, "the second chapter")
    family = family_of(process.pid)
    assert len(family) > 6
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    wait_for(lambda: not any(map(lives, family)), 15, "the end of every process")
    (kept,) = folder.glob("groupseal-demo-*")
    assert str(kept / "data" / "logs") in (folder / "screen").read_text()


def test_a_claim_that_does_not_hold_is_named_and_fails_the_demo(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Told:
        raise DemoError("Ben could still read.")

    def chapters(_: World) -> list[Chapter]:
        return [Chapter("1  One", [Step("Removing Ben", fail)])]

    monkeypatch.setattr(demo_story, "chapters", chapters)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    result = CliRunner().invoke(demo)
    assert result.exit_code == 1
    assert "✗ Removing Ben: Ben could still read." in result.output
    (kept,) = folder.glob("groupseal-demo-*")
    assert str(kept / "data" / "logs") in result.output
    assert "Everything held" not in result.output
