"""What is to be asked: one question for each group at a time, whoever asks how often."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from encryption_service.membership.source import Clock
from groupseal.reasons import Reason

# With something delayed, a thread looks at the clock this often: the wall clock may be set.
_LOOKS_EVERY_SECONDS = 0.25


@dataclass(slots=True)
class Listing:
    """A group's members as far as they are read; it goes on where a limit interrupted it."""

    source_group_id: str
    begun_ms: int
    pages: Iterator[list[str]]
    subjects: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Question:
    """Are these in the group? Without an id: which group is it?"""

    group: bytes
    source_group_id: str | None
    group_name: str
    subjects: set[str]
    asked_ms: int
    due_ms: int = 0
    # The group itself is looked up first, even if its id is known: it may have been gone.
    look_up: bool = False
    # Fruitless look-ups so far.
    look_ups: int = 0
    listing: Listing | None = None
    # Why it is delayed, if it is.
    delayed_for: Reason | None = None
    # Somebody asked again during the delay and shall hear of it.
    tell: bool = False


class QuestionQueue:
    """Takes questions at once and hands each group's to one thread at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: dict[bytes, Question] = {}
        self._running: set[bytes] = set()
        self._stopped = False

    def __len__(self) -> int:
        with self._changed:
            return len(self._waiting) + len(self._running - self._waiting.keys())

    def put(self, question: Question) -> None:
        with self._changed:
            self._merge(question)
            self._changed.notify()

    def put_back(self, question: Question, due_ms: int, reason: Reason | None) -> None:
        """It waits until then; what was asked meanwhile waits with it."""
        question.due_ms, question.delayed_for = due_ms, reason
        with self._changed:
            self._running.discard(question.group)
            newer = self._waiting.pop(question.group, None)
            self._waiting[question.group] = question
            if newer is not None:
                self._merge(newer)
            self._changed.notify()

    def done(self, question: Question) -> None:
        with self._changed:
            self._running.discard(question.group)
            self._changed.notify()

    def take(self, *, wait: bool = True) -> Question | None:
        """The next one that is due, or of which somebody shall be told. None: stopped, or none."""
        with self._changed:
            while not self._stopped:
                question = self._ready()
                if question is not None or not wait:
                    return question
                self._changed.wait(_LOOKS_EVERY_SECONDS if self._waiting else None)
        return None

    def delay_due(self, until_ms: int, reason: Reason) -> Sequence[bytes]:
        """Delays all that are due; returns their groups."""
        with self._changed:
            now = self._clock()
            due = [q for q in self._waiting.values() if q.due_ms <= now or q.tell]
            for question in due:
                question.due_ms, question.delayed_for, question.tell = until_ms, reason, False
            return [question.group for question in due]

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _ready(self) -> Question | None:
        now = self._clock()
        for group, question in self._waiting.items():
            if (question.due_ms <= now or question.tell) and group not in self._running:
                self._running.add(group)
                return self._waiting.pop(group)
        return None

    def _merge(self, newer: Question) -> None:
        waiting = self._waiting.get(newer.group)
        if waiting is None:
            self._waiting[newer.group] = newer
            return
        if newer.source_group_id not in {None, waiting.source_group_id}:
            # Mapped by hand meanwhile: a new question.
            newer.subjects |= waiting.subjects
            self._waiting[newer.group] = newer
            return
        waiting.subjects |= newer.subjects
        waiting.look_up |= newer.look_up
        waiting.group_name, waiting.asked_ms = newer.group_name, newer.asked_ms
        waiting.tell = waiting.delayed_for is not None
