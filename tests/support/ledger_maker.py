"""A small encryption service for tests: it really signs, seals, speaks gRPC over mutual TLS.

It stands on `OrgMaker`. What it does wrong is set by plain assignment: `tamper` changes what
ReadLedger sends, `silent` lets calls hang, `deaf` refuses them.
"""

import datetime
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from encryption_api import encryption_pb2 as pb
from encryption_api import encryption_pb2_grpc as pb_grpc
from groupseal.bindings import BindingRequest
from groupseal.encoding import encode_byte_strings
from groupseal.entries import Entry, GroupReconciled, KeyRefused
from groupseal.pairing import ServiceIdentity
from groupseal.parts import PartKind
from groupseal.suites import suite_from
from tests.support.org_maker import MadeGroup, OrgMaker

Messages = list[pb.ReadLedgerResponse]
_PIECE = 100_000
_DAY = datetime.timedelta(days=1)


def _unchanged(messages: Messages) -> Messages:
    return messages


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *extensions: x509.ExtensionType,
) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@dataclass
class FakeService(pb_grpc.EncryptionServiceServicer):
    """One organisation's service on a port of its own."""

    vendor_ca: bytes
    org: OrgMaker = field(default_factory=OrgMaker)
    # Entries before each head of a ReadLedger.
    chunk: int = 1000
    # Changes the messages of a ReadLedger.
    tamper: Callable[[Messages], Messages] = field(default=_unchanged)
    # While it is set, no call is answered.
    silent: threading.Event = field(default_factory=threading.Event)
    # (gRPC status, reason code) with which every call is refused.
    deaf: tuple[grpc.StatusCode, str] | None = None
    # Outcome of every command, whatever happens to it.
    outcome: pb.ReconcileGroupsResponse | None = None
    refuse_keys: str | None = None
    # Reason with which keys wait instead of being bound.
    let_keys_wait: str | None = None
    refuse_removals: str | None = None
    # (group, member) -> reason and version; see `hold`.
    holds: dict[tuple[bytes, bytes], tuple[str, int]] = field(default_factory=dict)
    holds_version: int = 0
    # ListHolds ends after so many, as if it was cut off.
    cut_holds_after: int | None = None
    # Calls of WatchLedger that are open now.
    watching: int = 0
    # What GetOrganisation says.
    frozen: bool = False
    policy_fault: str = ""
    # Every offer and removal that came.
    offers: list[pb.KeyBinding] = field(default_factory=list)
    removals: list[pb.KeyRemoval] = field(default_factory=list)
    loses_envelopes: bool = False
    acknowledged: int = 0
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        basic = x509.BasicConstraints(ca=True, path_length=None)
        ca = _certificate("fake CA", ca_key, "fake CA", ca_key, basic)
        self.name = "fake.encryption-service.groupseal"
        names = x509.SubjectAlternativeName([x509.DNSName(self.name)])
        certificate = _certificate("fake", key, "fake CA", ca_key, names)
        identity = ServiceIdentity(self.org.id, self.org.public_key, ca.decode(), self.name)
        signature = self.org.signing_key.sign(identity.message())
        self.identity = ServiceIdentity(
            self.org.id, self.org.public_key, ca.decode(), self.name, signature
        )
        self._credentials = grpc.ssl_server_credentials(
            [(_pem_key(key), certificate)], self.vendor_ca, require_client_auth=True
        )
        self._lock = threading.RLock()
        self._changed = threading.Condition()
        self._released = threading.Event()
        self._server: grpc.Server | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serves, on the port of before if there was one."""
        self._released.clear()
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        pb_grpc.add_EncryptionServiceServicer_to_server(self, self._server)
        self.port = self._server.add_secure_port(f"127.0.0.1:{self.port}", self._credentials)
        self._server.start()

    def stop(self) -> None:
        self._released.set()
        self.tell()
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None

    def _enter(self, call: str, context: grpc.ServicerContext) -> None:
        self.calls.append(call)
        if self.silent.is_set():
            self._released.wait(30)
        if self.deaf is not None:
            code, reason = self.deaf
            detail = AnyMessage()
            detail.Pack(ErrorInfo(reason=reason, domain="groupseal"))
            status = Status(code=code.value[0], message=reason, details=[detail])
            context.abort_with_status(rpc_status.to_status(status))

    def GetOrganisation(  # noqa: N802 # gRPC's names
        self,
        request: pb.GetOrganisationRequest,  # noqa: ARG002 # gRPC's signature
        context: grpc.ServicerContext,
    ) -> pb.GetOrganisationResponse:
        self._enter("GetOrganisation", context)
        return pb.GetOrganisationResponse(
            organisation_id=self.org.id,
            signing_public_key=self.org.public_key,
            trust_mode=pb.TRUST_MODE_PIN,
            head=self.org.head(),
            frozen=self.frozen,
            policy_fault=self.policy_fault,
        )

    def hold(self, group: bytes, *members: bytes, reason: str) -> None:
        """From now on nothing is granted to them; one version for all, as in one transaction."""
        with self._lock:
            self.holds_version += 1
            for member in members:
                self.org.barred.add((group, member))
                self.holds[group, member] = (reason, self.holds_version)

    def release(self, group: bytes, *members: bytes) -> None:
        """Grants it after all, by itself."""
        with self._lock:
            for member in members:
                self.org.barred.discard((group, member))
                self.holds.pop((group, member), None)
            self.org.grant(self.org.groups[group], members)

    def tell(self) -> None:
        """Whoever watches hears of the position at once."""
        with self._changed:
            self._changed.notify_all()

    def ListHolds(  # noqa: N802
        self, request: pb.ListHoldsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ListHoldsResponse]:
        self._enter("ListHolds", context)
        with self._lock:
            found = sorted(
                (version, group, member, reason)
                for (group, member), (reason, version) in self.holds.items()
                if version > request.since_version
            )
        for number, (version, group, member, reason) in enumerate(found):
            if number == self.cut_holds_after:
                context.abort(grpc.StatusCode.UNAVAILABLE, "cut off")
            yield pb.ListHoldsResponse(
                group_id=group, member_id=member, reason=reason, version=version
            )

    def WatchLedger(  # noqa: N802
        self,
        request: pb.WatchLedgerRequest,  # noqa: ARG002
        context: grpc.ServicerContext,
    ) -> Iterator[pb.WatchLedgerResponse]:
        self._enter("WatchLedger", context)
        self.watching += 1
        try:
            while context.is_active() and not self._released.is_set():
                yield pb.WatchLedgerResponse(
                    size=len(self.org.entries), holds_version=self.holds_version
                )
                with self._changed:
                    self._changed.wait(1.0)
        finally:
            self.watching -= 1

    def BindMemberKeys(  # noqa: N802
        self, requests: Iterator[pb.BindMemberKeysRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.BindMemberKeysResponse]:
        self._enter("BindMemberKeys", context)
        for message in requests:
            with self._lock:
                answer = self._decide(message)
            if answer is not None:
                yield answer

    def _decide(self, message: pb.BindMemberKeysRequest) -> pb.BindMemberKeysResponse | None:
        if message.HasField("binding"):
            self.offers.append(message.binding)
            return self._bind(message.binding)
        if message.HasField("removal"):
            self.removals.append(message.removal)
            return self._remove(message.removal)
        return None

    def _bind(self, key: pb.KeyBinding) -> pb.BindMemberKeysResponse:
        request = BindingRequest(
            self.org.id,
            key.member_id,
            suite_from(key.suite),
            key.hpke_public_key,
            key.signing_public_key,
            key.replaces,
        )
        answer = pb.BindMemberKeysResponse(member_id=key.member_id, key_id=request.key_id)
        if self.let_keys_wait is not None:
            answer.outcome, answer.reason = pb.BINDING_OUTCOME_WAITING, self.let_keys_wait
            return answer
        if self.refuse_keys is not None:
            answer.outcome, answer.reason = pb.BINDING_OUTCOME_REFUSED, self.refuse_keys
            body = KeyRefused(key.member_id, request.key_id, self.refuse_keys)
            answer.position = self.org.append(body)
            return answer
        answer.outcome = pb.BINDING_OUTCOME_BOUND
        if request.key_id not in self.org.keys:
            answer.position = self.org.bind(request, key.possession_proof)
        return answer

    def _remove(self, removal: pb.KeyRemoval) -> pb.BindMemberKeysResponse:
        answer = pb.BindMemberKeysResponse(member_id=removal.member_id, key_id=removal.key_id)
        if self.refuse_removals is not None:
            answer.outcome, answer.reason = pb.BINDING_OUTCOME_REFUSED, self.refuse_removals
            return answer
        answer.outcome = pb.BINDING_OUTCOME_UNBOUND
        if removal.key_id in self.org.keys:
            answer.position = self.org.unbind(removal.key_id, "key_removed_by_member")
        return answer

    def ReconcileGroups(  # noqa: N802
        self, requests: Iterator[pb.ReconcileGroupsRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.ReconcileGroupsResponse]:
        self._enter("ReconcileGroups", context)
        whole: pb.GroupCommand | None = None
        for message in requests:
            if not message.HasField("command"):
                continue
            if whole is None:
                whole = message.command
            else:
                whole.added.extend(message.command.added)
                whole.removed.extend(message.command.removed)
            if not message.command.more:
                with self._lock:
                    answer = self._reconcile(whole)
                whole = None
                yield answer

    def _reconcile(self, command: pb.GroupCommand) -> pb.ReconcileGroupsResponse:
        group = self.org.groups.setdefault(command.group_id, MadeGroup(command.group_id))
        answer = pb.ReconcileGroupsResponse(group_id=command.group_id)
        base = command.base if command.HasField("base") else None
        if self.outcome is not None:
            answer.MergeFrom(self.outcome)
        elif base != group.last:
            answer.outcome = pb.OUTCOME_BASE_MISMATCH
        else:
            self._bring_about(command, group)
            answer.outcome = pb.OUTCOME_DONE
            for member in command.added:
                if (group.id, member) in self.holds:
                    reason, _ = self.holds[group.id, member]
                    answer.refusals.append(pb.Refusal(member_id=member, reason=reason))
        if group.last is not None:
            answer.position = group.last
        return answer

    def _bring_about(self, command: pb.GroupCommand, group: MadeGroup) -> None:
        if command.HasField("name"):
            self.org.rename(group, command.name.display_name)
        joined = set(command.added) - group.roster
        left = set(command.removed) & group.roster
        roster = (group.roster | joined) - left
        held = {pair for pair, grant in group.grants.items() if grant.epoch == group.epoch}
        waiting = {
            (request.member, key_id)
            for key_id, request in self.org.keys.items()
            if request.member in roster - joined
            and (group.id, request.member) not in self.org.barred
        } - held
        if left and group.is_open:
            self.org.close_epoch(group, left)
            self.org.open_epoch(group, joined)
        elif (joined and not group.is_open) or waiting or command.needed_envelopes:
            self.org.open_epoch(group, joined)
        elif joined:
            self.org.add(group, joined)

    def ReadLedger(  # noqa: N802
        self, request: pb.ReadLedgerRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ReadLedgerResponse]:
        self._enter("ReadLedger", context)
        with self._lock:
            messages = self._messages(request.from_position)
            self.acknowledged = max(self.acknowledged, request.from_position)
        yield from self.tamper(messages)

    def _messages(self, start: int) -> Messages:
        messages: Messages = []
        size = len(self.org.entries)
        envelopes = self._envelopes(start)
        for position in range(start, size):
            entry = pb.LedgerEntry(position=position, entry=self.org.entries[position])
            messages.append(pb.ReadLedgerResponse(entry=entry))
            parts = dict(self.org.parts[position])
            if position in envelopes and not self.loses_envelopes:
                parts[PartKind.ENVELOPES] = encode_byte_strings(envelopes[position])
            for kind, body in parts.items():
                messages += _pieces(kind, body)
            done = position + 1
            if done % self.chunk == 0 and done < size:
                messages.append(self._head(done, newest=False))
        return [*messages, self._head(size, newest=True)]

    def _envelopes(self, start: int) -> dict[int, list[bytes]]:
        found: dict[int, list[bytes]] = {}
        for group in self.org.groups.values():
            for _, _, grant in group.all_grants:
                if grant.position >= start:
                    found.setdefault(grant.position, []).append(grant.envelope)
        return found

    def _head(self, size: int, *, newest: bool) -> pb.ReadLedgerResponse:
        head = self.org.head(size)
        return pb.ReadLedgerResponse(
            head=pb.LedgerHead(
                head=head,
                newest=newest,
                acknowledged_size=self.acknowledged,
                holds_version=self.holds_version,
            )
        )


def _pieces(kind: PartKind, body: bytes) -> Messages:
    steps = range(0, max(len(body), 1), _PIECE)
    return [
        pb.ReadLedgerResponse(
            part=pb.EntryPart(
                kind=pb.PartKind.ValueType(kind),
                piece=body[at : at + _PIECE],
                last=at + _PIECE >= len(body),
            )
        )
        for at in steps
    ]


def reconciled_entries(org: OrgMaker) -> list[GroupReconciled]:
    """The bodies of a kind of entry that tests look for."""
    bodies = [Entry.from_bytes(data).body for data in org.entries]
    return [body for body in bodies if isinstance(body, GroupReconciled)]
