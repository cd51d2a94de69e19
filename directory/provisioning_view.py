"""What of the desired state is in effect: per group and per user, counted or one by one.

The notion of a membership's state is that of `directory.membership_state`, as everywhere. Every
function asks a constant number of statements, for any number of groups or users. Counting reads
the memberships of a group once, and grants only while some are of an older epoch than the group.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from directory.membership_state import facts_from
from directory.standing import BY_ITSELF, Standing, standing_of
from directory.tenancy import TenantScope, tenant_sql
from groupseal.reasons import Reason

SHOWN_UNRESOLVED = 100
_AT_A_TIME = 1_000

# Groups, their tenant's state, and the values that name nobody yet.
_GROUPS = tenant_sql("""
    SELECT g.id, g.epoch, g.epoch_open, g.reason, g.desired_version > g.reconciled_version AS dirty,
        g.dirty_since, g.next_attempt_at, t.halted_reason, t.state AS tenant_state,
        t.service_reason, coalesce(u.number, 0) AS unresolved, u.since AS unresolved_since,
        u.shown
    FROM groups g
    JOIN tenants t ON t.id = g.tenant_id
    LEFT JOIN LATERAL (
        SELECT count(*) AS number, min(since) AS since,
            (array_agg(value ORDER BY since, value))[1:CAST(:shown AS integer)] AS shown
        FROM unresolved_members
        WHERE tenant_id = :tenant_id AND group_id = g.id
    ) AS u ON true
    WHERE g.tenant_id = :tenant_id AND g.id = ANY(:ids)
""")

# The epoch of a membership's grant, looked up only in a group with grants of older epochs, and
# whether its member has a bound key, looked up only without a grant. Scalar subqueries, because
# the database would read every key of the tenant to answer EXISTS for many.
_GRANT_EPOCH = """
    CASE
        WHEN m.grant_key_id IS NULL THEN NULL
        WHEN g.has_older THEN (
            SELECT r.epoch FROM grants r
            WHERE r.tenant_id = :tenant_id AND r.group_id = m.group_id
                AND r.member_id = m.user_id AND r.key_id = m.grant_key_id)
        ELSE g.epoch
    END AS grant_epoch,
    CASE WHEN m.wanted AND m.grant_key_id IS NULL THEN coalesce((
        SELECT true FROM member_keys k
        WHERE k.tenant_id = :tenant_id AND k.member_id = m.user_id AND k.state = 'bound'
        LIMIT 1), false)
    ELSE true END AS has_bound_key
"""
_NEXT_ATTEMPT = """
    CASE WHEN desired_version > reconciled_version THEN next_attempt_at END AS next_attempt_at
"""
_LIVE_GROUP = "FROM groups WHERE tenant_id = :tenant_id AND deleted_at IS NULL"
_MEMBERSHIP = """
    SELECT group_id, user_id, desired, wanted, rostered, held_reason, reason, desired_at,
        grant_key_id
    FROM memberships WHERE tenant_id = :tenant_id AND (desired OR rostered)
"""

# Each piece of SQL is a constant of this module.
_ROWS = (
    "SELECT m.*, m.desired_at AS since, g.epoch, g.epoch_open, g.next_attempt_at, ",
    _GRANT_EPOCH,
)
# Materialised, so that a group's grants are looked through once and not for each of its members;
# OFFSET 0 keeps the plan to the groups' own part of the index.
_ROWS_OF_GROUPS = (
    "WITH g AS MATERIALIZED (SELECT id, epoch, epoch_open,",
    _NEXT_ATTEMPT,
    """
    , epoch_open AND EXISTS (
        SELECT FROM grants r
        WHERE r.tenant_id = :tenant_id AND r.group_id = groups.id AND r.epoch < groups.epoch
    ) AS has_older
    """,
    _LIVE_GROUP,
    "AND id = ANY(:ids))",
    *_ROWS,
    "FROM (",
    _MEMBERSHIP,
    "AND group_id = ANY(:ids) OFFSET 0) AS m JOIN g ON g.id = m.group_id",
)

# The facts of memberships, alike ones counted.
_COUNTS_OF_GROUPS = tenant_sql(
    " ".join(
        (
            """
            SELECT group_id, desired, wanted, rostered, held_reason, reason, grant_epoch, epoch,
                epoch_open, has_bound_key, count(*) AS number, min(since) AS since
            FROM (
            """,
            *_ROWS_OF_GROUPS,
            """
            ) AS facts
            GROUP BY group_id, desired, wanted, rostered, held_reason, reason, grant_epoch, epoch,
                epoch_open, has_bound_key
            """,
        )
    )
)

# One row each.
_OF_GROUPS = tenant_sql(" ".join((*_ROWS_OF_GROUPS, "ORDER BY m.group_id, m.user_id")))
# A user's own grant is looked up in each group: looking for older ones would cost the whole group.
_OF_USERS = tenant_sql(
    " ".join(
        (
            *_ROWS,
            "FROM (",
            _MEMBERSHIP,
            "AND user_id = ANY(:ids) OFFSET 0) AS m CROSS JOIN LATERAL (",
            "SELECT id, epoch, epoch_open, true AS has_older,",
            _NEXT_ATTEMPT,
            _LIVE_GROUP,
            "AND id = m.group_id OFFSET 0) AS g ORDER BY m.user_id, m.group_id",
        )
    )
)

_DEVICES = tenant_sql("""
    SELECT member_id, count(*) AS number FROM member_keys
    WHERE tenant_id = :tenant_id AND member_id = ANY(:ids) AND state = 'bound'
    GROUP BY member_id
""")


class Progress(StrEnum):
    """A group or user in one word."""

    # Everything that is desired is in effect.
    IN_SYNC = "in_sync"
    # Work is under way, or will be tried again by itself.
    PENDING = "pending"
    # What is left needs a person: a device to enrol, a user to push, a refusal to resolve.
    WAITING = "waiting"
    # The tenant is stopped until an operator acts.
    HALTED = "halted"


@dataclass(slots=True)
class Tally:
    """Memberships by standing and, of those that wait or are refused, by reason."""

    standings: dict[Standing, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    # Since when the oldest of those that are not as they should be was pushed.
    since: datetime | None = None

    @property
    def desired(self) -> int:
        """All that the identity provider wants."""
        return sum(n for standing, n in self.standings.items() if standing is not Standing.LEAVING)

    @property
    def is_moving(self) -> bool:
        """Something will change by itself."""
        return bool(self.standings.get(Standing.LEAVING) or BY_ITSELF & self.reasons.keys())

    @property
    def needs_somebody(self) -> bool:
        """Something will not."""
        return bool(self.standings.get(Standing.HELD) or self.reasons.keys() - BY_ITSELF)

    def add(self, standing: Standing, reason: str | None, number: int, since: Any) -> None:
        """Counts memberships in."""
        self.standings[standing] = self.standings.get(standing, 0) + number
        if reason is not None and standing in {Standing.WAITING, Standing.REFUSED}:
            self.reasons[reason] = self.reasons.get(reason, 0) + number
        if standing not in {Standing.COMMITTED, Standing.INACTIVE}:
            self.since = _earlier(self.since, since)


@dataclass(frozen=True, slots=True)
class GroupProvisioning:
    """How much of a group is in effect, and why the rest is not."""

    progress: Progress
    tally: Tally
    since: datetime | None
    # Why the group as a whole is not tried at the moment.
    reason: str | None
    epoch: int
    epoch_open: bool
    unresolved: int
    # Of the unresolved values, those that have been there longest.
    shown_unresolved: Sequence[str]


@dataclass(frozen=True, slots=True)
class UserProvisioning:
    """How many of a user's memberships are in effect, and with how many devices."""

    progress: Progress
    tally: Tally
    devices: int


@dataclass(frozen=True, slots=True)
class MembershipProvisioning:
    """One membership."""

    group_id: UUID
    user_id: UUID
    standing: Standing
    reason: str | None
    since: datetime | None
    next_attempt: datetime | None


def provisioning_of_groups(
    scope: TenantScope, ids: Sequence[UUID]
) -> dict[UUID, GroupProvisioning]:
    """Of each of these groups."""
    tallies = {id_: Tally() for id_ in ids}
    for row in scope.all(_COUNTS_OF_GROUPS, ids=list(ids)):
        _count(tallies[row.group_id], row, row.number)
    rows = scope.all(_GROUPS, ids=list(ids), shown=SHOWN_UNRESOLVED)
    return {row.id: _of_group(row, tallies[row.id]) for row in rows}


def provisioning_of_users(scope: TenantScope, ids: Sequence[UUID]) -> dict[UUID, UserProvisioning]:
    """Of each of these users."""
    tallies = {id_: Tally() for id_ in ids}
    for row in scope.all(_OF_USERS, ids=list(ids)):
        _count(tallies[row.user_id], row, 1)
    devices = {row.member_id: row.number for row in scope.all(_DEVICES, ids=list(ids))}
    return {
        id_: UserProvisioning(_progress(tally), tally, devices.get(id_, 0))
        for id_, tally in tallies.items()
    }


def memberships_of_groups(
    scope: TenantScope, ids: Sequence[UUID]
) -> Iterator[MembershipProvisioning]:
    """Member by member, group by group; rows come as they are asked for."""
    result = scope.connection.execute(
        _OF_GROUPS,
        {"tenant_id": scope.tenant_id, "ids": list(ids)},
        execution_options={"yield_per": _AT_A_TIME},
    )
    with result:
        yield from _each(result)


def memberships_of_users(scope: TenantScope, ids: Sequence[UUID]) -> list[MembershipProvisioning]:
    """Group by group, of each of these users."""
    return list(_each(scope.all(_OF_USERS, ids=list(ids))))


def _each(rows: Iterable[Row[Any]]) -> Iterator[MembershipProvisioning]:
    for row in rows:
        found = standing_of(facts_from(row))
        if found is not None:
            standing, reason = found
            is_due = standing not in {Standing.COMMITTED, Standing.INACTIVE, Standing.HELD}
            yield MembershipProvisioning(
                row.group_id,
                row.user_id,
                standing,
                reason,
                row.since,
                row.next_attempt_at if is_due else None,
            )


def _count(tally: Tally, row: Row[Any], number: int) -> None:
    found = standing_of(facts_from(row))
    if found is not None:
        tally.add(*found, number, row.since)


def _of_group(row: Row[Any], tally: Tally) -> GroupProvisioning:
    progress = _progress(tally, is_dirty=row.dirty, awaits=row.unresolved > 0)
    reason = row.reason
    if row.halted_reason is not None:
        progress, reason = Progress.HALTED, row.halted_reason
    elif progress is Progress.PENDING:
        not_connected = row.tenant_state != "connected"
        reason = Reason.NOT_CONNECTED if not_connected else reason or row.service_reason
    since = _earlier(tally.since, row.unresolved_since)
    return GroupProvisioning(
        progress,
        tally,
        _earlier(since, row.dirty_since) if row.dirty else since,
        reason,
        row.epoch,
        row.epoch_open,
        row.unresolved,
        row.shown or (),
    )


def _progress(tally: Tally, *, is_dirty: bool = False, awaits: bool = False) -> Progress:
    if is_dirty or tally.is_moving:
        return Progress.PENDING
    return Progress.WAITING if awaits or tally.needs_somebody else Progress.IN_SYNC


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    known = [time for time in (one, other) if time is not None]
    return min(known, default=None)
