"""The gRPC service: mutual TLS 1.3, pinned clients, limits, health and reflection."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from encryption_api import encryption_pb2 as pb
from encryption_api import encryption_pb2_grpc as pb_grpc
from encryption_service.access import PinnedClients
from encryption_service.binding_rules import Offer
from encryption_service.bindings import BindingAnswer, Removal
from encryption_service.call_stream import answer_in_order
from encryption_service.errors import BusyError, InvalidCallError, SettingsError
from encryption_service.grpc_errors import statuses
from encryption_service.heads import HeadGuard, HeadSigner
from encryption_service.holds import read_holds
from encryption_service.ledger_store import Clock, acknowledge, ledger_size, read_service
from encryption_service.ledger_stream import stream_ledger
from encryption_service.messages import (
    CommandAssembler,
    Malformed,
    binding_response,
    group_response,
    malformed_command,
)
from encryption_service.metrics import Metrics
from encryption_service.offers import OfferReader
from encryption_service.policy.policy_file import PolicyFile
from encryption_service.progress import Position, Progress
from encryption_service.reconcile import Answer, Outcome
from encryption_service.server_credentials import server_credentials
from encryption_service.server_identity import CertificateSource
from encryption_service.settings import ServiceSettings
from encryption_service.store import Store, snapshot
from encryption_service.version import service_version
from encryption_service.writer import Writer
from encryption_service.writer_items import CommandItem
from groupseal.identifiers import fingerprint
from groupseal.reasons import Reason

_T = TypeVar("_T")
# How long before the caller's deadline an answer is given, whatever it is.
_MARGIN_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 300.0
_ASK_AGAIN_MS = 1000
# Each holds a thread; one is enough for the vendor, a few for its changes of process.
_MOST_WATCHES = 8
# A watcher hears something at least so often.
_WATCH_SECONDS = 15.0
SERVICE_NAME = pb.DESCRIPTOR.services_by_name["EncryptionService"].full_name


class EncryptionService(pb_grpc.EncryptionServiceServicer):
    """The contract's four calls. Each writes through the writer and reads by itself."""

    def __init__(
        self,
        *,
        settings: ServiceSettings,
        organisation: bytes,
        signing_public_key: bytes,
        evidence_public_key: bytes,
        store: Store,
        writer: Writer,
        signer: HeadSigner,
        guard: HeadGuard,
        certificates: CertificateSource,
        offers: OfferReader,
        policy: PolicyFile,
        progress: Progress,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._organisation = organisation
        self._signing_public_key = signing_public_key
        self._store = store
        self._writer = writer
        self._signer = signer
        self._guard = guard
        self._certificates = certificates
        self._evidence_public_key = evidence_public_key
        self._offers = offers
        self._policy = policy
        self._progress = progress
        self._metrics = metrics
        self._watches = threading.BoundedSemaphore(_MOST_WATCHES)
        self._clock = clock

    def GetOrganisation(  # noqa: N802 # the contract's name
        self,
        request: pb.GetOrganisationRequest,  # noqa: ARG002 # it is empty
        context: grpc.ServicerContext,
    ) -> pb.GetOrganisationResponse:
        settings, trust = self._settings, self._settings.trust
        with statuses(context), self._store.reader() as connection:
            with snapshot(connection):
                head = self._signer.newest(connection)
                service = read_service(connection)
            return pb.GetOrganisationResponse(
                organisation_id=self._organisation,
                signing_public_key=self._signing_public_key,
                fingerprint=fingerprint(self._signing_public_key),
                trust_mode=pb.TrustMode.ValueType(trust.mode),
                head=head,
                version=service_version(),
                halted_reason=self._writer.halted or "",
                certificate_not_after=self._certificates.current.not_after_ms // 1000,
                limits=pb.Limits(
                    max_roster=settings.max_roster,
                    max_message_bytes=settings.max_message_bytes,
                    max_concurrent_calls=settings.max_concurrent_calls,
                    max_devices_per_member=settings.max_devices_per_member,
                ),
                trust=pb.TrustSettings(
                    issuer=trust.issuer,
                    client_id=trust.client_id,
                    subject_claim=trust.subject_claim,
                    membership_check=pb.MembershipCheck.ValueType(trust.membership_check),
                    membership_source=trust.membership_source,
                ),
                evidence_public_key=self._evidence_public_key,
                frozen=self._policy.current.freeze or bool(service and service.frozen),
                policy_fault=self._policy.fault,
            )

    def ReconcileGroups(  # noqa: N802
        self, request_iterator: Iterator[pb.ReconcileGroupsRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.ReconcileGroupsResponse]:
        assembler = CommandAssembler(2 * self._settings.max_roster)
        header = _HeaderFirst(self._check_head)

        def accept(
            request: pb.ReconcileGroupsRequest,
        ) -> Callable[[], pb.ReconcileGroupsResponse] | None:
            if header.takes(request):
                return None
            command = assembler.add(request.command)
            if command is None:
                return None
            if isinstance(command, Malformed):
                malformed = command
                return lambda: malformed_command(malformed)
            item = self._writer.command(command)
            return lambda: group_response(item.command.group_id, _answer(item, context))

        with statuses(context):
            yield from answer_in_order(request_iterator, accept, assembler.require_whole)

    def BindMemberKeys(  # noqa: N802
        self, request_iterator: Iterator[pb.BindMemberKeysRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.BindMemberKeysResponse]:
        header = _HeaderFirst(self._check_head)

        def accept(
            request: pb.BindMemberKeysRequest,
        ) -> Callable[[], pb.BindMemberKeysResponse] | None:
            if header.takes(request):
                return None
            offer: Offer | Removal | BindingAnswer
            if request.WhichOneof("message") == "removal":
                offer = self._offers.removal(request.removal)
            else:
                offer = self._offers.offer(request.binding)
            if isinstance(offer, BindingAnswer):
                refused = offer
                return lambda: self._binding(refused)
            future = self._writer.bind(offer).answer
            return lambda: self._binding(_result(future, context))

        with statuses(context):
            yield from answer_in_order(request_iterator, accept, _nothing)

    def ReadLedger(  # noqa: N802
        self, request: pb.ReadLedgerRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReadLedgerResponse]:
        with statuses(context), self._store.reader() as connection:
            head = self._guard.check(request.known_head, connection)
            start = request.from_position
            if start != (head.size if head else 0):
                raise InvalidCallError(
                    Reason.MALFORMED,
                    "known_head must be a signed head of exactly from_position entries",
                )
            with snapshot(connection):
                end = ledger_size(connection)
                service = read_service(connection)
            acknowledged = service.acknowledged_size if service else 0
            if start > acknowledged:
                now_ms = self._clock()
                self._writer.task(lambda writing: acknowledge(writing, start, now_ms))
            version = service.holds_version if service else 0
            yield from stream_ledger(
                connection,
                self._signer,
                start,
                end,
                acknowledged_size=acknowledged,
                holds_version=version,
            )

    def ListHolds(  # noqa: N802
        self, request: pb.ListHoldsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ListHoldsResponse]:
        with statuses(context), self._store.reader() as connection, snapshot(connection):
            for hold in read_holds(connection, request.since_version):
                yield pb.ListHoldsResponse(
                    group_id=hold.group_id,
                    member_id=hold.member,
                    reason=hold.reason,
                    version=hold.version,
                )

    def WatchLedger(  # noqa: N802
        self,
        request: pb.WatchLedgerRequest,  # noqa: ARG002 # it is empty
        context: grpc.ServicerContext,
    ) -> Iterator[pb.WatchLedgerResponse]:
        with statuses(context):
            if not self._watches.acquire(blocking=False):
                raise BusyError(
                    Reason.SERVICE_UNAVAILABLE, f"{_MOST_WATCHES} calls watch the ledger already"
                )
            try:
                seen: Position | None = None
                while context.is_active():
                    seen = self._progress.after(seen, _WATCH_SECONDS)
                    if seen is None:
                        return
                    yield pb.WatchLedgerResponse(size=seen.size, holds_version=seen.holds_version)
            finally:
                self._watches.release()

    def _binding(self, answer: BindingAnswer) -> pb.BindMemberKeysResponse:
        self._metrics.answered(answer)
        return binding_response(answer)

    def _check_head(self, note: str) -> None:
        with self._store.reader() as connection:
            self._guard.check(note, connection)


class _HeaderFirst:
    """A stream begins with one header and has no other."""

    def __init__(self, check: Callable[[str], None]) -> None:
        self._check = check
        self._seen = False

    def takes(self, request: pb.ReconcileGroupsRequest | pb.BindMemberKeysRequest) -> bool:
        """Whether the message is the header, which is then checked. Raises InvalidCallError."""
        kind = request.WhichOneof("message")
        if kind is None or (kind == "header") == self._seen:
            raise InvalidCallError(
                Reason.MALFORMED, "a stream begins with its header and goes on with commands"
            )
        if self._seen:
            return False
        self._check(request.header.known_head)
        self._seen = True
        return True


def _nothing() -> None:
    """There is nothing to finish."""


def _answer(item: CommandItem, context: grpc.ServicerContext) -> Answer:
    """The command's answer. One whose roster is durable is answered before the deadline."""
    try:
        return _result(item.answer, context)
    except BusyError as error:
        if error.reason is not Reason.SERVICE_TIMEOUT or not item.started:
            raise
        return Answer(
            Outcome.DELAYED, None, item.refusals, Reason.ROTATING, retry_after_ms=_ASK_AGAIN_MS
        )


def _result(future: "Future[_T]", context: grpc.ServicerContext) -> _T:
    remaining = _remaining(context)
    wait = _LONGEST_WAIT_SECONDS if remaining is None else max(0.0, remaining - _MARGIN_SECONDS)
    try:
        return future.result(min(wait, _LONGEST_WAIT_SECONDS))
    except FutureTimeoutError as error:
        raise BusyError(Reason.SERVICE_TIMEOUT) from error


def _remaining(context: grpc.ServicerContext) -> float | None:
    """Seconds until the caller's deadline; None for a caller without one."""
    return context.time_remaining()


def make_server(
    settings: ServiceSettings, service: EncryptionService, certificates: CertificateSource
) -> grpc.Server:
    """A server that is bound to its address and not yet started. Raises SettingsError."""
    calls = settings.max_concurrent_calls
    server = grpc.server(
        ThreadPoolExecutor(calls, "call"),
        interceptors=[PinnedClients(settings.allowed_client_identities)],
        maximum_concurrent_rpcs=calls,
        options=[
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ],
    )
    pb_grpc.add_EncryptionServiceServicer_to_server(service, server)
    statuses_of = health.HealthServicer()
    for name in ("", SERVICE_NAME):
        statuses_of.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(statuses_of, server)
    names = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    try:
        server.add_secure_port(settings.listen, server_credentials(certificates))
    except RuntimeError as error:
        raise SettingsError(
            f"GROUPSEAL_SERVICE_LISTEN: {settings.listen} cannot be bound; is it in use?"
        ) from error
    return server
