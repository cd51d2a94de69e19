"""The one thread that writes, with group commit.

It takes what is waiting, does all of it in one transaction, and answers after the commit. If a
transaction fails and held several things, each is done again alone, so that one bad command fails
by itself. Groups with work left (further batches, openings that are due) are taken up in between,
one step at a time, so that a large group never keeps small ones waiting for long.
"""

import heapq
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from time import monotonic
from typing import Any, TypeVar

import structlog

from encryption_service.admission import Admission
from encryption_service.binding_rules import Offer
from encryption_service.bindings import Binder, BindingAnswer, Removal
from encryption_service.errors import BusyError, HaltedError
from encryption_service.group_store import Group
from encryption_service.ledger_store import LedgerAppender
from encryption_service.reconcile import Answer, GroupCommand, Outcome, Reconciler, Step
from encryption_service.wrap_pool import Sealed, Sealing, SealJob, WrapPool
from encryption_service.writer_items import (
    BindingItem,
    CommandItem,
    EventItem,
    GroupItem,
    Item,
    StepItem,
    TaskItem,
    WorkItem,
    group_of,
)
from groupseal.grants import MAX_BATCH
from groupseal.reasons import Reason

_log = structlog.get_logger(__name__)
# Most things in one transaction; more would only make the first of them wait.
_MOST_COMMANDS = 128
_MOST_BINDINGS = 512
_RETRY_SECONDS = 5.0
# What an answer of the membership source takes, about.
_ASKING_MS = 300
# Batches sealed ahead; each holds some megabytes.
_MOST_AHEAD = 2
# What is appended, at least, before a pause is used to tidy up.
_MUCH_BYTES = 4 * 1024 * 1024


_Waiting = TypeVar("_Waiting", CommandItem, BindingItem, TaskItem, EventItem, StepItem)


class Writer:
    """Owner of the writing connection."""

    def __init__(
        self,
        *,
        connection: sqlite3.Connection,
        ledger: LedgerAppender,
        reconciler: Reconciler,
        binder: Binder,
        admission: Admission,
        pool: WrapPool,
        on_step: Callable[[str], None],
        on_commit: Callable[[int, int], None],
        on_pause: Callable[[], None],
    ) -> None:
        """`on_commit` is told of the ledger's size and the holds' version after each commit."""
        self._connection = connection
        self._ledger = ledger
        self._reconciler = reconciler
        self._binder = binder
        self._admission = admission
        self._pool = pool
        self._on_step = on_step
        self._on_commit = on_commit
        self._on_pause = on_pause
        self._tidied = ledger.bytes_appended
        self._wake = threading.Condition()
        self._queue: deque[Item] = deque()
        self._ready: dict[bytes, None] = {}
        self._delayed: list[tuple[float, bytes]] = []
        self._waiters: dict[bytes, list[CommandItem]] = {}
        # Batches that are sealed before their step comes, by group.
        self._ahead: dict[bytes, tuple[SealJob, Sealing]] = {}
        self._halted: Reason | None = None
        self._stopping = False
        self._turn = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    # Called from other threads

    def start(self, groups_with_work: Sequence[bytes], halted: Reason | None) -> None:
        self._halted = halted
        self._ready.update(dict.fromkeys(groups_with_work))
        self._thread.start()

    def stop(self) -> None:
        """Finishes the transaction under way; what waits is refused and may be repeated."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def halted(self) -> Reason | None:
        """Why nothing is written any more, if so."""
        return self._halted

    def halt(self, reason: Reason) -> None:
        """No command is carried out from here on."""
        self._halted = reason

    def command(self, command: GroupCommand) -> CommandItem:
        return self._put(CommandItem(command))

    def bind(self, offer: Offer | Removal) -> BindingItem:
        return self._put(BindingItem(offer))

    def event(
        self, event: Callable[[sqlite3.Connection], tuple[Any, Iterable[bytes]]]
    ) -> "Future[Any]":
        """Has something written after which some groups have a step to take."""
        return self._put(EventItem(event)).answer

    def step(self, group_id: bytes, plan: Callable[[Reconciler], Step | None]) -> "Future[bool]":
        """Has a step of one group taken; tells, once it is durable, whether there was one."""
        return self._put(StepItem(group_id, plan)).answer

    def task(self, task: Callable[[sqlite3.Connection], Any]) -> "Future[Any]":
        """Has something small written; its result comes once it is durable."""
        return self._put(TaskItem(task)).answer

    def _put(self, item: _Waiting) -> _Waiting:
        with self._wake:
            if self._stopping:
                raise BusyError(Reason.SERVICE_UNAVAILABLE, "the service is stopping")
            self._queue.append(item)
            self._wake.notify()
        return item

    # The writer's thread

    def _run(self) -> None:
        while items := self._take():
            self._carry_out(items)
        stopping = BusyError(Reason.SERVICE_UNAVAILABLE, "the service is stopping")
        with self._wake:
            left = [item for item in self._queue if not isinstance(item, WorkItem)]
        for item in left:
            item.answer.set_exception(stopping)
        self._refuse_waiters(stopping)

    def _refuse_waiters(self, error: Exception) -> None:
        """No further step of any group is taken; what is left is taken up at a start."""
        self._ready.clear()
        for items in self._waiters.values():
            for item in items:
                item.answer.set_exception(error)
        self._waiters.clear()

    def _take(self) -> list[Item]:
        """What the next transaction is about; empty when the writer shall end."""
        with self._wake:
            while not self._stopping:
                now = monotonic()
                while self._delayed and self._delayed[0][0] <= now:
                    self._ready[heapq.heappop(self._delayed)[1]] = None
                if self._halted:
                    self._refuse_waiters(HaltedError(self._halted))
                if self._queue or self._ready:
                    return self._choose()
                if self._ledger.bytes_appended - self._tidied >= _MUCH_BYTES:
                    self._tidied = self._ledger.bytes_appended
                    self._on_pause()
                self._wake.wait(self._delayed[0][0] - now if self._delayed else None)
        return []

    def _choose(self) -> list[Item]:
        self._turn = not self._turn
        if self._ready and (self._turn or not self._queue):
            groups = list(self._ready)[:_MOST_COMMANDS]
            for group_id in groups:
                del self._ready[group_id]
            return [WorkItem(group_id) for group_id in groups]
        kind = type(self._queue[0])
        most = _MOST_BINDINGS if kind is BindingItem else _MOST_COMMANDS
        items: list[Item] = []
        groups_seen: set[bytes] = set()
        while self._queue and type(self._queue[0]) is kind and len(items) < most:
            head = self._queue[0]
            if isinstance(head, CommandItem | StepItem):
                group_id = group_of(head)
                if group_id in groups_seen:
                    break  # it must see what the one before it did
                groups_seen.add(group_id)
            items.append(self._queue.popleft())
        return items

    def _carry_out(self, items: list[Item]) -> None:
        if self._halted and not isinstance(items[0], TaskItem):
            for item in items:
                self._fail(item, HaltedError(self._halted))
            return
        try:
            answers = self._transaction(items)
        except Exception as error:  # noqa: BLE001 # whatever it was, the next command is another
            self._roll_back()
            if len(items) == 1:
                _log.error("transaction_failed", kind=type(items[0]).__name__, error=repr(error))
                self._fail(items[0], error)
                return
            for item in items:
                self._carry_out([item])
            return
        self._tell(answers)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._ledger.reload()
        self._admission.reload()

    def _transaction(self, items: list[Item]) -> "list[Callable[[], None]]":
        """Returns what is said after the commit."""
        size = self._ledger.size
        self._connection.execute("BEGIN IMMEDIATE")
        answers = self._plan_and_finish(items)
        if self._ledger.size != size:
            self._ledger.save()
        self._admission.holds.save()
        self._on_step("before commit")
        self._connection.execute("COMMIT")
        return answers

    def _tell(self, answers: Iterable[Callable[[], None]]) -> None:
        """After the commit: whatever fails here, what is durable is not done once more."""
        self._on_step("committed")
        for tell in (self._admission.committed, self._publish, *answers):
            try:
                tell()
            except Exception as error:  # noqa: BLE001 # the others are told all the same
                _log.error("not_told", error=repr(error))

    def _publish(self) -> None:
        self._on_commit(self._ledger.size, self._admission.holds.version)

    def _plan_and_finish(self, items: list[Item]) -> list[Callable[[], None]]:
        """Everything inside the transaction; returns what is said after the commit."""
        answers: list[Callable[[], None]] = []
        steps: list[tuple[GroupItem, Step]] = []
        seals = 0
        for number, item in enumerate(items):
            if isinstance(item, TaskItem):
                answers.append(_answering(item, item.task(self._connection)))
            elif isinstance(item, EventItem):
                result, groups = item.event(self._connection)
                answers.append(self._happened(item, result, list(groups)))
            elif isinstance(item, BindingItem):
                answer, groups = self._decide(item.offer)
                answers.append(self._happened(item, answer, groups))
            else:
                step = self._plan(item)
                if step is None and isinstance(item, StepItem):
                    answers.append(_answering(item, False))
                if step is not None:
                    steps.append((item, step))
                    seals += len(step.seal.names) if step.seal else 0
                if seals >= MAX_BATCH:
                    answers.append(self._put_back(items[number + 1 :]))
                    break
        if steps:
            self._on_step("planned")
            self._seal_and_finish([step for _, step in steps])
            answers += [self._settled(item, step) for item, step in steps]
        return answers

    def _decide(self, offer: Offer | Removal) -> tuple[BindingAnswer, list[bytes]]:
        if isinstance(offer, Removal):
            return self._binder.remove(offer)
        return self._binder.bind(offer)

    def _plan(self, item: GroupItem) -> Step | None:
        if isinstance(item, CommandItem):
            return self._reconciler.command(item.command)
        if isinstance(item, StepItem):
            return item.plan(self._reconciler)
        return self._reconciler.advance(item.group_id)

    def _seal_and_finish(self, steps: Sequence[Step]) -> None:
        jobs = [step.seal for step in steps if step.seal is not None]
        ahead = [self._ahead.pop(job.group, None) for job in jobs]
        known = [
            a[1] if a and a[0].same_as(job) else None for a, job in zip(ahead, jobs, strict=True)
        ]
        begun = self._pool.begin([j for j, a in zip(jobs, known, strict=True) if a is None])
        for step in steps:
            if step.seal_ahead is not None and len(self._ahead) < _MOST_AHEAD:
                job = step.seal_ahead
                self._ahead[job.group] = (job, self._pool.begin([job]))
        new = iter(begun.results())
        results = iter([a.results()[0] if a else next(new) for a in known])
        self._on_step("sealed")
        for step in steps:
            if step.finish is not None:
                step.finish(Sealed() if step.seal is None else next(results))

    # After the commit

    def _put_back(self, items: Sequence[Item]) -> Callable[[], None]:
        def put_back() -> None:
            with self._wake:
                for item in reversed(items):
                    if isinstance(item, WorkItem):
                        self._ready[item.group_id] = None
                    else:
                        self._queue.appendleft(item)

        return put_back

    def _happened(
        self, item: BindingItem | EventItem, result: object, groups: Sequence[bytes]
    ) -> Callable[[], None]:
        answer: Future[Any] = item.answer

        def happened() -> None:
            with self._wake:
                self._ready.update(dict.fromkeys(groups))
            answer.set_result(result)

        return happened

    def _settled(self, item: GroupItem, step: Step) -> Callable[[], None]:
        def settled() -> None:
            group_id = step.group.group_id
            if step.seal_ahead is None:
                # The group went another way than was foreseen: its place is for another one.
                self._ahead.pop(group_id, None)
            if isinstance(item, CommandItem):
                if step.answer is not None:
                    item.answer.set_result(step.answer)
                    return
                item.refusals, item.started = step.refusals, True
                self._waiters.setdefault(group_id, []).append(item)
            elif isinstance(item, StepItem):
                item.answer.set_result(True)
            if step.delay_ms is not None:
                heapq.heappush(self._delayed, (monotonic() + step.delay_ms / 1000, group_id))
                self._answer_waiters(step, Outcome.DELAYED)
            elif step.group.needs_work:
                with self._wake:
                    self._ready[group_id] = None
            else:
                self._answer_waiters(step, Outcome.DONE)

        return settled

    def _answer_waiters(self, step: Step, outcome: Outcome) -> None:
        delayed = outcome is Outcome.DELAYED
        for item in self._waiters.pop(step.group.group_id, []):
            if delayed:
                answer = Answer(
                    outcome,
                    step.group.last_position,
                    item.refusals,
                    Reason.ROTATING,
                    step.delay_ms or 0,
                )
            else:
                answer = self._done(item, step.group)
            item.answer.set_result(answer)

    def _done(self, item: CommandItem, group: Group) -> Answer:
        """Done, and who is held back all the same; or soon to be asked for again."""
        held = self._admission.holds.reasons_of(group.number, frozenset(item.command.added))
        if Reason.MEMBERSHIP_UNCHECKED in held.values():
            return Answer(
                Outcome.DELAYED,
                group.last_position,
                item.refusals,
                Reason.MEMBERSHIP_UNCHECKED,
                _ASKING_MS,
            )
        refusals = (*item.refusals, *held.items())
        return Answer(Outcome.DONE, group.last_position, refusals)

    def _fail(self, item: Item, error: Exception) -> None:
        if not isinstance(item, WorkItem):
            item.answer.set_exception(error)
            return
        heapq.heappush(self._delayed, (monotonic() + _RETRY_SECONDS, item.group_id))
        for waiting in self._waiters.pop(item.group_id, []):
            waiting.answer.set_exception(error)


def _answering(item: TaskItem | StepItem, result: object) -> Callable[[], None]:
    answer: Future[Any] = item.answer
    return lambda: answer.set_result(result)
