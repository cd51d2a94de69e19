"""What a whole ledger says, in memory: for clients and for checking stored projections.

Fed with verified entries only, in order.
"""

from dataclasses import dataclass, field

from groupseal.bindings import BindingRequest
from groupseal.entries import (
    EpochClosed,
    GroupNamed,
    GroupReconciled,
    KeyBound,
    KeyRefused,
    KeyUnbound,
    OrganisationCreated,
    PolicyChanged,
    TrustChanged,
)
from groupseal.errors import LedgerRuleError, SignatureError
from groupseal.grants import Grant
from groupseal.ledger import GroupState, VerifiedEntry
from groupseal.suites import Suite, suite_from
from groupseal.trust import VENDOR_TRUSTED, TrustMode, TrustSettings


@dataclass(frozen=True, slots=True)
class BoundKey:
    """A member's device key as the ledger binds it."""

    member: bytes
    key_id: bytes
    suite: Suite
    hpke_public_key: bytes
    signing_public_key: bytes
    position: int
    trust_mode: TrustMode
    time_ms: int
    endorsing_key_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of grants, by the position of its entry."""

    epoch: int
    root: bytes
    count: int


@dataclass(slots=True)
class GroupView:
    """Everything that the ledger's entries say of one group."""

    state: GroupState
    name_digest: bytes | None = None
    # Public key of each epoch.
    epochs: dict[int, bytes] = field(default_factory=dict)
    batches: dict[int, Batch] = field(default_factory=dict)
    history_links: dict[int, bytes] = field(default_factory=dict)
    roster: set[bytes] = field(default_factory=set)
    # Members that left and did not join again -> the last epoch that they could be part of.
    left: dict[bytes, int] = field(default_factory=dict)
    # (member, key id) -> (envelope hash, epoch); filled only where the parts were given.
    grants: dict[tuple[bytes, bytes], tuple[bytes, int]] = field(default_factory=dict)
    # A key that holds the epoch's secret was unbound.
    must_rotate: bool = False


@dataclass(slots=True)
class Projection:
    """The organisation as its ledger describes it."""

    created: OrganisationCreated | None = None
    trust: TrustSettings = VENDOR_TRUSTED
    policy_digest: bytes | None = None
    groups: dict[bytes, GroupView] = field(default_factory=dict)
    keys: dict[bytes, BoundKey] = field(default_factory=dict)
    # Keys that were bound once and no longer are.
    former_keys: dict[bytes, BoundKey] = field(default_factory=dict)
    refused: dict[bytes, KeyRefused] = field(default_factory=dict)

    def group_state(self, group: bytes) -> GroupState | None:
        view = self.groups.get(group)
        return view.state if view else None

    def keys_of(self, member: bytes) -> list[BoundKey]:
        return [key for key in self.keys.values() if key.member == member]

    def apply(self, verified: VerifiedEntry) -> None:
        """Takes the next entry in. Raises LedgerRuleError where it contradicts those before."""
        body, position = verified.entry.body, verified.entry.position
        match body:
            case OrganisationCreated():
                self.created = body
            case TrustChanged():
                self.trust = body.settings
            case PolicyChanged():
                self.policy_digest = body.policy_digest
            case KeyBound():
                self._bind(verified.entry.organisation, body, position, verified.entry.time_ms)
            case KeyRefused():
                self.refused[body.key_id] = body
            case KeyUnbound():
                self._unbind(body, position)
            case GroupNamed() | EpochClosed() | GroupReconciled():
                self._apply_to_group(body, verified)

    def _bind(self, organisation: bytes, body: KeyBound, position: int, time_ms: int) -> None:
        if body.key_id in self.keys or body.key_id in self.former_keys:
            raise LedgerRuleError(f"entry {position} binds a key that is or was bound already")
        if body.endorsing_key_id is not None:
            self._check_endorsement(organisation, body, position)
        self.keys[body.key_id] = BoundKey(
            body.member,
            body.key_id,
            suite_from(body.suite),
            body.hpke_public_key,
            body.signing_public_key,
            position,
            body.trust_mode,
            time_ms,
            body.endorsing_key_id,
        )

    def _unbind(self, body: KeyUnbound, position: int) -> None:
        """Every epoch whose secret the key holds has to go before anything else is granted."""
        former = self.keys.pop(body.key_id, None)
        if former is None or former.member != body.member:
            raise LedgerRuleError(f"entry {position} unbinds a key that is not bound")
        self.former_keys[body.key_id] = former
        for view in self.groups.values():
            lost = view.grants.pop((body.member, body.key_id), None)
            if lost is not None and lost[1] == view.state.epoch:
                view.must_rotate = True

    def _check_endorsement(self, organisation: bytes, body: KeyBound, position: int) -> None:
        endorser = self.keys.get(body.endorsing_key_id or b"")
        if endorser is None or endorser.member != body.member:
            raise LedgerRuleError(f"entry {position} names an endorsing key that is not bound")
        request = BindingRequest(
            organisation,
            body.member,
            suite_from(body.suite),
            body.hpke_public_key,
            body.signing_public_key,
            body.replaces,
        )
        try:
            request.verify_endorsement(endorser.signing_public_key, body.endorsement or b"")
        except SignatureError as error:
            raise LedgerRuleError(f"entry {position} bears no valid endorsement") from error

    def _apply_to_group(
        self, body: GroupNamed | EpochClosed | GroupReconciled, verified: VerifiedEntry
    ) -> None:
        state, position = verified.group_state, verified.entry.position
        if state is None:
            raise ValueError("an entry about a group was verified without a state")
        view = self.groups.setdefault(body.group, GroupView(state))
        epoch_before, view.state = view.state.epoch, state
        if isinstance(body, GroupNamed):
            view.name_digest = body.name_digest
            return
        if view.must_rotate and isinstance(body, GroupReconciled) and not body.opens:
            raise LedgerRuleError(f"entry {position} keeps an epoch that an unbound key holds")
        view.must_rotate = False
        self._change_roster(view, body, position, epoch_before)
        if isinstance(body, GroupReconciled):
            self._add_batch(view, body, position, verified.grants)

    @staticmethod
    def _change_roster(
        view: GroupView, body: EpochClosed | GroupReconciled, position: int, epoch_before: int
    ) -> None:
        if not view.roster.isdisjoint(body.joined) or not view.roster.issuperset(body.left):
            raise LedgerRuleError(f"entry {position} does not fit the roster before it")
        view.roster.update(body.joined)
        view.roster.difference_update(body.left)
        for member in body.joined:
            view.left.pop(member, None)
        leavers = set(body.left)
        lost = [key for key in view.grants if key[0] in leavers] if leavers else []
        keeps_epoch = isinstance(body, GroupReconciled) and not body.opens
        if keeps_epoch and any(view.grants[key][1] == epoch_before for key in lost):
            raise LedgerRuleError(f"entry {position} keeps an epoch that a leaver holds")
        for key in lost:
            del view.grants[key]
        view.left.update(dict.fromkeys(body.left, epoch_before))

    def _add_batch(
        self, view: GroupView, body: GroupReconciled, position: int, grants: tuple[Grant, ...]
    ) -> None:
        if body.opens:
            view.epochs[body.epoch] = body.group_public_key
            if body.history_link_digest is not None:
                view.history_links[body.epoch] = body.history_link_digest
        if body.grants_count:
            view.batches[position] = Batch(body.epoch, body.grants_root, body.grants_count)
        for grant in grants:
            key = self.keys.get(grant.key_id)
            if key is None or key.member != grant.member or grant.member not in view.roster:
                raise LedgerRuleError(
                    f"entry {position} grants to someone who may not hold the key"
                )
            view.grants[(grant.member, grant.key_id)] = (grant.envelope_hash, body.epoch)
