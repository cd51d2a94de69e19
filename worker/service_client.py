"""Typed calls to one tenant's encryption service, over mutual TLS with pinned identities.

Every call has a deadline; whatever goes wrong comes out as a `ServiceError` with a reason code.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeVar

import grpc

from encryption_api import encryption_pb2 as pb
from encryption_api import encryption_pb2_grpc as pb_grpc
from groupseal.pairing import ServiceIdentity
from worker.client_certificates import ClientCertificate
from worker.errors import UnpinnedServiceError
from worker.service_errors import translated

# What sealing takes at the very most, so that a large group is not taken for a hanging service.
_SECONDS_PER_SEAL = 0.001
# The service may have to open and verify evidence, against keys that it has to fetch first.
_SECONDS_PER_KEY = 0.02
# Below the job's own limit (directory.wake_up).
_MOST_SECONDS = 150.0
_MOST_MESSAGE_BYTES = 16 * 1024 * 1024

_Message = TypeVar("_Message")
_Received_co = TypeVar("_Received_co", covariant=True)


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """Where a service is, who it must be, and who calls."""

    address: str
    identity: ServiceIdentity
    certificate: ClientCertificate


def channel_credentials(target: ServiceTarget) -> grpc.ChannelCredentials:
    """Mutual TLS: the pinned authority on one side, the tenant's certificate on the other."""
    return grpc.ssl_channel_credentials(
        root_certificates=target.identity.server_ca.encode(),
        private_key=target.certificate.private_key,
        certificate_chain=target.certificate.certificate,
    )


def channel_options(identity: ServiceIdentity) -> list[tuple[str, str | int]]:
    """What every channel to a service has in common."""
    return [
        ("grpc.ssl_target_name_override", identity.server_name),
        ("grpc.max_receive_message_length", _MOST_MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MOST_MESSAGE_BYTES),
        # When to try again is decided by us, not by the channel.
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]


class ServiceConnection:
    """A kept channel to one service. Not for use after a ServiceError: open another."""

    def __init__(self, target: ServiceTarget, timeout: float) -> None:
        self._identity = target.identity
        self._timeout = timeout
        self._channel = grpc.secure_channel(
            target.address, channel_credentials(target), channel_options(target.identity)
        )
        self._stub = pb_grpc.EncryptionServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the channel and every call on it."""
        self._channel.close()

    def get_organisation(self) -> pb.GetOrganisationResponse:
        """Asks who answers. Raises UnpinnedServiceError unless it is who was connected."""
        try:
            answer = self._stub.GetOrganisation(pb.GetOrganisationRequest(), timeout=self._timeout)
        except grpc.RpcError as error:
            raise translated(error) from error
        pinned = (self._identity.organisation, self._identity.signing_public_key)
        if (answer.organisation_id, answer.signing_public_key) != pinned:
            raise UnpinnedServiceError(
                "another organisation answers at this address; connect the tenant again"
            )
        return answer

    def reconcile_groups(
        self, known_head: str, commands: Iterable[pb.GroupCommand], seals: int
    ) -> list[pb.ReconcileGroupsResponse]:
        """Sends commands and collects their outcomes. `seals`: how many envelopes at most."""
        header = pb.ReconcileGroupsRequest(header=pb.CallHeader(known_head=known_head))
        requests = _stream(header, (pb.ReconcileGroupsRequest(command=c) for c in commands))
        timeout = min(self._timeout + seals * _SECONDS_PER_SEAL, _MOST_SECONDS)
        try:
            return list(self._stub.ReconcileGroups(requests, timeout=timeout))
        except grpc.RpcError as error:
            raise translated(error) from error

    def bind_member_keys(
        self, known_head: str, messages: Sequence[pb.BindMemberKeysRequest]
    ) -> list[pb.BindMemberKeysResponse]:
        """Offers keys, passes on requests to remove one, and collects the outcomes."""
        header = pb.BindMemberKeysRequest(header=pb.CallHeader(known_head=known_head))
        requests = _stream(header, messages)
        timeout = min(self._timeout + len(messages) * _SECONDS_PER_KEY, _MOST_SECONDS)
        try:
            return list(self._stub.BindMemberKeys(requests, timeout=timeout))
        except grpc.RpcError as error:
            raise translated(error) from error

    def read_ledger(self, from_position: int, known_head: str) -> Iterator[pb.ReadLedgerResponse]:
        """Streams the ledger from a position; ends if nothing comes for the time of a call."""
        request = pb.ReadLedgerRequest(from_position=from_position, known_head=known_head)
        yield from self._progressing(self._stub.ReadLedger(request, timeout=_MOST_SECONDS))

    def list_holds(self, since_version: int) -> Iterator[pb.ListHoldsResponse]:
        """Streams the holds that changed after a version, in the order of their versions."""
        request = pb.ListHoldsRequest(since_version=since_version)
        yield from self._progressing(self._stub.ListHolds(request, timeout=_MOST_SECONDS))

    def _progressing(self, call: "_Streaming[_Message]") -> Iterator[_Message]:
        """A stream's messages. Raises ServiceError, also if none comes for the time of a call."""
        with _ProgressWatch(call, self._timeout) as watch:
            while True:
                watch.expect()
                try:
                    message = next(call, None)
                except grpc.RpcError as error:
                    raise translated(error, timed_out=watch.timed_out) from error
                watch.rest()
                if message is None:
                    return
                yield message


class _Streaming(Protocol[_Received_co]):
    """An answer of many messages."""

    def __next__(self) -> _Received_co: ...

    def cancel(self) -> bool: ...


class _ProgressWatch:
    """Cancels a call that is expected to make progress and does not."""

    def __init__(self, call: _Streaming[object], seconds: float) -> None:
        self._call = call
        self._seconds = seconds
        self._expected_by: float | None = None
        self._over = threading.Event()
        self.timed_out = False
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        # A reader that stops early (an entry was refused) must not leave the stream open.
        self._call.cancel()

    def expect(self) -> None:
        """From now on the clock runs."""
        self._expected_by = time.monotonic() + self._seconds

    def rest(self) -> None:
        """Something came; what is done with it is not the service's time."""
        self._expected_by = None

    def _watch(self) -> None:
        while not self._over.wait(self._seconds / 4):
            expected_by = self._expected_by
            if expected_by is not None and time.monotonic() > expected_by:
                self.timed_out = True
                self._call.cancel()
                return


def _stream(header: _Message, messages: Iterable[_Message]) -> Iterator[_Message]:
    yield header
    yield from messages
