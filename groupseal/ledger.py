"""Verification of what comes next in an organisation's ledger: the trusted core of every reader.

Bytes go in; verified, frozen objects or a `ProtocolError` come out. No input or output, no clock.
The rules, in the order in which they are applied to each entry:

1. The bytes are canonical, of this organisation, at exactly the next position, and not earlier in
   time than the entry before.
2. Position 0, and no other, creates the organisation, with the pinned signing key.
3. Every part is the one that the entry commits to.
4. An entry about a group names the group's entry before it as its base, continues its roster
   digest, and keeps the epoch rules: epochs count from 1 without a gap; an epoch opens with its
   own public key; nothing is granted in an epoch that is closed.
5. A bound key has the id that its bytes give and a valid proof of possession; an approval has a
   valid signature of the key it names.

Entries are believed only when `accept_head` has accepted a signed head over exactly them.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from groupseal.approvals import ApprovalStatement
from groupseal.bindings import BindingRequest
from groupseal.checkpoint import Head, open_head
from groupseal.encoding import HASH_LENGTH, Writer
from groupseal.entries import (
    Approval,
    Body,
    Entry,
    EpochClosed,
    GroupBody,
    GroupNamed,
    GroupReconciled,
    KeyBound,
    KeyKind,
    KeyRotated,
    OrganisationCreated,
    Unknown,
)
from groupseal.errors import (
    LedgerForkError,
    LedgerOrderError,
    LedgerRuleError,
    LedgerShrunkError,
    UpgradeNeededError,
    WrongOrganisationError,
)
from groupseal.grants import Grant
from groupseal.labels import Label
from groupseal.merkle import CompactRange, leaf_hash
from groupseal.parts import Parts, verify_parts
from groupseal.suites import Suite, suite_from

EMPTY_ROSTER_DIGEST = bytes(HASH_LENGTH)


def next_roster_digest(previous: bytes, joined: Sequence[bytes], left: Sequence[bytes]) -> bytes:
    """Digest of a roster after a change, from the one before it.

    SHA-256 over label, previous digest and both sorted lists: two parties with the same digest
    agree on every change the roster ever went through. Costs O(change).
    """
    writer = Writer(Label.ROSTER).hash(previous).identifiers(joined).identifiers(left)
    return hashlib.sha256(writer.bytes()).digest()


@dataclass(frozen=True, slots=True)
class GroupState:
    """What the ledger says of a group after its last entry. Epoch 0: none was opened yet."""

    last_position: int
    epoch: int = 0
    is_open: bool = False
    public_key: bytes = b""
    roster_digest: bytes = EMPTY_ROSTER_DIGEST


@dataclass(frozen=True, slots=True)
class VerifiedEntry:
    """An entry that may follow, its bytes and parts, and the state that it leads to."""

    entry: Entry
    data: bytes
    parts: Parts
    grants: tuple[Grant, ...]
    # Root over all entries up to and including this one.
    root: bytes
    group_state: GroupState | None


GroupLookup = Callable[[bytes], GroupState | None]


class LedgerVerifier:
    """Verifies entries one after another, then the signed head over them.

    `groups` gives the state of a group as of the last accepted head, or None for a group that has
    no entry yet.
    """

    def __init__(
        self,
        organisation: bytes,
        public_key: bytes,
        past: CompactRange,
        groups: GroupLookup,
        last_time_ms: int = 0,
    ) -> None:
        self._organisation = organisation
        self._public_key = public_key
        self._range = past
        self._groups = groups
        self._changed: dict[bytes, GroupState] = {}
        self._last_time_ms = last_time_ms

    @property
    def range(self) -> CompactRange:
        """Everything added so far."""
        return self._range

    @property
    def last_time_ms(self) -> int:
        return self._last_time_ms

    def add(self, data: bytes, parts: Parts | None) -> VerifiedEntry:
        """Verifies the next entry. `parts` is None for a reader that is given none.

        Raises a ProtocolError; the verifier must not be used further after one.
        """
        entry = Entry.from_bytes(data)
        self._check_place(entry)
        grants = () if parts is None else tuple(verify_parts(entry.body, parts))
        state = self._check_body(entry)
        self._range = self._range.append(leaf_hash(data))
        self._last_time_ms = entry.time_ms
        kept = {} if parts is None or isinstance(entry.body, Unknown) else parts
        return VerifiedEntry(entry, data, kept, grants, self._range.root, state)

    def accept_head(self, note: str) -> Head:
        """Verifies a signed head over exactly what was added so far.

        Raises LedgerShrunkError for a head of fewer entries, LedgerOrderError for one of more,
        LedgerForkError for another root, or what `open_head` raises.
        """
        head = open_head(note, self._organisation, self._public_key)
        if head.size < self._range.size:
            raise LedgerShrunkError(
                f"the head covers {head.size} entries, but {self._range.size} were seen"
            )
        if head.size > self._range.size:
            raise LedgerOrderError(
                f"the head covers {head.size} entries, but only {self._range.size} were given"
            )
        if head.root != self._range.root:
            raise LedgerForkError(f"two different histories of {head.size} entries are signed")
        return head

    def _check_place(self, entry: Entry) -> None:
        if entry.organisation != self._organisation:
            raise WrongOrganisationError(f"entry {entry.position} is another organisation's")
        if entry.position != self._range.size:
            raise LedgerOrderError(
                f"entry {self._range.size} must come next, not entry {entry.position}"
            )
        if entry.time_ms < self._last_time_ms:
            raise LedgerOrderError(f"entry {entry.position} is older than the one before it")

    def _check_body(self, entry: Entry) -> GroupState | None:
        body = entry.body
        if (entry.position == 0) != isinstance(body, OrganisationCreated):
            raise LedgerRuleError("the first entry, and no other, creates the organisation")
        match body:
            case OrganisationCreated():
                if body.signing_public_key != self._public_key:
                    raise WrongOrganisationError("the ledger begins with another signing key")
            case KeyBound():
                self._check_binding(body)
            case Approval():
                statement = ApprovalStatement(
                    self._organisation, body.group, body.member, body.key_id, body.expires_ms
                )
                statement.verify(body.approver_key, body.signature)
            case KeyRotated(kind=KeyKind.SIGNING):
                raise UpgradeNeededError("this version does not follow a change of signing key")
            case GroupNamed() | EpochClosed() | GroupReconciled():
                return self._check_group(entry.position, body)
        return None

    def _check_binding(self, body: KeyBound) -> None:
        request = BindingRequest(
            self._organisation,
            body.member,
            suite_from(body.suite),
            body.hpke_public_key,
            body.signing_public_key,
            body.replaces,
        )
        if request.key_id != body.key_id:
            raise LedgerRuleError("a bound key has another id than its bytes give")
        request.verify_possession(body.possession_proof)

    def _check_group(self, position: int, body: GroupBody) -> GroupState:
        before = self._changed.get(body.group) or self._groups(body.group)
        after = next_group_state(before, position, body)
        self._changed[body.group] = after
        return after


def next_group_state(before: GroupState | None, position: int, body: GroupBody) -> GroupState:
    """The state that an entry leads to. Raises LedgerRuleError if it may not follow `before`."""
    last = None if before is None else before.last_position
    if body.base != last:
        raise LedgerRuleError(f"entry {position} builds on {body.base}, but the last was {last}")
    state = replace(before or GroupState(position), last_position=position)
    match body:
        case GroupNamed():
            return state
        case EpochClosed():
            _check_roster(state, position, body)
            if body.epoch != state.epoch or not state.is_open:
                raise LedgerRuleError(f"entry {position} closes an epoch that is not open")
            return replace(state, is_open=False, roster_digest=body.roster_digest)
        case GroupReconciled():
            _check_roster(state, position, body)
            _check_epoch(state, position, body)
            return replace(
                state,
                epoch=body.epoch,
                is_open=True,
                public_key=body.group_public_key,
                roster_digest=body.roster_digest,
            )


def _check_roster(state: GroupState, position: int, body: EpochClosed | GroupReconciled) -> None:
    if not set(body.joined).isdisjoint(body.left):
        raise LedgerRuleError(f"entry {position}: a member cannot join and leave at once")
    digest = state.roster_digest
    if body.joined or body.left:
        digest = next_roster_digest(digest, body.joined, body.left)
    if body.roster_digest != digest:
        raise LedgerRuleError(f"entry {position} does not continue the roster before it")


def _check_epoch(state: GroupState, position: int, body: GroupReconciled) -> None:
    if body.opens:
        if body.epoch != state.epoch + 1:
            raise LedgerRuleError(
                f"entry {position} opens epoch {body.epoch} after epoch {state.epoch}"
            )
        if len(body.group_public_key) != Suite.XWING.public_key_length:
            raise LedgerRuleError(f"entry {position} opens an epoch with no X-Wing public key")
        if body.group_public_key == state.public_key:
            raise LedgerRuleError(f"entry {position} opens an epoch with the key of the last one")
        if body.sealed_secret_digest is None:
            raise LedgerRuleError(f"entry {position} opens an epoch without its sealed secret")
        if (body.history_link_digest is None) != (body.epoch == 1):
            raise LedgerRuleError(f"entry {position}: every epoch but the first links to the last")
        return
    if body.epoch != state.epoch or not state.is_open:
        raise LedgerRuleError(f"entry {position} grants in epoch {body.epoch}, which is not open")
    if body.group_public_key != state.public_key:
        raise LedgerRuleError(f"entry {position} has another public key than its epoch")
    if body.sealed_secret_digest is not None or body.history_link_digest is not None:
        raise LedgerRuleError(f"entry {position} does not open an epoch and has no secret of one")


def is_group_entry(body: Body | Unknown) -> bool:
    """Whether an entry has a group and a base."""
    return isinstance(body, GroupNamed | EpochClosed | GroupReconciled)
