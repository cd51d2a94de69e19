"""What is to be done for a tenant's encryption service, and what became of it.

The database is the queue: a group is due while its desired version is ahead of its reconciled one
and its next attempt has come. A claim takes a group's lease and raises its fence; what is written
later compares the fence, so that a late owner's writes are void.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Connection

from directory import due_statements as sql
from directory.groups import lock_groups
from directory.ledger_changes import identifier
from directory.ledger_copy import LedgerState
from directory.tenancy import TenantScope
from groupseal.encoding import ID_LENGTH
from groupseal.ledger import EMPTY_ROSTER_DIGEST, GroupState
from groupseal.merkle import CompactRange

# Most differing members in one round, and with them its memory; more come in the next.
_MOST_DIFFERENCES = 250_000
# Characters of a policy's fault that are kept.
_LONGEST_FAULT = 500


@dataclass(frozen=True, slots=True)
class ConnectedTenant:
    """A tenant that may be worked for now."""

    id: UUID
    organisation: bytes
    signing_public_key: bytes
    identity_document: str
    service_address: str
    ledger: LedgerState
    # Up to where the reasons of memberships follow the service's holds.
    holds_version: int
    failures: int
    is_down: bool
    # The ledger was not read for so long that it is time, whether or not there is work.
    refresh_due: bool
    # Keys, or requests to remove one, were submitted that the service has to decide on now.
    keys_due: bool


@dataclass(frozen=True, slots=True)
class DueGroup:
    """A claimed group: what shall be, told as a difference from what the ledger says."""

    id: UUID
    version: int
    fence: int
    attempts: int
    # None before the group's first entry.
    state: GroupState | None
    added: Sequence[bytes]
    removed: Sequence[bytes]
    # (member, key id) of grants whose envelopes are missing here.
    needed: Sequence[tuple[bytes, bytes]]
    # Name and id at the identity provider where the service has to hear of them.
    name: tuple[str, str] | None
    is_deleted: bool

    @property
    def is_unheard_of(self) -> bool:
        """Neither side has anything to say of it."""
        return self.is_deleted and self.state is None and not (self.added or self.removed)


@dataclass(frozen=True, slots=True)
class Settled:
    """A group that the service has brought where it shall be, up to this ledger position."""

    group: DueGroup
    position: int | None
    # Members who are on the roster and were not granted -> reason code.
    refused: Mapping[bytes, str]


@dataclass(frozen=True, slots=True)
class Postponed:
    """A group that has to be looked at again."""

    group: DueGroup
    after: timedelta
    reason: str | None
    # Counts towards the group's back-off.
    failed: bool = True
    # The service has taken the command, and with it the name.
    told: bool = False


def workable_tenant(scope: TenantScope, refresh: timedelta) -> ConnectedTenant | None:
    """The tenant, unless it is not connected, halted, or its breaker is open."""
    row = scope.one(sql.WORKABLE, refresh=refresh)
    if row is None:
        return None
    past = CompactRange() if row.ledger_range is None else CompactRange.from_bytes(row.ledger_range)
    return ConnectedTenant(
        id=scope.tenant_id,
        organisation=row.organisation_id.bytes,
        signing_public_key=row.signing_public_key,
        identity_document=row.identity_document,
        service_address=row.service_address,
        ledger=LedgerState(past, row.ledger_time_ms, row.ledger_head),
        holds_version=row.holds_version,
        failures=row.service_failures,
        is_down=row.service_down_since is not None,
        refresh_due=row.refresh_due,
        keys_due=row.keys_due,
    )


def has_work(scope: TenantScope, refresh: timedelta) -> bool:
    """Whether anything is due for the tenant now."""
    return bool(scope.execute(sql.HAS_WORK, refresh=refresh).scalar_one())


def tenants_with_work(connection: Connection, refresh: timedelta) -> list[UUID]:
    """Every tenant for which something is due now: groups, keys, or an unread ledger."""
    return list(connection.execute(sql.TENANTS_WITH_WORK, {"refresh": refresh}).scalars())


def claim_groups(
    scope: TenantScope, owner: str, limit: int, lease: timedelta = timedelta(minutes=3)
) -> list[DueGroup]:
    """Claims due groups and reads, in one statement for all, how they differ from the ledger.

    The caller holds the tenant's lease, so a lease of a group that somebody else left behind is
    taken over at once.
    """
    rows = scope.all(sql.CLAIM, owner=owner, limit=limit, lease=lease)
    if not rows:
        return []
    ids = [row.id for row in rows]
    differences = {
        row.group_id: (row.added, row.removed)
        for row in scope.all(sql.DIFFERENCES, ids=ids, most=_MOST_DIFFERENCES)
    }
    needed: dict[UUID, list[tuple[bytes, bytes]]] = {}
    if any(row.needs_envelopes for row in rows):
        for row in scope.all(sql.NEEDED_ENVELOPES, ids=ids):
            needed.setdefault(row.group_id, []).append((row.member_id.bytes, row.key_id))
    groups = []
    for row in rows:
        added, removed = differences.get(row.id, (None, None))
        renamed = row.deleted_at is None and row.display_name != row.named_as
        groups.append(
            DueGroup(
                id=row.id,
                version=row.desired_version,
                fence=row.fence,
                attempts=row.attempts,
                state=None
                if row.last_position is None
                else GroupState(
                    row.last_position,
                    row.epoch,
                    row.epoch_open,
                    row.public_key or b"",
                    row.roster_digest or EMPTY_ROSTER_DIGEST,
                ),
                added=_split(added),
                removed=_split(removed),
                needed=needed.get(row.id, ()),
                name=(row.display_name, row.external_id or "") if renamed else None,
                is_deleted=row.deleted_at is not None,
            )
        )
    return groups


def count_rostered(scope: TenantScope, ids: Sequence[UUID]) -> int:
    """How many members the rosters of these groups have: what a rotation has to seal."""
    return int(scope.execute(sql.COUNT_ROSTERED, ids=list(ids)).scalar_one()) if ids else 0


def settle(scope: TenantScope, settled: Sequence[Settled]) -> set[UUID]:
    """Marks groups as reconciled at the version that was read with their difference.

    Left out of the answer are groups for which that is not so: the ledger copy does not reach the
    position, members still differ without a refusal, or envelopes are missing.
    """
    if not settled:
        return set()
    refused = [(s.group.id, member, why) for s in settled for member, why in s.refused.items()]
    if refused:
        lock_groups(scope, list({group for group, _, _ in refused}))
        scope.execute(
            sql.REFUSE_MEMBERS,
            groups=[group for group, _, _ in refused],
            users=[identifier(member) for _, member, _ in refused],
            reasons=[why for _, _, why in refused],
        )
    groups = [s.group for s in settled]
    return set(
        scope.values(
            sql.SETTLE,
            ids=[group.id for group in groups],
            fences=[group.fence for group in groups],
            versions=[group.version for group in groups],
            positions=[s.position for s in settled],
            names=[None if group.name is None else group.name[0] for group in groups],
        )
    )


def postpone(scope: TenantScope, postponed: Sequence[Postponed]) -> None:
    """Lets go of groups that have to be looked at again, and says when and why."""
    if postponed:
        groups = [p.group for p in postponed]
        scope.execute(
            sql.POSTPONE,
            ids=[group.id for group in groups],
            fences=[group.fence for group in groups],
            versions=[group.version for group in groups],
            afters=[p.after for p in postponed],
            reasons=[p.reason for p in postponed],
            fails=[p.failed for p in postponed],
            names=[
                None if not p.told or p.group.name is None else p.group.name[0] for p in postponed
            ],
        )


def record_failure(scope: TenantScope, reason: str, after: timedelta) -> None:
    """The service failed: nothing is tried again before that; tells the timeline once."""
    scope.execute(sql.RECORD_FAILURE, reason=reason, after=after)


def record_recovery(scope: TenantScope) -> None:
    """The service answers again."""
    scope.execute(sql.RECORD_RECOVERY)


def note_service_state(scope: TenantScope, *, frozen: bool, policy_fault: str) -> None:
    """What the service says of itself. Its text is another's: kept short, and on one line."""
    text = " ".join("".join(c if c.isprintable() else " " for c in policy_fault[:2_000]).split())
    scope.execute(sql.NOTE_SERVICE_STATE, frozen=frozen, policy_fault=text[:_LONGEST_FAULT] or None)


def halt(scope: TenantScope, reason: str) -> None:
    """What the service says cannot be: nothing is done for the tenant until an operator acts."""
    scope.execute(sql.HALT, reason=reason)


def need_not_be_durable(scope: TenantScope) -> None:
    """What this transaction writes may be lost in a crash: it would only be done once more."""
    scope.connection.execute(sql.NEED_NOT_BE_DURABLE)


def _split(ids: bytes | None) -> list[bytes]:
    """Ids one after another, as the database aggregates them."""
    if not ids:
        return []
    return [ids[i : i + ID_LENGTH] for i in range(0, len(ids), ID_LENGTH)]
