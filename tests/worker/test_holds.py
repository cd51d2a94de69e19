"""Why members on a roster are not granted: told by the service, shown here, never looped on."""

from typing import Any
from uuid import UUID

import pytest

from directory.fsck import check
from directory.member_view import groups_of
from directory.provisioning_view import provisioning_of_groups
from directory.status import read_status
from directory.tenancy import TenantScope
from directory.unit_of_work import UnitOfWork
from encryption_api import encryption_pb2 as pb
from tests.support.ledger_maker import FakeService
from tests.worker import test_commit
from tests.worker.parts import Tenant, counted
from worker import holds as worker_holds
from worker.wiring import Wiring

enrolled = test_commit.enrolled


@pytest.fixture
def worker(tenant: Tenant) -> Wiring:
    return tenant.bench.worker()


def reasons(tenant: Tenant, group: UUID) -> dict[UUID, str]:
    rows = tenant.rows(
        "SELECT user_id, reason FROM memberships WHERE tenant_id = %s AND group_id = %s"
        " AND reason IS NOT NULL",
        group,
    )
    return dict(rows)


def followed(tenant: Tenant) -> int:
    return int(tenant.one("SELECT holds_version FROM tenants WHERE id = %s"))


def refresh(tenant: Tenant, worker: Wiring) -> None:
    """As if it were time to read the idle ledger, or the watch had news."""
    tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
    tenant.reconcile(worker)


def sound(tenant: Tenant) -> None:
    with tenant.bench.engine.connect() as connection:
        assert check(connection) == []


def test_held_members_are_shown_and_keep_no_group_open(
    tenant: Tenant, service: FakeService, worker: Wiring
) -> None:
    """One command; settled although two are not granted; every view says why."""
    users = enrolled(tenant, service, 4)
    group = tenant.group(users)
    service.hold(group.bytes, users[0].bytes, reason="not_in_source_group")
    service.hold(group.bytes, users[1].bytes, reason="membership_unchecked")
    tenant.reconcile(worker)
    assert tenant.committed(group) == set(users[2:])
    assert tenant.dirty() == []
    assert service.calls.count("ReconcileGroups") == 1
    expected = {users[0]: "not_in_source_group", users[1]: "membership_unchecked"}
    assert reasons(tenant, group) == expected
    assert followed(tenant) == 2
    with UnitOfWork(tenant.bench.engine) as work:
        scope = TenantScope(work.connection, tenant.id)
        tally = provisioning_of_groups(scope, [group])[group].tally
        assert tally.reasons == {"not_in_source_group": 1, "membership_unchecked": 1}
        assert tally.standings == {"committed": 2, "refused": 1, "waiting": 1}
        (shown,) = groups_of(scope, users[0])
        assert (shown.state, shown.reason) == ("waiting", "not_in_source_group")
        (status,) = read_status(work.connection, tenant.id)
    assert status.groups[0].waiting == {"not_in_source_group": 1, "membership_unchecked": 1}
    sound(tenant)
    refresh(tenant, worker)
    assert service.calls.count("ReconcileGroups") == 1, "nothing is tried again and again"
    assert service.calls.count("ListHolds") == 1, "nothing new is not asked for"


def test_a_hold_that_changes_or_ends_is_followed_without_a_command(
    tenant: Tenant, service: FakeService, worker: Wiring
) -> None:
    users = enrolled(tenant, service, 2)
    group = tenant.group(users)
    service.hold(group.bytes, users[0].bytes, reason="membership_unchecked")
    tenant.reconcile(worker)
    service.hold(group.bytes, users[0].bytes, reason="membership_source_unavailable")
    refresh(tenant, worker)
    assert reasons(tenant, group) == {users[0]: "membership_source_unavailable"}
    service.release(group.bytes, users[0].bytes)
    refresh(tenant, worker)
    assert reasons(tenant, group) == {}
    assert tenant.committed(group) == set(users)
    assert service.calls.count("ReconcileGroups") == 1
    sound(tenant)


def test_a_delayed_group_is_simply_asked_again(
    tenant: Tenant, service: FakeService, worker: Wiring
) -> None:
    """OUTCOME_DELAYED for a membership that is being checked: no failure is counted."""
    users = enrolled(tenant, service, 1)
    tenant.reconcile(worker)
    service.outcome = pb.ReconcileGroupsResponse(
        outcome=pb.OUTCOME_DELAYED, reason="membership_unchecked", retry_after_ms=200
    )
    group = tenant.group(users)
    tenant.reconcile(worker)
    query = "SELECT reason, attempts FROM groups WHERE tenant_id = %s"
    assert tenant.one(query) == ("membership_unchecked", 0)
    service.outcome = None
    tenant.make_due()
    tenant.reconcile(worker)
    assert tenant.dirty() == []
    assert tenant.committed(group) == set(users)


def test_one_who_leaves_and_comes_back_while_held_keeps_the_reason(
    tenant: Tenant, service: FakeService, worker: Wiring
) -> None:
    """The service says a reason again only when it changes: no push loses it."""
    users = enrolled(tenant, service, 2)
    group = tenant.group(users)
    service.hold(group.bytes, users[0].bytes, reason="approval_needed")
    tenant.reconcile(worker)
    tenant.push(group, remove=users[:1])
    tenant.push(group, add=users[:1])
    tenant.reconcile(worker)
    assert reasons(tenant, group) == {users[0]: "approval_needed"}
    assert tenant.dirty() == []


def test_removing_a_held_member_is_carried_out(
    tenant: Tenant, service: FakeService, worker: Wiring
) -> None:
    """A reason excuses nobody from leaving."""
    users = enrolled(tenant, service, 2)
    group = tenant.group(users)
    service.hold(group.bytes, users[0].bytes, reason="approval_needed")
    tenant.reconcile(worker)
    tenant.push(group, remove=users[:1])
    assert reasons(tenant, group) == {users[0]: "approval_needed"}
    service.outcome = pb.ReconcileGroupsResponse(outcome=pb.OUTCOME_DONE)
    tenant.reconcile(worker)
    assert tenant.dirty() == [group], "the ledger has not let the member go"
    service.outcome = None
    tenant.make_due()
    tenant.reconcile(worker)
    assert tenant.dirty() == []
    assert reasons(tenant, group) == {}
    sound(tenant)


def test_a_removal_by_the_service_itself_converges_with_one_command(
    tenant: Tenant, service: FakeService, worker: Wiring
) -> None:
    """An audit took a member off whom the vendor still wants: back on the roster, and held."""
    users = enrolled(tenant, service, 3)
    group = tenant.group(users)
    tenant.reconcile(worker)
    made, out = service.org.groups[group.bytes], users[0]
    service.hold(group.bytes, out.bytes, reason="not_in_source_group")
    service.org.close_epoch(made, [out.bytes])
    commands = service.calls.count("ReconcileGroups")
    tenant.run("UPDATE tenants SET ledger_read_at = NULL WHERE id = %s", tenant.id)
    served: list[tuple[Any, ...]] = []

    def look(step: str) -> None:
        if step == "applied" and not served:
            served.extend(
                tenant.rows(
                    "SELECT key_id FROM grants WHERE tenant_id = %s AND member_id = %s", out
                )
            )

    service.org.open_epoch(made)
    tenant.reconcile(tenant.bench.worker(look))
    assert served == [], "nothing is served from the moment the entry is applied"
    assert tenant.dirty() == []
    assert service.calls.count("ReconcileGroups") == commands + 1
    assert tenant.committed(group) == set(users[1:])
    assert reasons(tenant, group) == {out: "not_in_source_group"}
    assert out.bytes in made.roster
    refresh(tenant, worker)
    assert service.calls.count("ReconcileGroups") == commands + 1, "it does not loop"
    sound(tenant)


def test_holds_are_followed_in_chunks_and_across_crashes(
    tenant: Tenant, service: FakeService, worker: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream is cut off in the middle, and within a version: nothing is lost."""
    monkeypatch.setattr(worker_holds, "_CHUNK", 2)
    users = enrolled(tenant, service, 7)
    group = tenant.group(users)
    tenant.reconcile(worker)
    made = service.org.groups[group.bytes]
    ids = [user.bytes for user in users]
    service.hold(group.bytes, *ids[:2], reason="frozen")
    service.hold(group.bytes, *ids[2:6], reason="approval_needed")
    service.hold(group.bytes, ids[6], reason="quota_used_up")
    service.org.close_epoch(made, [])
    service.org.open_epoch(made)
    seen = []
    for cut in (1, 3, 4):
        service.cut_holds_after = cut
        tenant.make_due()
        refresh(tenant, worker)
        seen.append(followed(tenant))
    assert seen == sorted(seen)
    assert seen[-1] < service.holds_version
    service.cut_holds_after = None
    tenant.make_due()
    refresh(tenant, worker)
    assert followed(tenant) == service.holds_version
    assert reasons(tenant, group) == {
        **dict.fromkeys(users[:2], "frozen"),
        **dict.fromkeys(users[2:6], "approval_needed"),
        users[6]: "quota_used_up",
    }
    sound(tenant)


def test_a_member_held_in_the_new_epoch_is_not_called_rotating(
    tenant: Tenant, service: FakeService, worker: Wiring
) -> None:
    """The last epoch's grant is still there; the reason is the new one's."""
    users = enrolled(tenant, service, 2)
    group = tenant.group(users)
    tenant.reconcile(worker)
    made = service.org.groups[group.bytes]
    service.org.close_epoch(made, [])
    refresh(tenant, worker)
    assert _shown(tenant, users[0]) == ("rotating", "rotating")
    service.hold(group.bytes, users[0].bytes, reason="frozen")
    refresh(tenant, worker)
    assert _shown(tenant, users[0]) == ("rotating", "rotating"), "no epoch is open to be let into"
    service.org.open_epoch(made)
    refresh(tenant, worker)
    assert _shown(tenant, users[0]) == ("waiting", "frozen")
    assert _shown(tenant, users[1]) == ("committed", None)
    service.release(group.bytes, users[0].bytes)
    refresh(tenant, worker)
    assert _shown(tenant, users[0]) == ("committed", None)


def _shown(tenant: Tenant, user: UUID) -> tuple[str, str | None]:
    with UnitOfWork(tenant.bench.engine) as work:
        (group,) = groups_of(TenantScope(work.connection, tenant.id), user)
    return group.state, group.reason


def test_a_restored_service_is_followed_from_the_beginning(
    tenant: Tenant, service: FakeService, worker: Wiring
) -> None:
    """Its version is smaller than ours: what it does not list any more is forgotten."""
    users = enrolled(tenant, service, 3)
    group = tenant.group(users)
    for _ in range(3):
        service.hold(group.bytes, *(user.bytes for user in users[:2]), reason="frozen")
    tenant.reconcile(worker)
    assert followed(tenant) == 3
    service.holds.clear()
    service.holds_version = 0
    service.hold(group.bytes, users[1].bytes, reason="approval_needed")
    refresh(tenant, worker)
    assert followed(tenant) == 1
    assert reasons(tenant, group) == {users[1]: "approval_needed"}
    service.holds.clear()
    service.holds_version = 0
    refresh(tenant, worker)
    assert (followed(tenant), reasons(tenant, group)) == (0, {})


def test_foreign_texts_and_members_are_not_taken_over(
    tenant: Tenant, service: FakeService, worker: Wiring
) -> None:
    """A reason that is no code of ours is called a refusal; an unknown member is nobody's row."""
    users = enrolled(tenant, service, 1)
    group = tenant.group(users)
    service.hold(group.bytes, users[0].bytes, bytes(16), reason="<script>")
    service.hold(bytes(16), users[0].bytes, reason="frozen")
    tenant.reconcile(worker)
    assert reasons(tenant, group) == {users[0]: "service_refused"}
    assert followed(tenant) == 2


def test_following_takes_as_many_statements_for_one_as_for_two_hundred(
    tenant: Tenant, service: FakeService, worker: Wiring
) -> None:
    users = tenant.users(201)
    group = tenant.group(users)
    tenant.reconcile(worker)
    counts = []
    for held in (users[:1], users[1:]):
        service.hold(group.bytes, *(user.bytes for user in held), reason="frozen")
        with counted(worker) as statements:
            refresh(tenant, worker)
        counts.append(len(statements))
    assert counts[0] == counts[1]
    assert len(reasons(tenant, group)) == 201
