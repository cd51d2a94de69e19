"""What one member may see: always grant ∩ wanted ∩ active, checked in the query itself (I5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from directory.membership_state import State, facts_from, state_of
from directory.tenancy import TenantScope, tenant_sql
from groupseal.parts import PartKind

_ORGANISATION = tenant_sql("""
    SELECT organisation_id, signing_public_key, trust_mode, issuer, client_id, subject_claim,
        membership_check
    FROM tenants
    WHERE id = :tenant_id AND state = 'connected'
""")

_LEDGER_HEAD = tenant_sql("""
    SELECT ledger_size, ledger_head FROM tenants WHERE id = :tenant_id
""")

_LEDGER_PAGE = tenant_sql("""
    SELECT entry FROM ledger_entries
    WHERE tenant_id = :tenant_id AND position >= :first AND position < :last
    ORDER BY position
""")

# The facts of each membership that is wanted for the member, or of one.
_GROUPS = tenant_sql("""
    SELECT g.id, g.display_name, m.desired, m.wanted, m.rostered, m.held_reason, m.reason,
        gr.epoch AS grant_epoch, g.epoch, g.epoch_open,
        EXISTS (SELECT FROM member_keys k WHERE k.tenant_id = m.tenant_id
            AND k.member_id = m.user_id AND k.state = 'bound') AS has_bound_key
    FROM memberships m
    JOIN users u ON u.tenant_id = m.tenant_id AND u.id = m.user_id AND u.active
    JOIN groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id
    LEFT JOIN grants gr ON gr.tenant_id = m.tenant_id AND gr.group_id = m.group_id
        AND gr.member_id = m.user_id AND gr.key_id = m.grant_key_id
    WHERE m.tenant_id = :tenant_id AND m.user_id = :member_id AND m.desired
        AND (CAST(:group_id AS uuid) IS NULL OR m.group_id = :group_id)
    ORDER BY g.display_name, g.id
""")

_GRANT = tenant_sql("""
    SELECT gr.epoch, gr.position, gr.batch_index, gr.envelope, gr.envelope_hash
    FROM grants gr
    JOIN memberships m ON m.tenant_id = gr.tenant_id AND m.group_id = gr.group_id
        AND m.user_id = gr.member_id AND m.wanted
    JOIN users u ON u.tenant_id = m.tenant_id AND u.id = m.user_id AND u.active
    JOIN member_keys k ON k.tenant_id = gr.tenant_id AND k.key_id = gr.key_id
        AND k.member_id = gr.member_id AND k.state = 'bound'
    WHERE gr.tenant_id = :tenant_id AND gr.group_id = :group_id AND gr.member_id = :member_id
        AND gr.key_id = :key_id
""")

# Whether the member holds a grant that may be served.
_IS_GRANTED = tenant_sql("""
    SELECT EXISTS (
        SELECT FROM memberships m
        JOIN users u ON u.tenant_id = m.tenant_id AND u.id = m.user_id AND u.active
        WHERE m.tenant_id = :tenant_id AND m.group_id = :group_id AND m.user_id = :member_id
            AND m.wanted AND m.grant_key_id IS NOT NULL
    )
""")

_PART = tenant_sql("""
    SELECT body FROM ledger_parts
    WHERE tenant_id = :tenant_id AND position = :position AND kind = :kind
""")

# The newest entry that names the group, with its part.
_NAME = tenant_sql("""
    SELECT p.position, p.body FROM ledger_entries e
    JOIN ledger_parts p ON p.tenant_id = e.tenant_id AND p.position = e.position AND p.kind = :kind
    WHERE e.tenant_id = :tenant_id AND e.group_id = :group_id
    ORDER BY e.position DESC LIMIT 1
""")

_HISTORY = tenant_sql("""
    SELECT e.epoch, p.body FROM epochs e
    JOIN ledger_parts p ON p.tenant_id = e.tenant_id AND p.position = e.position AND p.kind = :kind
    WHERE e.tenant_id = :tenant_id AND e.group_id = :group_id
    ORDER BY e.epoch DESC
""")


@dataclass(frozen=True, slots=True)
class Organisation:
    """The customer's organisation, as the tenant was connected with it.

    What follows the key is as its ledger last said; None before it was read, or where the mode
    has no such thing.
    """

    id: UUID
    signing_public_key: bytes
    # groupseal.trust.TrustMode and MembershipCheck, their names in lower case.
    trust_mode: str | None
    issuer: str | None
    client_id: str | None
    subject_claim: str | None
    membership_check: str | None


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """Entries from a position on; `head` covers `size` entries."""

    entries: Sequence[bytes]
    size: int
    head: str


@dataclass(frozen=True, slots=True)
class MemberGroup:
    """A group that the member is desired in. The name is the vendor's word."""

    id: UUID
    display_name: str
    state: State
    reason: str | None
    epoch: int


@dataclass(frozen=True, slots=True)
class Grant:
    """The newest grant of one key in one group, and where the ledger has it."""

    epoch: int
    position: int
    batch_index: int
    envelope: bytes
    envelope_hash: bytes


@dataclass(frozen=True, slots=True)
class NamePart:
    """The ledger's name of a group."""

    position: int
    body: bytes


@dataclass(frozen=True, slots=True)
class StoredItem:
    """A shared item as it is stored."""

    id: UUID
    body: bytes
    created_at: datetime


def organisation(scope: TenantScope) -> Organisation | None:
    """None while the tenant is not connected."""
    row = scope.one(_ORGANISATION)
    if row is None:
        return None
    return Organisation(
        row.organisation_id,
        bytes(row.signing_public_key),
        row.trust_mode,
        row.issuer,
        row.client_id,
        row.subject_claim,
        row.membership_check,
    )


def ledger_page(scope: TenantScope, first: int, limit: int) -> LedgerPage:
    """Up to `limit` entries from position `first` on, none beyond the head that is returned."""
    head = scope.one(_LEDGER_HEAD)
    if head is None:
        raise RuntimeError("the tenant of a session must exist")
    last = min(first + limit, head.ledger_size)
    entries = scope.values(_LEDGER_PAGE, first=first, last=last) if first < last else []
    return LedgerPage(entries, head.ledger_size, head.ledger_head)


def groups_of(scope: TenantScope, member_id: UUID) -> list[MemberGroup]:
    """The groups that the member is desired in."""
    rows = scope.all(_GROUPS, member_id=member_id, group_id=None)
    return [_member_group(row) for row in rows]


def group_of(scope: TenantScope, member_id: UUID, group_id: UUID) -> MemberGroup | None:
    """One of them; None if the member is not desired there."""
    row = scope.one(_GROUPS, member_id=member_id, group_id=group_id)
    return None if row is None else _member_group(row)


def grant_of(scope: TenantScope, member_id: UUID, group_id: UUID, key_id: bytes) -> Grant | None:
    """The newest grant to one of the member's bound keys, if it may be served."""
    row = scope.one(_GRANT, member_id=member_id, group_id=group_id, key_id=key_id)
    if row is None:
        return None
    return Grant(row.epoch, row.position, row.batch_index, row.envelope, row.envelope_hash)


def is_granted(scope: TenantScope, member_id: UUID, group_id: UUID) -> bool:
    """Whether the member holds a grant in the group that may be served."""
    return bool(scope.execute(_IS_GRANTED, member_id=member_id, group_id=group_id).scalar_one())


def grants_part(scope: TenantScope, position: int) -> bytes | None:
    """The encoded batch of an entry; None if it was pruned after a newer epoch."""
    found = scope.values(_PART, position=position, kind=int(PartKind.GRANTS))
    return bytes(found[0]) if found else None


def name_part(scope: TenantScope, group_id: UUID) -> NamePart | None:
    """The newest name of a group in the ledger."""
    row = scope.one(_NAME, group_id=group_id, kind=int(PartKind.GROUP_NAME))
    return None if row is None else NamePart(row.position, row.body)


def history_of(scope: TenantScope, group_id: UUID) -> list[tuple[int, bytes]]:
    """Epoch and history link, newest first."""
    rows = scope.all(_HISTORY, group_id=group_id, kind=int(PartKind.HISTORY_LINK))
    return [(row.epoch, row.body) for row in rows]


def _member_group(row: Row[Any]) -> MemberGroup:
    state, reason = state_of(facts_from(row))
    return MemberGroup(row.id, row.display_name, state, reason, row.epoch)
