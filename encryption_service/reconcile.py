"""One group's roster in, one outcome out: the use case behind `ReconcileGroups`.

A command is planned (which may append entries that need no seal), sealed for together with others
by the writer, and finished. What does not fit into one transaction is left as work of the group
(`needs_work`, pending grants, a closed epoch) and taken up by `advance`, after a crash too:

1. `command`: the roster is as commanded, and the old epoch is closed where somebody lost it.
2. `advance`: a closed epoch is followed by the next one, with the first batch of grants.
3. `advance`: what is due is let in or held back (`encryption_service.admission`).
4. `advance`: further batches, until everyone on the roster with a bound key that nothing holds back
   is granted.

A process that dies between any two of these goes on from what is stored.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from secrets import token_bytes

from encryption_service.admission import BY_POLICY, Admission
from encryption_service.group_secrets import (
    SecretVault,
    derive_group_public_key,
    make_group_secret,
    make_history_link,
)
from encryption_service.group_store import Group, GroupStore
from encryption_service.key_store import KeyName, KeyStore
from encryption_service.ledger_store import Clock, LedgerAppender
from encryption_service.rotation import SMALL_GROUP, Decision, Pace, decide, opening_due_ms
from encryption_service.secret_bytes import SecretBytes
from encryption_service.wrap_pool import Sealed, SealJob
from groupseal.entries import EpochClosed, GroupNamed, GroupReconciled
from groupseal.grants import MAX_BATCH, grants_root
from groupseal.ledger import next_roster_digest
from groupseal.parts import NAME_SALT_LENGTH, GroupNamePart, PartKind, Parts, part_digest
from groupseal.reasons import Reason


class Outcome(IntEnum):
    """Numbers of the gRPC contract."""

    DONE = 1
    BASE_MISMATCH = 2
    REFUSED = 3
    DELAYED = 4


@dataclass(frozen=True, slots=True)
class GroupCommand:
    """What a group's roster shall be, as a difference from the one at `base`. Ids are valid."""

    group_id: bytes
    base: int | None
    added: tuple[bytes, ...] = ()
    removed: tuple[bytes, ...] = ()
    needed_envelopes: tuple[KeyName, ...] = ()
    # Display name and id at the identity provider, when they may have changed.
    name: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller is told once it is durable."""

    outcome: Outcome
    position: int | None = None
    refusals: tuple[tuple[bytes, Reason], ...] = ()
    reason: Reason | None = None
    retry_after_ms: int = 0


@dataclass(slots=True)
class Step:
    """What one transaction does to one group, and what the writer still has to do for it."""

    group: Group
    # Given at once, without effect on the group.
    answer: Answer | None = None
    refusals: tuple[tuple[bytes, Reason], ...] = ()
    seal: SealJob | None = None
    # What the group's next step will have sealed, if nothing changes until then.
    seal_ahead: SealJob | None = None
    finish: Callable[[Sealed], None] | None = None
    # How long the opening of the next epoch waits, where it does.
    delay_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of this service."""

    max_roster: int
    longest_opening_delay_ms: int


@dataclass(frozen=True, slots=True)
class _Change:
    """A difference from the recorded roster, each list in ascending order."""

    joined: list[bytes]
    left: list[bytes]
    refused: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Opening:
    """Parts of the entry that opens an epoch."""

    sealed_secret: bytes
    history_link: bytes | None

    def parts(self) -> Parts:
        parts: Parts = {PartKind.SEALED_SECRET: self.sealed_secret}
        if self.history_link is not None:
            parts[PartKind.HISTORY_LINK] = self.history_link
        return parts


class Reconciler:
    """Works inside the writer's transactions."""

    def __init__(
        self,
        *,
        ledger: LedgerAppender,
        groups: GroupStore,
        keys: KeyStore,
        vault: SecretVault,
        admission: Admission,
        pace: Pace,
        limits: Limits,
        clock: Clock,
        on_step: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._groups = groups
        self._keys = keys
        self._vault = vault
        self._admission = admission
        self._pace = pace
        self._limits = limits
        self._clock = clock
        self._on_step = on_step

    def command(self, command: GroupCommand) -> Step:
        """First step of a command."""
        group = self._groups.load(command.group_id) or self._groups.new(command.group_id)
        change = self._difference(group, command)
        if command.base != group.last_position:
            return self._with_another_base(group, command, change)
        named = self._name(group, command)
        refusals = tuple((member, Reason.ROSTER_TOO_LARGE) for member in change.refused)
        if group.is_closed:
            # A closed epoch records no change: this one replaces what was to come before.
            self._groups.replace_roster_changes(group, change.joined, change.left)
            self._save(group, needs_work=True)
            return Step(group, refusals=refusals)
        step = self._change_open_group(group, change, needed=command.needed_envelopes, named=named)
        step.refusals = refusals
        return step

    def remove(self, group_id: bytes, members: Collection[bytes]) -> Step | None:
        """Takes members off a roster without being told to by the vendor; None for no group."""
        group = self._groups.load(group_id)
        if group is None:
            return None
        if group.is_closed:
            self._groups.add_left_at_source(group, members)
            self._save(group, needs_work=True)
            return Step(group)
        left = sorted(self._groups.on_roster(group, sorted(members)))
        return self._change_open_group(group, _Change([], left))

    def name_from_source(self, group_id: bytes, source_id: str, name: str) -> Step | None:
        """Pins the group at the membership source, or takes over its new name there.

        None for a group that is not there, that is pinned to another one, or whose group there
        another one stands for already: its additions wait until that one is empty.
        """
        group = self._groups.load(group_id)
        if group is None or group.source_group_id not in {None, source_id}:
            return None
        if self._groups.is_source_taken(source_id, group.number):
            group.source_reason = Reason.GROUP_AMBIGUOUS
            self._groups.save(group)
            self._admission.source_taken(group_id)
            return None
        changed = (group.source_group_id, group.source_name) != (source_id, name)
        group.source_group_id, group.source_name, group.source_reason = source_id, name, None
        self._groups.add_name(group, name)
        if changed:
            self._append_name(group, name, source_id)
        self._groups.save(group)
        return Step(group)

    def advance(self, group_id: bytes) -> Step | None:
        """Next step of a group that has work left; None for a group that is not there."""
        group = self._groups.load(group_id)
        if group is None:
            return None
        if group.is_closed:
            return self._open_when_due(group)
        if group.must_rotate:
            return self._rotate(group)
        due = self._admission.holds.due(group.number, MAX_BATCH)
        if due:
            self._groups.add_pending(group, self._admission.admit(group, due))
            # What was looked at and let in without a hold of its own is due no longer.
            self._admission.holds.release_due(group.number, due)
        batch = self._groups.pending(group, MAX_BATCH)
        if batch:
            return self._grant(group, batch, pending=True)
        self._save(group, needs_work=self._has_more(group))
        return Step(group)

    def _has_more(self, group: Group) -> bool:
        return (
            group.must_rotate
            or self._groups.has_pending(group)
            or self._admission.holds.has_due(group.number)
        )

    def _rotate(self, group: Group) -> Step:
        """A key that holds the epoch's secret was unbound: it goes at once, the next one follows.

        One member may be in many groups: the next epochs open at a bounded rate.
        """
        remaining = self._groups.count_keys(group, SMALL_GROUP + 1)
        small = decide(loses_a_grant=True, remaining_keys=remaining) is Decision.ROTATE
        if small and self._pace.take(group.group_id, self._clock()) == 0:
            return self._open(group, [], [])
        return self._close(group, [], [])

    def _difference(self, group: Group, command: GroupCommand) -> _Change:
        present = self._groups.on_roster(group, (*command.added, *command.removed))
        left = sorted(member for member in command.removed if member in present)
        joined = sorted(member for member in command.added if member not in present)
        room = max(0, self._limits.max_roster - group.roster_size + len(left))
        return _Change(joined[:room], left, joined[room:])

    def _with_another_base(self, group: Group, command: GroupCommand, change: _Change) -> Step:
        """The base is outdated: that is well if what is commanded holds already."""
        holds = (
            group.epoch > 0
            and not command.needed_envelopes
            and not change.refused
            and self._has_name(group, command)
        )
        if holds and group.is_closed:
            joining, leaving = self._groups.roster_changes(group)
            holds = set(change.joined) <= set(joining) and set(change.left) <= set(leaving)
            holds = holds and set(joining).isdisjoint(command.removed)
            holds = holds and set(leaving).isdisjoint(command.added)
        elif holds:
            holds = not change.joined and not change.left
        if holds:
            return Step(group)
        return Step(group, answer=Answer(Outcome.BASE_MISMATCH, group.last_position))

    def _change_open_group(
        self,
        group: Group,
        change: _Change,
        *,
        needed: Sequence[KeyName] = (),
        named: bool = False,
    ) -> Step:
        joined, left = change.joined, change.left
        loses_a_grant = group.must_rotate or self._groups.any_granted(group, left)
        self._admission.forget(group, left)
        self._groups.change_roster(group, joined, left)
        if group.epoch == 0:
            return self._open(group, joined, left)
        remaining = self._groups.count_keys(group, SMALL_GROUP + 1) if loses_a_grant else 0
        match decide(loses_a_grant=loses_a_grant, remaining_keys=remaining):
            case Decision.ROTATE:
                return self._open(group, joined, left)
            case Decision.CLOSE:
                return self._close(group, joined, left)
        due = self._keys.names_of(joined, group.number, group.roster_size) if joined else []
        due = self._admission.admit(group, due)
        due += self._groups.granted(group, needed)
        if not joined and not left and not due:
            if named:
                self._groups.save(group)
            return Step(group)
        names, pending = self._first_batch(group, sorted(set(due)))
        return self._grant(group, names, joined=joined, left=left, pending=pending)

    def _first_batch(self, group: Group, due: list[KeyName]) -> tuple[list[KeyName], bool]:
        """What to grant now, and whether it is taken from what was pending."""
        if not group.needs_work:
            self._groups.add_pending(group, due[MAX_BATCH:])
            return due[:MAX_BATCH], False
        self._groups.add_pending(group, due)
        return self._groups.pending(group, MAX_BATCH), True

    def _close(self, group: Group, joined: list[bytes], left: list[bytes]) -> Step:
        self._advance_digest(group, joined, left)
        body = EpochClosed(
            group.group_id,
            group.last_position,
            group.epoch,
            tuple(joined),
            tuple(left),
            group.roster_digest,
        )
        group.last_position = self._ledger.append(body)
        group.is_open = False
        group.opening_started_ms = None
        self._save(group, needs_work=True)
        self._on_step("epoch closed")
        return Step(group)

    def _open_when_due(self, group: Group) -> Step:
        joined, left = self._groups.roster_changes(group)
        self._admission.forget(group, left)
        due_ms = opening_due_ms(
            took_ms=group.opening_took_ms,
            ended_ms=group.opening_ended_ms,
            remaining_keys=self._groups.count_keys(group, SMALL_GROUP + 1),
            longest_delay_ms=self._limits.longest_opening_delay_ms,
        )
        # A clock that was set back delays nothing for longer than the rule allows.
        wait_ms = min(due_ms - self._clock(), self._limits.longest_opening_delay_ms)
        if group.must_rotate and wait_ms <= 0:
            wait_ms = self._pace.take(group.group_id, self._clock())
        if wait_ms > 0:
            return Step(group, delay_ms=wait_ms)
        self._groups.clear_roster_changes(group)
        self._groups.change_roster(group, joined, left)
        return self._open(group, joined, left)

    def _open(self, group: Group, joined: list[bytes], left: list[bytes]) -> Step:
        """Opens the next epoch for the roster as it is stored."""
        group.opening_started_ms = self._clock()
        organisation, epoch = self._ledger.organisation, group.epoch + 1
        secret = make_group_secret()
        link = None
        if group.epoch:
            previous = self._vault.unseal(group.sealed_secret, group.group_id, group.epoch)
            link = make_history_link(secret, previous, organisation, group.group_id, epoch)
        group.epoch, group.is_open, group.must_rotate = epoch, True, False
        group.public_key = derive_group_public_key(secret, organisation, group.group_id, epoch)
        group.sealed_secret = self._vault.seal(secret, group.group_id, epoch)
        self._groups.replace_pending_by_roster(group)
        self._hold_back(group)
        names = self._groups.pending(group, MAX_BATCH)
        opening = _Opening(group.sealed_secret, link)
        return self._grant(
            group, names, joined=joined, left=left, pending=True, opening=opening, secret=secret
        )

    def _hold_back(self, group: Group) -> None:
        """Takes out of what is due whatever may not be granted in the epoch that opens."""
        if self._admission.is_open_to_all(group):
            return
        due = self._keys.names_of_roster(group.number)
        admitted = self._admission.admit(group, due, self._groups.granted_once(group))
        if len(admitted) < len(due):
            self._groups.remove_pending(group, set(due).difference(admitted))

    def _grant(
        self,
        group: Group,
        names: Sequence[KeyName],
        *,
        joined: Sequence[bytes] = (),
        left: Sequence[bytes] = (),
        pending: bool = False,
        opening: _Opening | None = None,
        secret: SecretBytes | None = None,
    ) -> Step:
        """One batch of grants of the group's epoch, and the entry about it."""
        self._advance_digest(group, joined, left)
        seal = None
        if names:
            secret = secret or self._vault.unseal(group.sealed_secret, group.group_id, group.epoch)
            seal = self._seal_job(group, secret, names)

        def finish(sealed: Sealed) -> None:
            self._append_batch(
                group, sealed, joined=joined, left=left, opening=opening, count=len(names)
            )
            if pending and names:
                self._groups.grant_pending(group, names)
            else:
                self._groups.add_grants(group, names)
            self._save(group, needs_work=self._has_more(group))
            self._on_step("epoch opened" if opening else "batch granted")

        return Step(group, seal=seal, seal_ahead=self._next_batch(group, seal), finish=finish)

    def _seal_job(self, group: Group, secret: SecretBytes, names: Sequence[KeyName]) -> SealJob:
        number, size = group.number, group.roster_size
        return SealJob(
            secret,
            self._ledger.organisation,
            group.group_id,
            group.epoch,
            names,
            lambda: self._keys.sealing_keys(names, number, size),
        )

    def _next_batch(self, group: Group, job: SealJob | None) -> SealJob | None:
        """What will be sealed next if nothing changes, so that the children need not wait."""
        if job is None or len(job.names) < MAX_BATCH:
            return None
        names = self._groups.pending_after(group, job.names[-1], MAX_BATCH)
        return self._seal_job(group, job.secret, names) if names else None

    def _append_batch(
        self,
        group: Group,
        sealed: Sealed,
        *,
        joined: Sequence[bytes],
        left: Sequence[bytes],
        opening: _Opening | None,
        count: int,
    ) -> None:
        parts: Parts = {} if opening is None else opening.parts()
        digests = {kind: part_digest(kind, part) for kind, part in parts.items()}
        if count:
            parts |= {PartKind.GRANTS: sealed.grants, PartKind.ENVELOPES: sealed.envelopes}
        body = GroupReconciled(
            group=group.group_id,
            base=group.last_position,
            epoch=group.epoch,
            opens=opening is not None,
            group_public_key=group.public_key,
            joined=tuple(joined),
            left=tuple(left),
            roster_digest=group.roster_digest,
            grants_root=grants_root(sealed.grants),
            grants_count=count,
            sealed_secret_digest=digests.get(PartKind.SEALED_SECRET),
            history_link_digest=digests.get(PartKind.HISTORY_LINK),
        )
        group.last_position = self._ledger.append(body, parts)

    def _advance_digest(self, group: Group, joined: Sequence[bytes], left: Sequence[bytes]) -> None:
        if joined or left:
            group.roster_digest = next_roster_digest(group.roster_digest, joined, left)

    def _has_name(self, group: Group, command: GroupCommand) -> bool:
        stored = (group.display_name, group.identity_provider_group_id)
        return command.name is None or command.name == stored

    def _name(self, group: Group, command: GroupCommand) -> bool:
        """Takes the vendor's name of the group over where it is another one than before.

        The ledger calls a group what the membership source calls it, where there is one.
        """
        if command.name is None or self._has_name(group, command):
            return False
        had_no_name = not self._groups.names(group)
        group.display_name, group.identity_provider_group_id = command.name
        self._groups.add_name(group, group.display_name)
        # The policy takes a group without a name for what is worst; further names only restrict.
        if had_no_name and self._admission.holds.look_again(BY_POLICY, group.group_id):
            group.needs_work = True
        if self._admission.names_from_source:
            self._admission.look_up(group)
            if self._admission.enforces_membership or group.source_name is not None:
                return True
        self._append_name(group, *command.name)
        return True

    def _append_name(self, group: Group, name: str, identity_provider_group_id: str) -> None:
        salt = token_bytes(NAME_SALT_LENGTH)
        part = GroupNamePart(salt, name, identity_provider_group_id).to_bytes()
        digest = part_digest(PartKind.GROUP_NAME, part)
        body = GroupNamed(group.group_id, group.last_position, digest)
        group.last_position = self._ledger.append(body, {PartKind.GROUP_NAME: part})

    def _save(self, group: Group, *, needs_work: bool) -> None:
        group.needs_work = needs_work
        if not needs_work and group.opening_started_ms is not None:
            group.opening_ended_ms = self._clock()
            group.opening_took_ms = max(0, group.opening_ended_ms - group.opening_started_ms)
            group.opening_started_ms = None
        self._groups.save(group)
