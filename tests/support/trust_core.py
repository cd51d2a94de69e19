"""The service's core in this process: the real store, ledger, writer and rules, on a set clock.

Without gRPC, HTTP and the threads that look at a clock or a file: what those would do, the test
does. The process "dies" at a step by an exception that nothing in the service catches.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encryption_service.administration import Administration
from encryption_service.admission import BY_POLICY, Admission, Question
from encryption_service.binding_rules import Offer
from encryption_service.bindings import Binder, BindingAnswer, Removal
from encryption_service.first_start import open_keyset
from encryption_service.group_secrets import SecretVault
from encryption_service.group_store import GroupStore
from encryption_service.heads import HeadSigner
from encryption_service.holds import HoldStore
from encryption_service.key_store import KeyStore
from encryption_service.ledger_store import LedgerAppender, parts_of, read_entries
from encryption_service.membership.cache import Verdict, VerdictCache
from encryption_service.membership_events import MembershipRecorder
from encryption_service.policy.parse import parse_policy
from encryption_service.policy.policy_file import PolicyFile
from encryption_service.reconcile import Answer, GroupCommand, Limits, Reconciler, Step
from encryption_service.root_key.file import FileRootKey, create_root_key
from encryption_service.rotation import Pace
from encryption_service.store import Store, snapshot
from encryption_service.subject_vault import SubjectVault
from encryption_service.trust_record import record_policy, record_trust
from encryption_service.wrap_pool import WrapPool
from encryption_service.writer import Writer
from groupseal.ledger import LedgerVerifier, VerifiedEntry
from groupseal.merkle import CompactRange
from groupseal.projection import Projection
from groupseal.reasons import Reason
from groupseal.suites import Suite
from groupseal.trust import MembershipCheck, TrustSettings

CACHE_MS, RECHECK_MS = 60_000, 30_000
MAX_DEVICES = 3
_WAIT_SECONDS = 20.0
_MOST_POLLS = 5_000
_ROTATIONS_PER_SECOND = 1000.0


class Died(BaseException):
    """The process is gone. No `except Exception` of the service sees it, as it sees no kill."""


class FaultyError(Exception):
    """Something in a transaction went wrong: it is rolled back, and the service lives on."""


class SetClock:
    """Milliseconds; stands still until it is put forward."""

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms

    def forward(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)


class MortalWriter(Writer):
    """Whoever waits for it when it dies is told; in the service they die with it."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._lock = threading.Lock()
        self._promised: list[Future[Any]] = []
        self.dead = False

    def event(
        self, event: Callable[[sqlite3.Connection], tuple[Any, Iterable[bytes]]]
    ) -> "Future[Any]":
        return self._promise(super().event(event))

    def step(self, group_id: bytes, plan: Callable[[Reconciler], Step | None]) -> "Future[bool]":
        return self._promise(super().step(group_id, plan))

    def task(self, task: Callable[[sqlite3.Connection], Any]) -> "Future[Any]":
        return self._promise(super().task(task))

    def carried_out(self, command: GroupCommand) -> Answer:
        answer: Answer = self._promise(self.command(command).answer).result(_WAIT_SECONDS)
        return answer

    def decided(self, offer: Offer | Removal) -> BindingAnswer:
        answer: BindingAnswer = self._promise(self.bind(offer).answer).result(_WAIT_SECONDS)
        return answer

    def _promise(self, future: "Future[Any]") -> "Future[Any]":
        with self._lock:
            if self.dead:
                future.set_exception(Died())
            self._promised = [each for each in self._promised if not each.done()] + [future]
        return future

    def _run(self) -> None:
        try:
            super()._run()
        except Died:
            with self._lock:
                self.dead = True
                for future in self._promised:
                    if not future.done():
                        future.set_exception(Died())


class Answers:
    """The membership checker as the admission sees it: answers when the test says so."""

    def __init__(self, clock: SetClock) -> None:
        self.cache = VerdictCache(clock, CACHE_MS, CACHE_MS)
        self.questions: list[Question] = []

    def verdicts(self, source_group_id: str, subjects: Collection[str]) -> dict[str, Verdict]:
        return self.cache.verdicts(source_group_id, subjects)

    def forget(self, source_group_id: str, subjects: Collection[str]) -> None:
        self.cache.forget(source_group_id, subjects)

    def ask(
        self,
        group: bytes,
        source_group_id: str | None,
        group_name: str,
        subjects: Collection[str],
    ) -> None:
        self.questions.append(Question(group, source_group_id, group_name, frozenset(subjects)))


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold of one key as it is stored, listed to readers or not."""

    group: bytes
    member: bytes
    key_id: bytes
    due: bool
    reason: str | None
    next_try_ms: int | None
    version: int


class Core:
    """Everything that works inside the writer's transactions, and the writer."""

    def __init__(self, folder: Path, clock: SetClock, trust: TrustSettings) -> None:
        self.clock, self.trust = clock, trust
        root_key = folder / "root.key"
        create_root_key(root_key)
        self.provider = FileRootKey(root_key)
        self.policy = PolicyFile(None, lambda _: None)
        self.dying_at: str | None = None
        self.failing_at: str | None = None
        self.store = Store(folder)
        self.store.migrate()
        self.start()

    def start(self) -> None:
        """As `wiring` connects it."""
        self._connection = connection = self.store.open_writer()
        # What dies here is a thread, and no power is cut.
        connection.execute("PRAGMA synchronous = OFF")
        clock, trust = self.clock, self.trust
        self.keyset = open_keyset(connection, self.provider, trust, clock)
        self.ledger = LedgerAppender(connection, clock)
        self._record_settings(connection)
        self.admission = Admission(
            connection=connection,
            trust=trust,
            policy=lambda: self.policy.current,
            recheck_ms=RECHECK_MS,
            clock=clock,
        )
        organisation, keys = self.keyset.organisation, self.keyset.key_encryption_keys
        binder = Binder(
            connection=connection,
            ledger=self.ledger,
            vault=SubjectVault(organisation, keys),
            mode=trust.mode,
            allowed_suites=(Suite.XWING, Suite.X25519),
            max_devices=MAX_DEVICES,
            policy=lambda: self.policy.current,
            clock=clock,
        )
        reconciler = Reconciler(
            ledger=self.ledger,
            groups=GroupStore(connection),
            keys=KeyStore(connection),
            vault=SecretVault(organisation, keys),
            admission=self.admission,
            pace=Pace(_ROTATIONS_PER_SECOND),
            limits=Limits(max_roster=100, longest_opening_delay_ms=5),
            clock=clock,
            on_step=self._on_step,
        )
        self.writer = MortalWriter(
            connection=connection,
            ledger=self.ledger,
            reconciler=reconciler,
            binder=binder,
            admission=self.admission,
            pool=WrapPool(1),
            on_step=self._on_step,
            on_commit=lambda *_: None,
            on_pause=lambda: None,
        )
        self.answers = Answers(clock)
        if trust.membership_check is not MembershipCheck.OFF:
            self.admission.membership = self.answers
        self.recorder = MembershipRecorder(
            writer=self.writer, admission=self.admission, store=self.store, trust=trust
        )
        self.administration = Administration(
            organisation=organisation,
            store=self.store,
            writer=self.writer,
            ledger=self.ledger,
            binder=binder,
            admission=self.admission,
            policy=self.policy,
            clock=clock,
        )
        self.writer.start(GroupStore(connection).with_work(), None)

    def stop(self) -> None:
        """Also of one that died: what its transaction wrote is rolled back."""
        self.dying_at = self.failing_at = None
        self.writer.stop()
        self._connection.close()

    def restart(self, trust: TrustSettings | None = None) -> None:
        self.stop()
        self.trust = trust or self.trust
        self.start()

    def close(self) -> None:
        self.stop()
        self.store.close()

    def set_policy(self, document: Mapping[str, Any]) -> None:
        """What the policy's thread does once a new document is in the file."""
        self.policy.current = policy = parse_policy(json.dumps(document).encode())
        holds, ledger = self.admission.holds, self.ledger

        def event(connection: sqlite3.Connection) -> tuple[None, list[bytes]]:
            record_policy(connection, ledger, policy.digest)
            return None, holds.look_again(BY_POLICY)

        self.writer.event(event).result(_WAIT_SECONDS)

    def keep_house(self) -> None:
        """Looks again at what its next try has come for."""
        now_ms, holds = self.clock(), self.admission.holds
        self.writer.event(lambda _: (None, holds.look_again_by_time(now_ms, 1000))).result(
            _WAIT_SECONDS
        )

    def settle(self) -> None:
        """Returns once no group has work left; a paced rotation sees the clock go on for it."""
        for _ in range(_MOST_POLLS):
            if not self.writer.task(_groups_with_work).result(_WAIT_SECONDS):
                return
            self.clock.now_ms += 1
        raise AssertionError("it never comes to rest")

    def holds(self) -> list[Hold]:
        """Every hold of every key."""
        with self.store.reader() as connection:
            rows = connection.execute(
                "SELECT g.group_id, h.member, h.key_id, h.due, h.reason, h.next_try_ms, h.version "
                "FROM holds h JOIN groups g ON g.number = h.number"
            ).fetchall()
        return [Hold(*row) for row in rows]

    def _record_settings(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        record_trust(connection, self.ledger, self.trust)
        record_policy(connection, self.ledger, self.policy.current.digest)
        HoldStore(connection).look_again(tuple(Reason))
        self.ledger.save()
        connection.execute("COMMIT")

    def _on_step(self, step: str) -> None:
        if step == self.dying_at:
            self.dying_at = None
            raise Died
        if step == self.failing_at:
            self.failing_at = None
            raise FaultyError


def _groups_with_work(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM groups WHERE needs_work = 1").fetchone()
    return int(row[0])


class LedgerCopy:
    """Reads the ledger on and verifies every byte of it, as a vendor or a client does."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._range = CompactRange()
        self._time_ms = 0
        self.projection = Projection()

    @property
    def size(self) -> int:
        return self._range.size

    def read(self) -> list[VerifiedEntry]:
        """What is new. Raises a ProtocolError for what may not follow."""
        keyset = self._core.keyset
        verifier = LedgerVerifier(
            keyset.organisation,
            keyset.signing_public_key,
            self._range,
            self.projection.group_state,
            self._time_ms,
        )
        added: list[VerifiedEntry] = []
        with self._core.store.reader() as connection, snapshot(connection):
            for stored in read_entries(connection, self.size, 1 << 40, 1 << 40):
                parts = {
                    part.kind: _body(connection, part.row)
                    for part in parts_of(connection, stored.position)
                }
                verified = verifier.add(stored.data, parts)
                self.projection.apply(verified)
                added.append(verified)
            verifier.accept_head(HeadSigner(keyset, self._core.clock).newest(connection))
        self._range, self._time_ms = verifier.range, verifier.last_time_ms
        return added


def _body(connection: sqlite3.Connection, row: int) -> bytes:
    found = connection.execute("SELECT body FROM parts WHERE id = ?", (row,)).fetchone()
    return bytes(found[0])
