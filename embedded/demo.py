"""The command `groupseal demo`: the whole product at work, every claim checked, in a minute."""

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click
from rich.text import Text

from embedded import demo_search, demo_story
from embedded.demo_programs import DemoStack
from embedded.demo_screen import Screen
from embedded.demo_world import World
from embedded.errors import EmbeddedError

_TITLE = "Groupseal: from Okta's push to a group key that the vendor never holds"
_LEGEND = "✓ was done and checked just now  → is what that shows"


@click.command()
@click.option("--keep", is_flag=True, help="Keep the folder with all data and logs.")
def demo(keep: bool) -> None:
    """Start the whole product here, play a story on it, and check every claim.

    Okta's requests, members' devices, removals, a wiped Redis, and at the end a search of
    everything that the vendor stored for every secret there is. All of it runs in a temporary
    folder and touches nothing else.

    Exit status: 0 if every claim held, 1 if one did not (the folder with the logs is then kept).
    """
    started = time.monotonic()
    screen = Screen()
    screen.say(Text(_TITLE, style="bold"))
    screen.say(Text(_LEGEND, style="dim"))
    folder = _new_folder()
    failure: str | None = "stopped before its end."
    try:
        _play(screen, folder)
        failure = None
    except EmbeddedError as error:
        failure = str(error)
    finally:
        if failure is not None:
            screen.say(Text(f"✗ {screen.doing}: {failure}", style="bold red"))
        _settle(screen, folder, keep=keep or failure is not None)
    if failure is not None:
        sys.exit(1)
    seconds = time.monotonic() - started
    screen.say(Text(f"\nEverything held, in {seconds:.0f} s.", style="bold green"))
    screen.say("Try it yourself: `groupseal up`. How it works: docs/architecture.md.")


def _play(screen: Screen, folder: Path) -> None:
    with _unwound_by_sigterm(), DemoStack(folder) as stack:
        world = World(stack)
        screen.play([*demo_story.chapters(world), demo_search.chapter(world)])


@contextmanager
def _unwound_by_sigterm() -> Iterator[None]:
    """Let SIGTERM leave the block as an exception, so that the stack is stopped first."""

    def leave(number: int, frame: FrameType | None) -> None:
        del frame
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="groupseal-demo-"))
    # Where root has no user namespaces, PostgreSQL runs as another user, who must pass through.
    folder.chmod(0o711)
    return folder


def _settle(screen: Screen, folder: Path, *, keep: bool) -> None:
    if keep:
        screen.say(f"All data is kept in {folder}; the logs are in {folder / 'data' / 'logs'}.")
    else:
        shutil.rmtree(folder, ignore_errors=True)
