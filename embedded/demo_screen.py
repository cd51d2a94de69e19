"""What a person sees of the demo: chapters of steps, each with what happened and what it proves."""

import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

_WIDTH = 110
_PLAIN_WIDTH = 100
_WORTH_SAYING_SECONDS = 0.1


@dataclass(frozen=True)
class Told:
    """The outcome of a step: what happened, what that proves, and facts worth a line each."""

    happened: str
    proves: str = ""
    facts: Sequence[str] = ()


@dataclass(frozen=True)
class Step:
    """One step: `doing` is shown while `act` runs, which raises if its claim does not hold."""

    doing: str
    act: Callable[[], Told]


@dataclass(frozen=True)
class Chapter:
    """Steps under one title."""

    title: str
    steps: Sequence[Step]


class Screen:
    """Plays chapters on a console: a live bar on a terminal, plain lines everywhere else."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        live = self._console.is_terminal
        self._width = min(_WIDTH, self._console.width) if live else _PLAIN_WIDTH
        self.doing = ""

    def play(self, chapters: Sequence[Chapter]) -> None:
        """Run every step in order. Whatever a step raises goes on; `doing` says which it was."""
        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        with bar:
            task = bar.add_task("", total=sum(len(chapter.steps) for chapter in chapters))
            for chapter in chapters:
                self.say(Text(f"\n{chapter.title}", style="bold"))
                for step in chapter.steps:
                    self.doing = step.doing
                    bar.update(task, description=f"{step.doing} …")
                    started = time.monotonic()
                    told = step.act()
                    self._tell(told, time.monotonic() - started)
                    bar.advance(task)

    def say(self, line: Text | str) -> None:
        """Print lines as they are, without breaking long ones: they may hold paths."""
        self._console.print(line, soft_wrap=True)

    def _tell(self, told: Told, seconds: float) -> None:
        took = f"{seconds:.1f} s" if seconds >= _WORTH_SAYING_SECONDS else ""
        self._lines("✓ ", told.happened, "default", took)
        if told.proves:
            self._lines("  → ", told.proves, "cyan")
        for fact in told.facts:
            self._lines("    ", fact, "dim")

    def _lines(self, mark: str, text: str, style: str, remark: str = "") -> None:
        """Print a text behind its mark, wrapped so that the mark stands out."""
        first, *others = textwrap.wrap(text, self._width - len(mark) - len(remark) - 2)
        last = len(others)
        for number, line in enumerate([first, *others]):
            shown = Text(mark, "green") if number == 0 else Text(" " * len(mark))
            shown.append(line, style)
            if remark and number == last:
                shown.append(f"  {remark}", "dim")
            self.say(shown)
