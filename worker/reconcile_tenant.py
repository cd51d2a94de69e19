"""The use case: tell a tenant's service what shall be, and commit what its ledger then says.

A job names a tenant. For a slice of time it claims what is due, commands, catches up with the
ledger and marks what is reconciled; if there is more, the tenant goes to the tail of the queue.
Nothing here needs repair after a crash: what was not committed is due again.
"""

import time
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.exc import OperationalError

from directory import due_work
from directory.due_keys import decide_keys, decide_removals
from directory.due_work import DueGroup, Postponed
from directory.ledger_copy import LedgerMovedOnError
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from directory.wake_up import begin, wake
from groupseal.errors import LedgerShrunkError, ProtocolError
from groupseal.reasons import Reason
from worker.back_off import delay_after
from worker.catch_up import CatchUp
from worker.claiming import Claim, claim
from worker.commands import (
    GroupOutcomes,
    group_commands,
    group_outcomes,
    later,
)
from worker.errors import AuthorityError, ServiceError
from worker.holds import HoldsFollower
from worker.key_commands import key_messages, key_outcomes
from worker.service_client import ServiceConnection
from worker.tenant_lease import TenantLease
from worker.wiring import Wiring

_log = structlog.get_logger(__name__)


def reconcile_tenant(wiring: Wiring, tenant_id: UUID) -> None:
    """Works for one tenant until nothing is due, or its slice of time is over."""
    # First, so that whoever commits something from here on makes a new job.
    begin(wiring.redis, tenant_id)
    until = time.monotonic() + wiring.settings.worker_slice_seconds
    while True:
        with TenantLease(wiring.engine, tenant_id) as lease:
            if not lease.is_held:
                # Its holder looks again after letting go.
                return
            _Slice(wiring, tenant_id, until).run()
        if not _has_work(wiring, tenant_id):
            return
        if time.monotonic() >= until:
            wake(wiring.redis, tenant_id)
            return


def _has_work(wiring: Wiring, tenant_id: UUID) -> bool:
    with UnitOfWork(wiring.engine) as work:
        return due_work.has_work(TenantScope(work.connection, tenant_id), wiring.refresh)


class _Slice:
    """One tenant's turn, with the tenant's lease held."""

    def __init__(self, wiring: Wiring, tenant_id: UUID, until: float) -> None:
        self._wiring = wiring
        self._tenant_id = tenant_id
        self._until = until
        # Group id -> how often its base was not its last entry.
        self._mismatches: dict[bytes, int] = {}
        self._keys_are_next = True

    def run(self) -> None:
        """Rounds, until there is no reason for another one or the time is over."""
        while True:
            claimed = claim(self._wiring, self._tenant_id, keys_first=self._keys_are_next)
            if claimed is None or claimed.is_empty:
                return
            self._wiring.on_step("claimed")
            # Many new keys must not keep groups waiting, nor the other way round.
            self._keys_are_next = not claimed.has_keys
            if not self._round(claimed) or time.monotonic() >= self._until:
                return

    def _round(self, claimed: Claim) -> bool:
        """Returns whether another round is worth while. Every failure ends in the database."""
        tenant = claimed.tenant
        try:
            connection = self._wiring.services.connection(tenant)
            again = self._work(claimed, connection)
        except ServiceError as error:
            self._failed(claimed, error.reason, text=str(error))
            return False
        except AuthorityError as error:
            self._failed(claimed, Reason.SERVICE_REFUSED, text=str(error))
            return False
        except LedgerShrunkError:
            self._failed(claimed, Reason.LEDGER_BEHIND)
            return False
        except LedgerMovedOnError:
            self._let_go(claimed.groups)
            return True
        except ProtocolError as error:
            self._halt(claimed, error)
            return False
        except OperationalError:
            # Our own database is away, or chose us in a deadlock: no word about the service.
            raise
        except Exception:
            # A fault of ours: behind the breaker as well, so that it cannot spin.
            self._failed(claimed, Reason.INTERNAL)
            raise
        if tenant.is_down:
            with UnitOfWork(self._wiring.engine) as work:
                due_work.record_recovery(TenantScope(work.connection, tenant.id))
                work.commit()
            _log.info("service_up", tenant_id=str(tenant.id))
        return again

    def _work(self, claimed: Claim, connection: ServiceConnection) -> bool:
        if claimed.has_keys:
            self._follow(claimed, connection, self._bind(claimed, connection))
            return True
        if not claimed.groups:
            self._note_service_state(claimed, connection)
            self._follow(claimed, connection, self._catch_up(claimed, connection))
            return False
        outcomes = self._command(claimed, connection)
        read = self._catch_up(claimed, connection)
        self._finish(outcomes)
        # After the refusals of the outcomes, which are older than the head.
        self._follow(claimed, connection, read)
        self._wiring.on_step("finished")
        is_full = len(claimed.groups) >= self._wiring.settings.worker_groups_per_round
        return outcomes.has_mismatch or is_full

    def _bind(self, claimed: Claim, connection: ServiceConnection) -> CatchUp:
        keys, removals = claimed.keys, claimed.removals
        self._wiring.on_step("keys_sent")
        answers = connection.bind_member_keys(
            claimed.tenant.ledger.head, list(key_messages(keys, removals))
        )
        self._wiring.on_step("keys_answered")
        outcomes = key_outcomes(keys, removals, answers)
        read = self._catch_up(claimed, connection)
        with UnitOfWork(self._wiring.engine) as work:
            scope = TenantScope(work.connection, claimed.tenant.id)
            decide_keys(scope, outcomes.keys)
            decide_removals(scope, outcomes.removals)
            work.commit()
        return read

    def _follow(self, claimed: Claim, connection: ServiceConnection, read: CatchUp) -> None:
        """Why members are not granted, as far as the newest head says that it has changed."""
        before = 0 if read.unbound_keys else claimed.tenant.holds_version
        follower = HoldsFollower(self._wiring.engine, self._tenant_id)
        follower.follow(connection, before, read.holds_version)

    def _note_service_state(self, claimed: Claim, connection: ServiceConnection) -> None:
        """What the service says of itself, while there is nothing else to do."""
        said = connection.get_organisation()
        with UnitOfWork(self._wiring.engine) as work:
            scope = TenantScope(work.connection, claimed.tenant.id)
            due_work.note_service_state(scope, frozen=said.frozen, policy_fault=said.policy_fault)
            work.commit()

    def _command(self, claimed: Claim, connection: ServiceConnection) -> GroupOutcomes:
        groups = [group for group in claimed.groups if not group.is_unheard_of]
        unheard = [due_work.Settled(g, None, {}) for g in claimed.groups if g.is_unheard_of]
        self._wiring.on_step("commands_sent")
        answers = (
            connection.reconcile_groups(
                claimed.tenant.ledger.head,
                (command for group in groups for command in group_commands(group)),
                claimed.seals,
            )
            if groups
            else []
        )
        self._wiring.on_step("outcomes_received")
        outcomes = group_outcomes(groups, answers, self._mismatches)
        outcomes.settled += unheard
        return outcomes

    def _catch_up(self, claimed: Claim, connection: ServiceConnection) -> CatchUp:
        """Returns what has read on, and knows how far the holds are."""
        known = {group.id.bytes: group.state for group in claimed.groups if group.state}
        wiring = self._wiring
        reader = CatchUp(wiring.engine, claimed.tenant, wiring.on_step, known)
        reader.run(connection)
        return reader

    def _finish(self, outcomes: GroupOutcomes) -> None:
        with UnitOfWork(self._wiring.engine) as work:
            scope = TenantScope(work.connection, self._tenant_id)
            due_work.need_not_be_durable(scope)
            done = due_work.settle(scope, outcomes.settled)
            rest = [s.group for s in outcomes.settled if s.group.id not in done]
            postponed = outcomes.postponed + [later(group, _still_open(group)) for group in rest]
            due_work.postpone(scope, postponed)
            work.commit()
        for one in postponed:
            _log.info(
                "group_postponed",
                tenant_id=str(self._tenant_id),
                group_id=str(one.group.id),
                reason=one.reason,
            )

    def _failed(self, claimed: Claim, reason: Reason, *, text: str = "") -> None:
        """The service failed: the breaker opens, or stays open for longer."""
        tenant = claimed.tenant
        self._wiring.services.drop(tenant.id)
        after = delay_after(tenant.failures + 1)
        with UnitOfWork(self._wiring.engine) as work:
            scope = TenantScope(work.connection, tenant.id)
            due_work.postpone(scope, _waiting(claimed.groups, reason))
            due_work.record_failure(scope, reason, after)
            work.commit()
        _log.warning(
            "service_failed",
            tenant_id=str(tenant.id),
            reason=str(reason),
            failures=tenant.failures + 1,
            next_attempt_seconds=round(after.total_seconds(), 1),
            detail=text,
        )

    def _halt(self, claimed: Claim, error: ProtocolError) -> None:
        """What was read cannot be, and none of it was applied: stop for this tenant."""
        tenant = claimed.tenant
        self._wiring.services.drop(tenant.id)
        with UnitOfWork(self._wiring.engine) as work:
            scope = TenantScope(work.connection, tenant.id)
            due_work.postpone(scope, _waiting(claimed.groups, error.reason))
            due_work.halt(scope, error.reason)
            work.commit()
        _log.error(
            "tenant_halted", tenant_id=str(tenant.id), reason=str(error.reason), detail=str(error)
        )

    def _let_go(self, groups: list[DueGroup]) -> None:
        with UnitOfWork(self._wiring.engine) as work:
            due_work.postpone(TenantScope(work.connection, self._tenant_id), _waiting(groups, None))
            work.commit()


def _waiting(groups: list[DueGroup], reason: Reason | None) -> list[Postponed]:
    """Groups that wait for the service, not for themselves."""
    return [Postponed(group, timedelta(0), reason, failed=False) for group in groups]


def _still_open(group: DueGroup) -> Reason:
    return Reason.ENVELOPE_MISSING if group.needed else Reason.QUEUED
