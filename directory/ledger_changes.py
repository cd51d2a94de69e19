"""Pure: what a chunk of verified ledger entries leads to, row by row. The last word wins."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from groupseal.entries import (
    EpochClosed,
    GroupNamed,
    GroupReconciled,
    KeyBound,
    KeyRefused,
    KeyUnbound,
    OrganisationCreated,
    TrustChanged,
)
from groupseal.grants import verify_envelopes
from groupseal.ledger import GroupState, VerifiedEntry
from groupseal.parts import PartKind
from groupseal.trust import TrustSettings

Pair = tuple[UUID, UUID]


@dataclass(frozen=True, slots=True)
class GrantRow:
    """The newest grant of one member's key in one group; no envelope where it was not given."""

    key_id: bytes
    epoch: int
    envelope: bytes | None
    envelope_hash: bytes
    position: int
    batch_index: int


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the timeline that an entry itself tells."""

    kind: str
    group_id: UUID | None = None
    user_id: UUID | None = None
    reason: str | None = None
    epoch: int | None = None


@dataclass(slots=True)
class ChunkChanges:
    """Everything that has to be written for one chunk, envelopes verified."""

    entries: list[tuple[int, bytes, bytes, UUID | None]] = field(default_factory=list)
    parts: list[tuple[int, int, bytes]] = field(default_factory=list)
    groups: dict[UUID, GroupState] = field(default_factory=dict)
    epochs: list[tuple[UUID, int, bytes, int]] = field(default_factory=list)
    # (group, member) -> on the roster at the end of the chunk.
    rostered: dict[Pair, bool] = field(default_factory=dict)
    # (group, member) -> position of the entry by which the member last left.
    left: dict[Pair, int] = field(default_factory=dict)
    # (group, member) -> position of the entry by which the member last joined.
    joined: dict[Pair, int] = field(default_factory=dict)
    grants: dict[Pair, dict[bytes, GrantRow]] = field(default_factory=dict)
    keys: dict[bytes, tuple[int, KeyBound | KeyRefused | KeyUnbound]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    # How the service decides at the end of the chunk; None where the chunk does not say.
    trust: TrustSettings | None = None

    @property
    def unbinds_keys(self) -> bool:
        """Holds are to be listed anew after it, from version 0 on."""
        return any(isinstance(body, KeyUnbound) for _, body in self.keys.values())

    def add(self, verified: VerifiedEntry) -> None:
        """Takes the next entry in.

        Raises PartMismatchError or MalformedError where envelopes are not those of the grants.
        """
        body, position = verified.entry.body, verified.entry.position
        group_id: UUID | None = None
        match body:
            case GroupNamed() | EpochClosed() | GroupReconciled():
                group_id = identifier(body.group)
                if verified.group_state is None:
                    raise ValueError("an entry about a group was verified without a state")
                self.groups[group_id] = verified.group_state
                if not isinstance(body, GroupNamed):
                    self._change_roster(group_id, position, body.joined, body.left)
                if isinstance(body, EpochClosed):
                    self.events.append(Event("epoch_closed", group_id, epoch=body.epoch))
                elif isinstance(body, GroupReconciled):
                    self._reconcile(group_id, body, verified)
            case KeyBound() | KeyRefused() | KeyUnbound():
                self._change_key(position, body)
            case OrganisationCreated():
                # Only its mode is in the first entry; the other settings follow it.
                self.trust = TrustSettings(body.trust_mode)
            case TrustChanged():
                self.trust = body.settings
            case _:
                pass
        self.entries.append((position, verified.data, verified.root, group_id))
        self.parts += [
            (position, int(kind), part)
            for kind, part in verified.parts.items()
            if kind is not PartKind.ENVELOPES
        ]

    def _change_roster(
        self, group: UUID, position: int, joined: Sequence[bytes], left: Sequence[bytes]
    ) -> None:
        for member in joined:
            pair = (group, identifier(member))
            self.rostered[pair] = True
            self.joined[pair] = position
        for member in left:
            pair = (group, identifier(member))
            self.rostered[pair] = False
            self.left[pair] = position
            self.grants.pop(pair, None)

    def _reconcile(self, group: UUID, body: GroupReconciled, verified: VerifiedEntry) -> None:
        position = verified.entry.position
        if body.opens:
            self.epochs.append((group, body.epoch, body.group_public_key, position))
            self.events.append(Event("epoch_opened", group, epoch=body.epoch))
        envelopes: Sequence[bytes | None] = [None] * len(verified.grants)
        if PartKind.ENVELOPES in verified.parts:
            envelopes = verify_envelopes(verified.grants, verified.parts[PartKind.ENVELOPES])
        for index, (grant, envelope) in enumerate(zip(verified.grants, envelopes, strict=True)):
            of_member = self.grants.setdefault((group, identifier(grant.member)), {})
            of_member[grant.key_id] = GrantRow(
                grant.key_id, body.epoch, envelope, grant.envelope_hash, position, index
            )

    def _change_key(self, position: int, body: KeyBound | KeyRefused | KeyUnbound) -> None:
        before = self.keys.get(body.key_id)
        # A refused offer of a key says nothing about the key where it is bound.
        if before is None or isinstance(before[1], KeyRefused) or not isinstance(body, KeyRefused):
            self.keys[body.key_id] = (position, body)
        if isinstance(body, KeyUnbound):
            for of_member in self.grants.values():
                of_member.pop(body.key_id, None)
            member = identifier(body.member)
            self.events.append(Event("key_unbound", user_id=member, reason=body.reason))
            return
        member = identifier(body.member)
        if isinstance(body, KeyRefused):
            self.events.append(Event("key_refused", user_id=member, reason=body.reason))
        else:
            self.events.append(Event("key_bound", user_id=member))


def identifier(value: bytes) -> UUID:
    """The UUID of 16 bytes."""
    return UUID(bytes=value)
