"""A vendor in memory: sends commands, reads the ledger and verifies every byte of it."""

import os
from collections.abc import Iterable, Sequence

import grpc

from encryption_api import encryption_pb2 as pb
from encryption_api import encryption_pb2_grpc as pb_grpc
from groupseal.entries import GroupReconciled
from groupseal.grants import verify_envelopes
from groupseal.ledger import LedgerVerifier, VerifiedEntry
from groupseal.merkle import CompactRange
from groupseal.parts import PartKind, Parts
from groupseal.projection import GroupView, Projection
from tests.support.devices import Device, group_public_key
from tests.support.waiting import wait_for

_TIMEOUT = 30.0


def some_id() -> bytes:
    """A group's or member's id."""
    return os.urandom(16)


class Vendor:
    """A verified copy of one service's ledger."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.stub = pb_grpc.EncryptionServiceStub(channel)
        described = self.stub.GetOrganisation(pb.GetOrganisationRequest(), timeout=_TIMEOUT)
        self.organisation = described.organisation_id
        self.public_key = described.signing_public_key
        self.projection = Projection()
        self.range = CompactRange()
        self.last_time_ms = 0
        self.head = ""
        self.acknowledged_size = 0
        self.entries: list[VerifiedEntry] = []
        # (group, member, key id) -> (epoch, envelope), the newest
        self.envelopes: dict[tuple[bytes, bytes, bytes], tuple[int, bytes]] = {}
        self.heads: list[str] = []

    # Commands

    def reconcile(
        self, *commands: pb.GroupCommand, timeout: float = _TIMEOUT
    ) -> list[pb.ReconcileGroupsResponse]:
        """Sends the commands in one stream; bases are the caller's business."""
        header = pb.ReconcileGroupsRequest(header=pb.CallHeader(known_head=self.head))
        messages = [header, *(pb.ReconcileGroupsRequest(command=c) for c in commands)]
        return list(self.stub.ReconcileGroups(iter(messages), timeout=timeout))

    def change(
        self,
        group: bytes,
        added: Iterable[bytes] = (),
        removed: Iterable[bytes] = (),
        **fields: object,
    ) -> pb.ReconcileGroupsResponse:
        """One command on top of what this copy knows of the group."""
        (answer,) = self.reconcile(self.command(group, added, removed, **fields))
        return answer

    def command(
        self,
        group: bytes,
        added: Iterable[bytes] = (),
        removed: Iterable[bytes] = (),
        **fields: object,
    ) -> pb.GroupCommand:
        view = self.projection.groups.get(group)
        if view is not None and "base" not in fields:
            fields["base"] = view.state.last_position
        return pb.GroupCommand(
            group_id=group,
            added=list(added),
            removed=list(removed),
            **fields,  # type: ignore[arg-type] # named by the test
        )

    def bind(self, *bindings: pb.KeyBinding) -> list[pb.BindMemberKeysResponse]:
        header = pb.BindMemberKeysRequest(header=pb.CallHeader(known_head=self.head))
        messages = [header, *(pb.BindMemberKeysRequest(binding=b) for b in bindings)]
        return list(self.stub.BindMemberKeys(iter(messages), timeout=_TIMEOUT))

    def remove(self, *removals: pb.KeyRemoval) -> list[pb.BindMemberKeysResponse]:
        """Passes members' own requests on."""
        header = pb.BindMemberKeysRequest(header=pb.CallHeader(known_head=self.head))
        messages = [header, *(pb.BindMemberKeysRequest(removal=r) for r in removals)]
        return list(self.stub.BindMemberKeys(iter(messages), timeout=_TIMEOUT))

    def holds(self, since_version: int = 0) -> dict[tuple[bytes, bytes], str]:
        """(group, member) -> reason, of those who are on a roster and not granted."""
        request = pb.ListHoldsRequest(since_version=since_version)
        found = self.stub.ListHolds(request, timeout=_TIMEOUT)
        return {(hold.group_id, hold.member_id): hold.reason for hold in found}

    def wait_for_hold(
        self, group: bytes, member: bytes, reason: str | None, within: float = 20.0
    ) -> None:
        """Until the member is held for this reason in the group; None: until not held."""
        wait_for(lambda: self.holds().get((group, member)) == reason, within, f"the hold {reason}")

    def bound_devices(self, count: int) -> list[Device]:
        """New members with one bound device each."""
        devices = [Device(self.organisation) for _ in range(count)]
        answers = self.bind(*(device.binding() for device in devices))
        assert all(a.outcome == pb.BINDING_OUTCOME_BOUND for a in answers)
        return devices

    # The ledger

    def read(self) -> "Vendor":
        """Reads on, verifies, applies."""
        request = pb.ReadLedgerRequest(from_position=self.range.size, known_head=self.head)
        verifier = self._verifier()
        entry: bytes | None = None
        parts: Parts = {}
        pieces: list[bytes] = []
        added: list[VerifiedEntry] = []
        newest = False
        for message in self.stub.ReadLedger(request, timeout=_TIMEOUT):
            assert not newest, "something came after the newest head"
            if message.WhichOneof("message") == "part":
                pieces.append(message.part.piece)
                if message.part.last:
                    parts[PartKind(message.part.kind)] = b"".join(pieces)
                    pieces = []
                continue
            if entry is not None:
                added.append(verifier.add(entry, parts))
                entry, parts = None, {}
            if message.WhichOneof("message") == "entry":
                entry = message.entry.entry
                continue
            verifier.accept_head(message.head.head)
            self._accept(message.head, verifier, added)
            verifier, added, newest = self._verifier(), [], message.head.newest
        assert newest, "the newest head is missing"
        return self

    def _verifier(self) -> LedgerVerifier:
        groups = self.projection.group_state
        return LedgerVerifier(
            self.organisation, self.public_key, self.range, groups, self.last_time_ms
        )

    def _accept(
        self, head: pb.LedgerHead, verifier: LedgerVerifier, added: Sequence[VerifiedEntry]
    ) -> None:
        for verified in added:
            self.projection.apply(verified)
            self.entries.append(verified)
            body = verified.entry.body
            if isinstance(body, GroupReconciled) and PartKind.ENVELOPES in verified.parts:
                envelopes = verify_envelopes(verified.grants, verified.parts[PartKind.ENVELOPES])
                for grant, envelope in zip(verified.grants, envelopes, strict=True):
                    key = (body.group, grant.member, grant.key_id)
                    self.envelopes[key] = (body.epoch, envelope)
        self.range, self.last_time_ms = verifier.range, verifier.last_time_ms
        self.head, self.acknowledged_size = head.head, head.acknowledged_size
        self.heads.append(head.head)

    def group(self, group: bytes) -> GroupView:
        return self.projection.groups[group]

    def entries_of(self, group: bytes) -> list[VerifiedEntry]:
        return [e for e in self.entries if getattr(e.entry.body, "group", None) == group]

    def open(self, device: Device, group: bytes) -> bytes:
        """What the device opens, checked against the public key of that epoch."""
        epoch, envelope = self.envelopes[(group, device.member, device.key_id)]
        secret = device.open(envelope, group, epoch)
        public = group_public_key(secret, self.organisation, group, epoch)
        assert public == self.group(group).epochs[epoch]
        return secret

    def granted(self, group: bytes) -> set[bytes]:
        """Members with a grant of the newest epoch."""
        view = self.group(group)
        return {m for (m, _), (_, epoch) in view.grants.items() if epoch == view.state.epoch}

    def read_until_granted(
        self, group: bytes, members: set[bytes], within: float = 20.0
    ) -> "Vendor":
        """Reads on until exactly these members are granted in an open epoch."""

        def granted() -> bool:
            self.read()
            view = self.projection.groups.get(group)
            return view is not None and view.state.is_open and self.granted(group) == members

        wait_for(granted, within, "the grants")
        return self
