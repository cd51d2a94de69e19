"""The membership check: verdicts for whoever decides, got by threads of its own.

Nothing here is called inside a transaction of the store's: `verdicts` looks into memory, `ask`
leaves a question and returns, and what comes of it is told through the events.
"""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog

from encryption_service.membership.answering import Answerer
from encryption_service.membership.audit import Auditor, AuditResult, Finding
from encryption_service.membership.cache import Verdict, VerdictCache
from encryption_service.membership.events import MembershipEvents
from encryption_service.membership.questions import Question, QuestionQueue
from encryption_service.membership.source import (
    Clock,
    MembershipSource,
    SourceUnavailableError,
    StoppingError,
)
from encryption_service.membership.source_health import SourceHealth
from groupseal.reasons import Reason

_log = structlog.get_logger(__name__)

_THREADS = 2
_STOPS_WITHIN_SECONDS = 3.0
_FIRST_LOOK_UP_WAIT_MS = 200
_LONGEST_LOOK_UP_WAIT_MS = 10 * 60_000
# A group that nobody asked about for so long is not looked for any more.
_FORGOTTEN_AFTER_MS = 24 * 3_600_000
_WAIT_AFTER_FAULT_MS = 5_000
_FIRST_AUDIT_MS = 2_000
_AUDIT_FAILED_WAIT_MS = 60_000


@dataclass(frozen=True, slots=True)
class MembershipStatus:
    """For metrics and the operator."""

    source: str
    # False: it is observed only, and nobody is taken off.
    enforced: bool
    last_success_ms: int | None
    # The end of the last audit in which no group failed.
    last_audit_ms: int | None
    findings: tuple[Finding, ...]
    # Members whom audits found missing at the source, since the start.
    members_left: int
    # What the tightest rate limit has left, where the source says so.
    remaining: int | None
    # Groups with an open question.
    waiting: int
    # A sentence and its reason while the source does not answer; else empty and None.
    fault: str
    fault_reason: Reason | None


class MembershipChecker:
    """Asks one source for all groups. `start` and `stop` it once.

    With `enforce`, whom an audit finds to have left is told to `left_at_source`; otherwise it only
    shows among the findings.
    """

    def __init__(
        self,
        source: MembershipSource,
        events: MembershipEvents,
        *,
        clock: Clock,
        cache_ms: int,
        audit_ms: int,
        recheck_ms: int,
        enforce: bool = True,
    ) -> None:
        self._source, self._events, self._clock = source, events, clock
        self._audit_ms, self._recheck_ms, self._enforce = audit_ms, recheck_ms, enforce
        self._cache = VerdictCache(clock, cache_ms, recheck_ms)
        self._health = SourceHealth(clock)
        self._questions = QuestionQueue(clock)
        self._stopping = threading.Event()
        self._answerer = Answerer(
            source, events, cache=self._cache, clock=clock, stopping=self._stopping.is_set
        )
        self._auditor = Auditor(
            source, events, cache=self._cache, health=self._health, clock=clock, enforce=enforce
        )
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        targets: list[tuple[str, Callable[[], None]]] = [
            *((f"membership-{number}", self._answer_questions) for number in range(_THREADS)),
            ("membership-audit", self._audit_on_schedule),
        ]
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True) for name, target in targets
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when the threads ended, or after a few seconds if the source is silent.

        A thread that still waits for the source then ends by itself and tells nobody.
        """
        self._stopping.set()
        self._questions.stop()
        end = time.monotonic() + _STOPS_WITHIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        self._threads = []

    def verdicts(self, source_group_id: str, subjects: Collection[str]) -> dict[str, Verdict]:
        """What the source said lately; whoever is not in it has to be asked about."""
        return self._cache.verdicts(source_group_id, subjects)

    def forget(self, source_group_id: str, subjects: Collection[str]) -> None:
        """Lets no answer from before count for these: they were taken off."""
        self._cache.forget(source_group_id, subjects)

    def ask(
        self, group: bytes, source_group_id: str | None, group_name: str, subjects: Collection[str]
    ) -> None:
        """Has those without a fresh verdict asked about; an event tells when there is news.

        Without the source's id, the group is looked up by its exact name first; with it and without
        subjects, it is looked up by the id. Either way an event tells whether it is there.
        """
        now = self._clock()
        self._questions.put(
            Question(
                group,
                source_group_id,
                group_name,
                set(subjects),
                asked_ms=now,
                due_ms=now,
                look_up=source_group_id is None or not subjects,
            )
        )

    def audit_now(self) -> AuditResult:
        """Audits every group in the caller's thread, without waiting for limits or the source."""
        return self._auditor.run()

    def answer_due(self) -> None:
        """Answers in the caller's thread what is due, for whoever did not `start` any."""
        while (question := self._questions.take(wait=False)) is not None:
            self._take_up(question)

    @property
    def last_audit_ms(self) -> int | None:
        return self._auditor.last_audit_ms

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self._auditor.findings

    @property
    def status(self) -> MembershipStatus:
        return MembershipStatus(
            source=self._source.name,
            enforced=self._enforce,
            last_success_ms=self._health.last_success_ms,
            last_audit_ms=self._auditor.last_audit_ms,
            findings=self._auditor.findings,
            members_left=self._auditor.members_left,
            remaining=self._source.remaining,
            waiting=len(self._questions),
            fault=self._health.fault,
            fault_reason=self._health.reason,
        )

    # Questions

    def _answer_questions(self) -> None:
        while (question := self._questions.take()) is not None:
            self._take_up(question)

    def _take_up(self, question: Question) -> None:
        try:
            if question.due_ms > self._clock():
                self._tell_again(question)
            elif self._health.closed_until_ms > self._clock():
                self._delay_all(question)
            else:
                self._answer(question)
        except Exception as error:  # noqa: BLE001 # the thread outlives whatever a listener raises
            _log.error("membership_event_failed", error=type(error).__name__)
            self._questions.put_back(question, self._clock() + _WAIT_AFTER_FAULT_MS, None)

    def _answer(self, question: Question) -> None:
        try:
            not_found = self._answerer.answer(question)
        except StoppingError:
            return
        except SourceUnavailableError as error:
            if self._stopping.is_set():
                return
            retry_at = self._health.failed(error)
            _log.warning("membership_source_failed", reason=error.reason.value, error=str(error))
            self._events.unavailable([question.group], error.reason, retry_at)
            self._questions.put_back(question, retry_at, error.reason)
            return
        self._health.succeeded()
        forgotten = self._clock() > question.asked_ms + _FORGOTTEN_AFTER_MS
        if not_found is Reason.GROUP_NOT_AT_SOURCE and not forgotten:
            self._look_again(question)
        else:
            # Which of several groups is meant, a person says; the answer comes as a new question.
            self._questions.done(question)

    def _look_again(self, question: Question) -> None:
        wait = min(self._recheck_ms << min(question.look_ups, 8), _LONGEST_LOOK_UP_WAIT_MS)
        question.look_ups += 1
        self._questions.put_back(
            question, self._clock() + max(wait, _FIRST_LOOK_UP_WAIT_MS), Reason.GROUP_NOT_AT_SOURCE
        )

    def _delay_all(self, question: Question) -> None:
        """The source is silent: no thread waits for it again for each group."""
        until = self._health.closed_until_ms
        reason = self._health.reason or Reason.MEMBERSHIP_SOURCE_UNAVAILABLE
        others = self._questions.delay_due(until, reason)
        self._events.unavailable([question.group, *others], reason, until)
        self._questions.put_back(question, until, reason)

    def _tell_again(self, question: Question) -> None:
        """Somebody asked during the delay: say what it waits for."""
        reason, question.tell = question.delayed_for, False
        if reason is Reason.GROUP_NOT_AT_SOURCE:
            self._events.group_not_found(question.group, reason)
        elif reason is not None:
            self._events.unavailable([question.group], reason, question.due_ms)
        self._questions.put_back(question, question.due_ms, reason)

    # Audits

    def _audit_on_schedule(self) -> None:
        """Each group about once in `audit_ms`, spread over the first half of it."""
        due = all_due = self._clock() + min(_FIRST_AUDIT_MS, self._audit_ms)
        groups, failed = 0, set[bytes]()
        while not self._wait_until(due):
            begun = self._clock()
            every_group = begun >= all_due
            gap = self._audit_ms / 2000 / groups if groups and every_group else 0.0
            if every_group:
                all_due = begun + self._audit_ms
            try:
                result = self._auditor.run(
                    self._wait, gap_seconds=gap, only=None if every_group else failed
                )
            except Exception as error:  # noqa: BLE001 # the next one may find the store again
                _log.error("audit_failed", error=type(error).__name__)
                due = all_due = begun + min(self._audit_ms, _AUDIT_FAILED_WAIT_MS)
                continue
            groups, failed = (result.groups if every_group else groups), result.failed
            again = self._clock() + min(self._audit_ms, _AUDIT_FAILED_WAIT_MS)
            due = min(all_due, again) if failed else all_due

    def _wait_until(self, due_ms: int) -> bool:
        """True: stop. Looks at the clock each second, because the wall clock may be set."""
        while (left := due_ms - self._clock()) > 0:
            if self._stopping.wait(min(left / 1000, 1.0)):
                return True
        return self._stopping.is_set()

    def _wait(self, seconds: float) -> bool:
        return self._wait_until(self._clock() + int(seconds * 1000))
