"""Everything that can happen to a tenant, as rules that Hypothesis interleaves as it likes.

A push never runs a job by itself: a job that nobody runs is a job that was lost.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.convergence.convergence import check_converged, check_served
from tests.convergence.failures import (
    SERVICE_STEPS,
    WORKER_STEPS,
    Died,
    LosesAnswer,
    dies_at,
    fails_from,
    once_at,
)
from tests.convergence.members import Member
from tests.convergence.parts import ledger_size
from tests.support.world import World
from worker.reconcile_tenant import reconcile_tenant
from worker.wiring import Wiring

MOST_USERS, MOST_GROUPS, MOST_DEVICES = 6, 3, 3
# Users and groups by number, counted round.
_user = st.integers(0, MOST_USERS - 1)
_some = st.sets(_user, min_size=1, max_size=3)
_few = st.sets(_user, max_size=2)
_any = st.sets(_user, max_size=MOST_USERS)
_group = st.integers(0, MOST_GROUPS - 1)
_CALLS = ("reconcile_groups", "bind_member_keys", "read_ledger", "list_holds")
# A late worker that holds the copy's lock would only be waited for.
LATE_STEPS = ("claimed", "commands_sent", "outcomes_received", "entries_verified", "applied")
_late = st.sampled_from(LATE_STEPS)
_step = st.sampled_from([step for step in WORKER_STEPS if step != "applying"])
# The lease is a session's advisory lock: without its connection, the worker has lost it unnoticed.
_CUT_LEASES = """
    SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_locks
    WHERE locktype = 'advisory' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_FORGET_GRANTS = """
    UPDATE memberships SET grant_key_id = NULL WHERE tenant_id = :tenant AND group_id = :group
"""
_LOSE_ENVELOPES = """
    WITH lost AS (
        DELETE FROM grants WHERE tenant_id = :tenant AND group_id = :group
        RETURNING tenant_id, group_id, member_id, key_id, epoch)
    INSERT INTO missing_envelopes (tenant_id, group_id, member_id, key_id, epoch)
    SELECT * FROM lost ON CONFLICT (tenant_id, group_id, member_id, key_id) DO NOTHING
"""
_BUMP = """
    UPDATE groups SET desired_version = desired_version + 1, next_attempt_at = now()
    WHERE tenant_id = :tenant AND id = :group
"""


@dataclass
class PushedGroup:
    """A group as the identity provider has it."""

    id: UUID
    name: str
    members: set[UUID] = field(default_factory=set)


@dataclass
class Desired:
    """What was pushed and acknowledged, and who submitted a key: the model."""

    members: dict[UUID, Member] = field(default_factory=dict)
    groups: dict[UUID, PushedGroup] = field(default_factory=dict)
    # (group, member) who is out since before this position of the ledger, without a break.
    barred: dict[tuple[UUID, UUID], int] = field(default_factory=dict)

    def wanted(self, group: UUID) -> set[UUID]:
        """Desired and active; of a deleted group nobody is."""
        pushed = self.groups.get(group)
        return {one for one in pushed.members if self.members[one].active} if pushed else set()

    def bar(self, group: UUID, position: int) -> None:
        """Everything is done: who is not wanted now gets nothing from here on."""
        for member in self.members.keys() - self.wanted(group):
            self.barred.setdefault((group, member), position)

    def unbar(self) -> None:
        """After a push: who is wanted again may get something again."""
        for group, member in list(self.barred):
            if member in self.wanted(group):
                del self.barred[group, member]

    def committed(self, group: UUID) -> set[UUID]:
        """Desired, active and enrolled."""
        return {one for one in self.wanted(group) if self.members[one].devices}


class TenantMachine(RuleBasedStateMachine):
    """One tenant's life. `make_world` gives a fresh world and what closes it."""

    make_world: Callable[[bool], tuple[World, Callable[[], None]]]

    @initialize(low_limits=st.booleans(), users=st.integers(3, 5), keyless=_few, outside=_few)
    def begin(self, low_limits: bool, users: int, keyless: set[int], outside: set[int]) -> None:
        """`low_limits`: three are a large group, and two grants a full batch."""
        self.world, self._close = type(self).make_world(low_limits)
        self.model = Desired()
        self.worker = self.world.worker()
        self.numbers = iter(range(1_000_000))
        for _ in range(users):
            self.create_user()
        for number in set(range(users)) - keyless:
            self.submit_device(number)
        self.create_group(set(range(users)) - outside)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.converge()
        finally:
            self._close()

    # What the identity provider pushes

    @precondition(lambda self: len(self.model.members) < MOST_USERS)
    @rule()
    def create_user(self) -> None:
        user = UUID(self.world.scim.create_user(f"user{next(self.numbers)}@example.com"))
        self.model.members[user] = Member(self.world, user)

    @rule(user=_user, active=st.booleans())
    def set_active(self, user: int, active: bool) -> None:
        member = self._member(user)
        answer = self.world.scim.patch(
            f"/Users/{member.id}", {"op": "replace", "value": {"active": active}}
        )
        assert answer.status_code == 200, answer.text
        member.active = active
        self.model.unbar()

    @precondition(lambda self: len(self.model.groups) < MOST_GROUPS)
    @rule(members=_any)
    def create_group(self, members: set[int]) -> None:
        name, chosen = f"Group {next(self.numbers)}", self._ids(members)
        group = UUID(self.world.scim.create_group(name, [str(one) for one in chosen]))
        self.model.groups[group] = PushedGroup(group, name, chosen)

    @rule(group=_group)
    def rename_group(self, group: int) -> None:
        pushed = self._pushed(group)
        pushed.name = f"Group {next(self.numbers)}"
        self._patch(pushed, {"op": "replace", "value": {"displayName": pushed.name}})

    @precondition(lambda self: len(self.model.groups) > 1)
    @rule(group=_group)
    def delete_group(self, group: int) -> None:
        pushed = self._pushed(group)
        assert self.world.scim.send("DELETE", f"/Groups/{pushed.id}").status_code == 204
        del self.model.groups[pushed.id]

    @rule(group=_group, members=_some)
    def add_members(self, group: int, members: set[int]) -> None:
        pushed, chosen = self._pushed(group), self._ids(members)
        self._patch(pushed, {"op": "add", "path": "members", "value": _values(chosen)})
        pushed.members |= chosen
        self.model.unbar()

    @rule(group=_group, members=_some, listed=st.booleans())
    def remove_members(self, group: int, members: set[int], listed: bool) -> None:
        """One operation with a list, or one for each with a filter: each provider has its way."""
        pushed, chosen = self._pushed(group), self._ids(members)
        if listed:
            self._patch(pushed, {"op": "Remove", "path": "members", "value": _values(chosen)})
        else:
            self._patch(
                pushed,
                *({"op": "remove", "path": f'members[value eq "{one}"]'} for one in chosen),
            )
        pushed.members -= chosen

    @rule(group=_group, members=_any, whole=st.booleans())
    def replace_members(self, group: int, members: set[int], whole: bool) -> None:
        """PUT of the whole group, or PATCH of all its members."""
        pushed, chosen = self._pushed(group), self._ids(members)
        if whole:
            ids = [str(one) for one in chosen]
            answer = self.world.scim.put_group(str(pushed.id), pushed.name, ids)
            assert answer.status_code == 200, answer.text
        else:
            self._patch(pushed, {"op": "replace", "path": "members", "value": _values(chosen)})
        pushed.members = chosen
        self.model.unbar()

    def _patch(self, group: PushedGroup, *operations: Mapping[str, object]) -> None:
        answer = self.world.scim.patch(f"/Groups/{group.id}", *map(dict, operations))
        assert answer.status_code in {200, 204}, answer.text

    def _member(self, number: int) -> Member:
        members = list(self.model.members.values())
        return members[number % len(members)]

    def _ids(self, numbers: set[int]) -> set[UUID]:
        return {self._member(number).id for number in numbers}

    def _pushed(self, number: int) -> PushedGroup:
        groups = list(self.model.groups.values())
        return groups[number % len(groups)]

    # What members do

    @rule(user=_user)
    def submit_device(self, user: int) -> None:
        """A first device, or another one that the first endorses."""
        member = self._member(user)
        if member.active and len(member.devices) < MOST_DEVICES:
            member.submit_device()

    @rule(user=_user)
    def repeat_submission(self, user: int) -> None:
        member = self._member(user)
        if member.active and member.devices:
            member.submit_again()

    # What becomes of jobs

    @rule(times=st.integers(1, 3))
    def run_jobs(self, times: int) -> None:
        """A job, and the same one again."""
        for _ in range(times):
            self._job(self.worker)

    @rule()
    def time_passes(self) -> None:
        """Every back-off is over, and the idle ledger is due to be read."""
        self.world.let_time_pass(ledger_too=True)

    @rule(step=st.sampled_from(WORKER_STEPS), occurrence=st.integers(1, 3))
    def worker_dies(self, step: str, occurrence: int) -> None:
        dying = self.world.worker()
        dying.on_step = dies_at(step, occurrence)
        self.world.let_time_pass()
        with suppress(Died):
            self._job(dying)
        dying.close()

    @rule(call=st.sampled_from(_CALLS), messages=st.integers(0, 6))
    def answer_is_lost(self, call: str, messages: int) -> None:
        worker = self.world.worker(worker_groups_per_round=2)
        worker.services = LosesAnswer(worker.services, call, messages)
        self.world.let_time_pass(ledger_too=True)
        self._job(worker)
        worker.close()

    @rule()
    def two_workers_at_once(self) -> None:
        self._at_once(lambda: self._job(self.worker), lambda: self._job(self.world.worker()))

    @rule(group=_group, members=_any)
    def push_during_a_job(self, group: int, members: set[int]) -> None:
        self._at_once(
            lambda: self._job(self.worker),
            lambda: self.replace_members(group, members, whole=True),
        )

    @rule(step=_step, group=_group, members=_any, rename=st.booleans())
    def push_at_a_step(self, step: str, group: int, members: set[int], rename: bool) -> None:
        """A push that comes exactly in between."""

        def push() -> None:
            if rename:
                self.rename_group(group)
            else:
                self.replace_members(group, members, whole=False)

        worker = self.world.worker()
        worker.on_step = once_at(step, push)
        self.add_members(group, {0})
        self.world.let_time_pass()
        self._job(worker)
        worker.close()

    @rule(step=_late, group=_group, members=_some, adds=st.booleans(), listed=st.booleans())
    def worker_is_late(
        self, step: str, group: int, members: set[int], adds: bool, listed: bool
    ) -> None:
        """A worker stalls and loses its lease. What it was about to do is done, revoked by another
        push, and that is done as well, when it goes on with what it knows.
        """
        late = self.world.worker()

        def push(inside: bool) -> None:
            if inside:
                self.add_members(group, members)
            else:
                self.remove_members(group, members, listed=listed)

        def overtaken() -> None:
            self.world.rows(_CUT_LEASES)
            self.converge()
            push(not adds)
            self.converge()

        push(not adds)
        self.converge()
        push(adds)
        late.on_step = once_at(step, overtaken)
        self._job(late)
        late.close()

    def _job(self, worker: Wiring) -> None:
        reconcile_tenant(worker, self.world.tenant_id)

    @staticmethod
    def _at_once(*actions: Callable[[], None]) -> None:
        together = threading.Barrier(len(actions), timeout=10)

        def run(action: Callable[[], None]) -> None:
            together.wait()
            action()

        with ThreadPoolExecutor(len(actions)) as pool:
            for _ in pool.map(run, actions):
                pass

    # What becomes of the service and of what was stored

    @rule()
    def service_restarts(self) -> None:
        self.world.service.restart()

    @rule(step=st.sampled_from(SERVICE_STEPS))
    def service_fails(self, step: str) -> None:
        """It cannot store any more from some point on, until it is started again."""
        self.world.service.on_step = fails_from(step)
        self.world.let_time_pass()
        self._job(self.worker)
        self.world.service.on_step = lambda _: None
        self.world.service.restart()

    @rule()
    def service_drops_acknowledged_envelopes(self) -> None:
        self.world.service.drop_envelopes()

    @rule(group=_group)
    def vendor_needs_envelopes_again(self, group: int) -> None:
        """Envelopes that were acknowledged are gone: as after a restore of the database."""
        group_id = self._pushed(group).id
        for statement in (_FORGET_GRANTS, _LOSE_ENVELOPES, _BUMP):
            self.world.execute(statement, group=group_id)

    # What must hold

    @rule()
    def converge(self) -> None:
        """When nothing is left to do, everything is as it was pushed."""
        self.world.settle(self.worker)
        check_converged(self.world, self.model)
        for group in self.model.groups:
            self.model.bar(group, ledger_size(self.world))

    @invariant()
    def nobody_else_is_served(self) -> None:
        if hasattr(self, "world"):
            check_served(self.world, self.model)


def _values(members: set[UUID]) -> list[dict[str, str]]:
    return [{"value": str(one)} for one in members]
