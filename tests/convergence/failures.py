"""How a job can go wrong, to be put between the worker and the world."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from uuid import UUID

from directory.due_work import ConnectedTenant
from encryption_api import encryption_pb2 as pb
from worker.errors import ServiceTimeoutError
from worker.service_client import ServiceConnection
from worker.service_connections import ServiceConnections

# Of the worker (worker.wiring.Wiring) and of the service (encryption_service.wiring).
WORKER_STEPS = (
    "claimed",
    "keys_sent",
    "keys_answered",
    "commands_sent",
    "outcomes_received",
    "entries_verified",
    "applying",
    "applied",
    "finished",
)
SERVICE_STEPS = (
    "planned",
    "sealed",
    "epoch closed",
    "epoch opened",
    "batch granted",
    "before commit",
)


class Died(BaseException):
    """The process ended here: no handler of errors runs, and no transaction is committed."""


class StoreFailedError(Exception):
    """The service's disk is full, say: nothing can be committed until it is started again."""


def dies_at(step: str, occurrence: int) -> Callable[[str], None]:
    """Ends the process when it comes to a step for the n-th time (from 1)."""
    counter = itertools.count(1)

    def on_step(name: str) -> None:
        if name == step and next(counter) == occurrence:
            raise Died

    return on_step


def fails_from(step: str) -> Callable[[str], None]:
    """From this step on, nothing comes to its end."""
    failing = threading.Event()

    def on_step(name: str) -> None:
        if name == step:
            failing.set()
        # What is committed is committed.
        if failing.is_set() and name != "committed":
            raise StoreFailedError

    return on_step


def once_at(step: str, then: Callable[[], None]) -> Callable[[str], None]:
    """Does something else in between, the first time that a step is reached."""
    counter = itertools.count()

    def on_step(name: str) -> None:
        if name == step and next(counter) == 0:
            then()

    return on_step


class LosesAnswer(ServiceConnections):
    """Channels on which one answer is lost on its way back, after the service has done its part.

    `messages`: so many messages of the answer still arrive.
    """

    def __init__(self, inner: ServiceConnections, call: str, messages: int) -> None:
        self._inner = inner
        self._lossy = _Lossy(call, messages)

    def connection(self, tenant: ConnectedTenant) -> ServiceConnection:
        self._lossy.inner = self._inner.connection(tenant)
        return self._lossy

    def drop(self, tenant_id: UUID) -> None:
        self._inner.drop(tenant_id)

    def close(self) -> None:
        self._inner.close()


class _Lossy(ServiceConnection):
    def __init__(self, call: str, messages: int) -> None:
        self.inner: ServiceConnection
        self._call = call
        self._messages = messages

    def close(self) -> None:
        """The channel is another's."""

    def reconcile_groups(
        self, known_head: str, commands: Iterable[pb.GroupCommand], seals: int
    ) -> list[pb.ReconcileGroupsResponse]:
        answers = self.inner.reconcile_groups(known_head, commands, seals)
        self._lose("reconcile_groups")
        return answers

    def get_organisation(self) -> pb.GetOrganisationResponse:
        return self.inner.get_organisation()

    def bind_member_keys(
        self, known_head: str, messages: Sequence[pb.BindMemberKeysRequest]
    ) -> list[pb.BindMemberKeysResponse]:
        answers = self.inner.bind_member_keys(known_head, messages)
        self._lose("bind_member_keys")
        return answers

    def read_ledger(self, from_position: int, known_head: str) -> Iterator[pb.ReadLedgerResponse]:
        for number, message in enumerate(self.inner.read_ledger(from_position, known_head)):
            if number == self._messages:
                self._lose("read_ledger")
            yield message

    def list_holds(self, since_version: int) -> Iterator[pb.ListHoldsResponse]:
        for number, message in enumerate(self.inner.list_holds(since_version)):
            if number == self._messages:
                self._lose("list_holds")
            yield message

    def _lose(self, call: str) -> None:
        if self._call == call:
            self._call = "none any more"
            raise ServiceTimeoutError("the answer was lost")
