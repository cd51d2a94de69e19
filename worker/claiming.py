"""What one round works on: claimed in one transaction, which ends before anybody is called."""

from dataclasses import dataclass, field
from uuid import UUID

from directory import due_work
from directory.due_keys import RequestedRemoval, SubmittedKey, claim_keys, due_removals
from directory.due_work import ConnectedTenant, DueGroup
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from worker.wiring import Wiring

_KEYS_PER_ROUND = 500


@dataclass(slots=True)
class Claim:
    """A tenant and either keys to offer, or groups to command, or just a ledger to read."""

    tenant: ConnectedTenant
    keys: list[SubmittedKey] = field(default_factory=list)
    removals: list[RequestedRemoval] = field(default_factory=list)
    groups: list[DueGroup] = field(default_factory=list)
    # How many envelopes the groups may take: bounds how long the service is waited for.
    seals: int = 0

    @property
    def has_keys(self) -> bool:
        """There are keys to offer or to remove."""
        return bool(self.keys or self.removals)

    @property
    def is_empty(self) -> bool:
        """There is no reason to call the service."""
        return not (self.has_keys or self.groups or self.tenant.refresh_due)


def claim(wiring: Wiring, tenant_id: UUID, *, keys_first: bool) -> Claim | None:
    """Claims due keys or else groups; None if the tenant may not be worked for now.

    Keys and groups never come in one round: binding a key makes the service act on its groups,
    and their bases would be old.
    """
    with UnitOfWork(wiring.engine) as work:
        scope = TenantScope(work.connection, tenant_id)
        tenant = due_work.workable_tenant(scope, wiring.refresh)
        if tenant is None:
            return None
        claimed = Claim(tenant)
        if tenant.keys_due and keys_first:
            _claim_keys(scope, claimed)
        if not claimed.has_keys:
            _claim_groups(wiring, scope, claimed)
        if tenant.keys_due and not keys_first and not claimed.groups:
            _claim_keys(scope, claimed)
        due_work.need_not_be_durable(scope)
        work.commit()
    return claimed


def _claim_keys(scope: TenantScope, claimed: Claim) -> None:
    claimed.keys = claim_keys(scope, _KEYS_PER_ROUND)
    claimed.removals = due_removals(scope, _KEYS_PER_ROUND)


def _claim_groups(wiring: Wiring, scope: TenantScope, claimed: Claim) -> None:
    limit = wiring.settings.worker_groups_per_round
    claimed.groups = due_work.claim_groups(scope, wiring.owner, limit)
    rotating = [g.id for g in claimed.groups if g.state and (g.removed or not g.state.is_open)]
    claimed.seals = due_work.count_rostered(scope, rotating) + sum(
        len(group.added) + len(group.needed) for group in claimed.groups
    )
