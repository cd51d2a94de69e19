"""What is pending, since when and why: of tenants, groups and memberships."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from directory.membership_state import State, facts_from, state_of
from directory.tenancy import TenantScope, tenant_sql
from groupseal.identifiers import fingerprint

# Every tenant, or the one that is asked for.
_TENANTS = text("""
    SELECT id, name, state, service_address, organisation_id, signing_public_key, trust_mode,
        issuer, membership_check, membership_source, frozen, policy_fault,
        ledger_size, ledger_read_at, restored_from, restored_until, halted_reason,
        service_failures, service_down_since, next_attempt_at, service_reason
    FROM tenants WHERE CAST(:id AS uuid) IS NULL OR id = :id
    ORDER BY name
""")

# Memberships that differ in nothing that decides their state, counted.
_MEMBERSHIPS = tenant_sql("""
    SELECT m.group_id, m.desired, m.wanted, m.rostered, m.held_reason, m.reason,
        gr.epoch AS grant_epoch, g.epoch, g.epoch_open, k.member_id IS NOT NULL AS has_bound_key,
        count(*) AS number
    FROM memberships m
    JOIN groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id
    LEFT JOIN grants gr ON gr.tenant_id = m.tenant_id AND gr.group_id = m.group_id
        AND gr.member_id = m.user_id AND gr.key_id = m.grant_key_id
    LEFT JOIN (
        SELECT DISTINCT member_id FROM member_keys
        WHERE tenant_id = :tenant_id AND state = 'bound'
    ) k ON k.member_id = m.user_id
    WHERE m.tenant_id = :tenant_id
    GROUP BY m.group_id, m.desired, m.wanted, m.rostered, m.held_reason, m.reason,
        gr.epoch, g.epoch, g.epoch_open, k.member_id IS NOT NULL
""")

_GROUPS = tenant_sql("""
    SELECT id, display_name, deleted_at IS NOT NULL AS deleted,
        desired_version > reconciled_version AS dirty, dirty_since, next_attempt_at, attempts,
        reason, epoch, epoch_open, coalesce(u.number, 0) AS unresolved, u.since AS unresolved_since
    FROM groups g
    LEFT JOIN (
        SELECT group_id, count(*) AS number, min(since) AS since FROM unresolved_members
        WHERE tenant_id = :tenant_id GROUP BY group_id
    ) AS u ON u.group_id = g.id
    WHERE tenant_id = :tenant_id
    ORDER BY display_name, id
""")

_KEYS = tenant_sql("""
    SELECT state, reason, count(*) AS number FROM member_keys WHERE tenant_id = :tenant_id
    GROUP BY state, reason ORDER BY state, reason
""")


@dataclass(slots=True)
class GroupStatus:
    """One group: its mark, and its memberships by state and by reason."""

    group_id: UUID
    display_name: str
    deleted: bool
    dirty: bool
    dirty_since: datetime | None
    next_attempt_at: datetime | None
    attempts: int
    reason: str | None
    epoch: int
    epoch_open: bool
    # Pushed members that name no user yet, and since when the oldest of them is awaited.
    unknown_members: int
    unknown_since: datetime | None
    memberships: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Nothing is pending, and nobody waits."""
        return (
            not self.dirty
            and not self.unknown_members
            and not self.memberships.keys() - {State.COMMITTED, State.GONE}
        )


@dataclass(slots=True)
class TenantStatus:
    """One tenant: its service, its keys and its groups."""

    tenant_id: UUID
    name: str
    state: str
    service_address: str | None
    organisation_id: UUID | None
    fingerprint: str | None
    # As the ledger last said; None before it was read.
    trust_mode: str | None
    issuer: str | None
    membership_check: str | None
    membership_source: str | None
    # As the service last said of itself.
    frozen: bool
    policy_fault: str | None
    ledger_size: int
    ledger_read_at: datetime | None
    restored_from: int | None
    restored_until: int | None
    halted_reason: str | None
    service_failures: int
    service_down_since: datetime | None
    service_next_attempt_at: datetime | None
    service_reason: str | None
    keys: dict[str, int] = field(default_factory=dict)
    # By reason.
    refused_keys: dict[str, int] = field(default_factory=dict)
    waiting_keys: dict[str, int] = field(default_factory=dict)
    memberships: dict[str, int] = field(default_factory=dict)
    # Of all groups.
    unknown_members: int = 0
    dirty_groups: int = 0
    pending_since: datetime | None = None
    groups: list[GroupStatus] = field(default_factory=list)

    @property
    def vendor_trusted(self) -> bool:
        """The vendor's word decides whose key a key is, or which mode it is is not known yet."""
        return self.trust_mode in {None, "pin"}

    @property
    def pending(self) -> bool:
        """Something is still to be done here, by us or by a person, or the service is down."""
        return bool(
            self.dirty_groups
            or self.service_down_since
            or self.halted_reason
            or self.keys.get("submitted")
            or any(not group.settled for group in self.groups)
        )


def read_status(connection: Connection, tenant_id: UUID | None = None) -> list[TenantStatus]:
    """The status of all tenants or of one, every group included."""
    rows = connection.execute(_TENANTS, {"id": tenant_id}).all()
    return [_tenant_status(TenantScope(connection, row.id), row) for row in rows]


def as_json(status: TenantStatus, *, every_group: bool) -> dict[str, Any]:
    """What `--json` prints; without `every_group` only groups where something is pending."""
    groups = [group for group in status.groups if every_group or not group.settled]
    shown = asdict(status) | {"pending": status.pending, "vendor_trusted": status.vendor_trusted}
    shown["groups"] = [asdict(group) | {"settled": group.settled} for group in groups]
    return {name: _plain(value) for name, value in shown.items()}


def _tenant_status(scope: TenantScope, row: Row[Any]) -> TenantStatus:
    status = TenantStatus(
        tenant_id=row.id,
        name=row.name,
        state=row.state,
        service_address=row.service_address,
        organisation_id=row.organisation_id,
        fingerprint=fingerprint(row.signing_public_key) if row.signing_public_key else None,
        trust_mode=row.trust_mode,
        issuer=row.issuer,
        membership_check=row.membership_check,
        membership_source=row.membership_source,
        frozen=row.frozen,
        policy_fault=row.policy_fault,
        ledger_size=row.ledger_size,
        ledger_read_at=row.ledger_read_at,
        restored_from=row.restored_from,
        restored_until=row.restored_until,
        halted_reason=row.halted_reason,
        service_failures=row.service_failures,
        service_down_since=row.service_down_since,
        service_next_attempt_at=row.next_attempt_at if row.service_failures else None,
        service_reason=row.service_reason,
    )
    for key in scope.all(_KEYS):
        status.keys[key.state] = status.keys.get(key.state, 0) + key.number
        if key.state == "refused":
            status.refused_keys[key.reason or "unknown"] = key.number
        elif key.state == "submitted" and key.reason is not None:
            status.waiting_keys[key.reason] = key.number
    status.groups = _groups(scope)
    status.unknown_members = sum(group.unknown_members for group in status.groups)
    status.dirty_groups = sum(group.dirty for group in status.groups)
    since = [g.dirty_since for g in status.groups if g.dirty and g.dirty_since is not None]
    status.pending_since = min(since, default=None)
    total: Counter[str] = Counter()
    for group in status.groups:
        total.update(group.memberships)
    status.memberships = dict(total)
    return status


def _groups(scope: TenantScope) -> list[GroupStatus]:
    groups = {
        row.id: GroupStatus(
            group_id=row.id,
            display_name=row.display_name,
            deleted=row.deleted,
            dirty=row.dirty,
            dirty_since=row.dirty_since if row.dirty else None,
            next_attempt_at=row.next_attempt_at if row.dirty else None,
            attempts=row.attempts,
            reason=row.reason,
            epoch=row.epoch,
            epoch_open=row.epoch_open,
            unknown_members=row.unresolved,
            unknown_since=row.unresolved_since,
        )
        for row in scope.all(_GROUPS)
    }
    for row in scope.all(_MEMBERSHIPS):
        state, reason = state_of(facts_from(row))
        if state is State.GONE:
            continue
        group = groups[row.group_id]
        group.memberships[state] = group.memberships.get(state, 0) + row.number
        if state is State.WAITING and reason is not None:
            group.waiting[reason] = group.waiting.get(reason, 0) + row.number
    return list(groups.values())


def _plain(value: object) -> object:
    """As JSON holds it."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value
