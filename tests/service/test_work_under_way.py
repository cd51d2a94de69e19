"""What is under way when something else happens: epochs closed or half granted, keys let in.

The service's core in this process, its writer held so that what comes in between comes in between.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from encryption_service import reconcile
from encryption_service.binding_rules import Offer
from encryption_service.holds import any_try_is_due
from encryption_service.membership.source import SourceGroup
from encryption_service.reconcile import Answer, GroupCommand, Outcome
from groupseal.approvals import ApprovalStatement
from groupseal.reasons import Reason
from groupseal.trust import MembershipCheck, TrustMode, TrustSettings
from tests.support.devices import Device
from tests.support.policies import DAY_MS, Approver
from tests.support.trust_core import Core, LedgerCopy, SetClock
from tests.support.vendor import some_id
from tests.support.waiting import wait_for

PINNED = TrustSettings(TrustMode.PIN)
CHECKED = TrustSettings(
    TrustMode.PIN, membership_check=MembershipCheck.ENFORCE, membership_source="okta"
)


@contextmanager
def core_of(folder: Path, trust: TrustSettings) -> Iterator[Core]:
    core = Core(folder, SetClock(), trust)
    try:
        yield core
    finally:
        core.close()


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    with core_of(tmp_path, PINNED) as running:
        yield running


def bound(core: Core, user: str = "") -> Device:
    """A member's first device, by the vendor's word."""
    device = Device(core.keyset.organisation)
    offer(core, device, user)
    return device


def offer(core: Core, device: Device, user: str) -> None:
    proof = device.binding().possession_proof
    answer = core.writer.decided(
        Offer(device.request, proof, external_id=user, user_name="somebody@example.com")
    )
    assert answer.reason is None


def last_position(core: Core, group: bytes) -> int | None:
    with core.store.reader() as connection:
        row = connection.execute(
            "SELECT last_position FROM groups WHERE group_id = ?", (group,)
        ).fetchone()
    return None if row is None else int(row[0])


def change(core: Core, group: bytes, added: Sequence[bytes] = ()) -> Answer:
    base = last_position(core, group)
    return core.writer.carried_out(GroupCommand(group, base, tuple(sorted(added))))


def granted(core: Core, group: bytes) -> set[bytes]:
    """Members with a grant of the newest epoch, as the verified ledger says."""
    copy = LedgerCopy(core)
    copy.read()
    view = copy.projection.groups[group]
    return {m for (m, _), (_, epoch) in view.grants.items() if epoch == view.state.epoch}


@contextmanager
def held_writer(core: Core) -> Iterator[None]:
    """The writer does nothing meanwhile; what is asked of it comes afterwards, in order."""
    busy, go_on = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        busy.set()
        go_on.wait(20)

    core.writer.task(wait)
    assert busy.wait(20)
    try:
        yield
    finally:
        go_on.set()


def test_who_left_at_the_source_leaves_whatever_the_vendor_says_of_a_closed_epoch(
    tmp_path: Path,
) -> None:
    """The audit finds it while the epoch is closed; the vendor's next word does not undo it (I5).

    Two groups lose a key at once: one has its next epoch at once, the other is closed meanwhile.
    """
    with core_of(tmp_path, CHECKED) as core:
        lost, gone, stays = (bound(core, user) for user in ("lost", "gone", "stays"))
        members = [d.member for d in (lost, gone, stays)]
        groups = [some_id(), some_id()]
        for number, group in enumerate(groups):
            change(core, group, members)
            source_id = f"source-{number}"
            users = ["lost", "gone", "stays"]
            core.answers.cache.put_list(source_id, users, begun_ms=core.clock())
            core.recorder.group_found(group, SourceGroup(source_id, f"Group {number}"))
            core.settle()
            assert granted(core, group) == set(members)
        core.administration.unbind_key(lost.key_id)
        wait_for(lambda: not all(is_open(core, g) for g in groups), 10, "a closed epoch")
        (group,) = (g for g in groups if not is_open(core, g))
        core.recorder.left_at_source(group, [gone.member])
        change(core, group)
        core.settle()
        assert granted(core, group) == {stays.member}


def is_open(core: Core, group: bytes) -> bool:
    copy = LedgerCopy(core)
    copy.read()
    return copy.projection.groups[group].state.is_open


def test_epochs_that_follow_each_other_quickly_lock_nobody_out(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch ends before all who held the last one were granted it: nothing holds them back."""
    monkeypatch.setattr(reconcile, "MAX_BATCH", 1)
    members = sorted(bound(core).member for _ in range(7))
    group = some_id()
    change(core, group, members)
    core.settle()
    assert granted(core, group) == set(members)
    core.administration.freeze(True)
    base = last_position(core, group)
    with held_writer(core):
        items = [core.writer.command(GroupCommand(group, base, removed=(members[0],)))]
        # On top of the first batch after that one, before or after which this is looked at first.
        base = core.ledger.size + 1
        items += [
            core.writer.command(GroupCommand(group, base, removed=(members[1],))) for _ in range(2)
        ]
    for item in items:
        item.answer.result(20)
    core.settle()
    assert granted(core, group) == set(members[2:])
    assert not core.holds()


def test_a_freeze_holds_back_who_was_let_in_and_not_granted_yet(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large group on its way in: the rest of it waits from the freeze on."""
    monkeypatch.setattr(reconcile, "MAX_BATCH", 1)
    members = sorted(bound(core).member for _ in range(6))
    group = some_id()
    with held_writer(core):
        item = core.writer.command(GroupCommand(group, None, added=tuple(members)))
        freeze = threading.Thread(target=core.administration.freeze, args=(True,))
        freeze.start()
    item.answer.result(20)
    freeze.join(20)
    core.settle()
    inside = granted(core, group)
    assert 1 <= len(inside) < 6
    assert {(h.member, h.reason) for h in core.holds()} == {
        (member, Reason.FROZEN) for member in set(members) - inside
    }
    core.administration.freeze(False)
    core.settle()
    assert granted(core, group) == set(members)


def test_what_a_quota_holds_is_looked_at_when_it_is_its_turn(core: Core) -> None:
    """Four an hour: one each quarter of an hour, not all that wait every few seconds (I13)."""
    core.set_policy({"version": 1, "limits": {"seals_per_hour": 4}})
    members = [bound(core).member for _ in range(9)]
    group = some_id()
    change(core, group, members)
    core.settle()
    assert len(granted(core, group)) == 4
    begun = core.clock()
    waits = sorted((h.next_try_ms or 0) - begun for h in core.holds())
    assert [round(wait / 60_000) for wait in waits] == [15, 30, 45, 60, 60]
    core.clock.forward(10)
    assert (
        core.writer.event(
            lambda _: (core.admission.holds.look_again_by_time(core.clock(), 99), [])
        ).result(20)
        == []
    )
    for inside in (5, 6, 7, 8, 9):
        core.clock.forward(15 * 60)
        core.keep_house()
        core.settle()
        assert len(granted(core, group)) == inside


def test_what_is_durable_counts_as_done_whatever_fails_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event is not taken for undone, and done twice, because somebody cannot be told of it."""
    with core_of(tmp_path, CHECKED) as core:
        device = bound(core, "ada")
        group = some_id()

        def broken(*_: object) -> None:
            raise OSError("out of memory")

        monkeypatch.setattr(core.answers, "ask", broken)
        answer = change(core, group, [device.member])
        assert answer.position == last_position(core, group)
        assert answer.outcome is not Outcome.BASE_MISMATCH


def test_an_external_id_that_comes_later_counts(tmp_path: Path) -> None:
    """The member was bound without one; the first that is known is kept."""
    with core_of(tmp_path, CHECKED) as core:
        device, group = bound(core), some_id()
        change(core, group, [device.member])
        core.answers.cache.put_list("source", ["ada"], begun_ms=core.clock())
        core.recorder.group_found(group, SourceGroup("source", "Finance"))
        offer(core, device, "ada")
        offer(core, device, "somebody-else")
        core.clock.forward(31)
        core.keep_house()
        core.settle()
        assert granted(core, group) == {device.member}


def test_a_no_that_is_asked_for_again_is_no_news(tmp_path: Path) -> None:
    """Whom the source does not know in the group waits since the first no, for the same reason."""
    with core_of(tmp_path, CHECKED) as core:
        device, group = bound(core, "ada"), some_id()
        change(core, group, [device.member])
        core.answers.cache.put_list("source", [], begun_ms=core.clock())
        core.recorder.group_found(group, SourceGroup("source", "Finance"))
        core.settle()
        (hold,) = core.holds()
        assert hold.reason == Reason.NOT_IN_SOURCE_GROUP
        core.clock.forward(61)
        core.keep_house()
        core.settle()
        assert core.answers.questions[-1].subjects == {"ada"}
        (again,) = core.holds()
        assert (again.reason, again.version) == (hold.reason, hold.version)
        core.answers.cache.put_list("source", ["ada"], begun_ms=core.clock())
        core.recorder.answered(group)
        core.settle()
        assert granted(core, group) == {device.member}


def test_a_source_that_stays_silent_is_news_once(tmp_path: Path) -> None:
    with core_of(tmp_path, CHECKED) as core:
        device, group = bound(core, "ada"), some_id()
        change(core, group, [device.member])
        core.recorder.group_found(group, SourceGroup("source", "Finance"))
        versions = set()
        for _ in range(3):
            core.settle()
            retry_at = core.clock() + 5_000
            core.recorder.unavailable([group], Reason.MEMBERSHIP_SOURCE_UNAVAILABLE, retry_at)
            versions |= {(h.reason, h.version) for h in core.holds()}
            core.clock.forward(6)
            core.keep_house()
        assert len(versions) == 1
        assert core.answers.questions[-1].subjects == {"ada"}


def test_what_approvers_saw_of_a_key_is_what_they_sign_for(tmp_path: Path) -> None:
    """The vendor says something else of the member, or the key shall replace: all sign anew."""
    ana, ben = Approver("ana"), Approver("ben")
    with core_of(tmp_path, TrustSettings(TrustMode.APPROVE)) as core:
        approvers = [ana.entry(), ben.entry()]
        core.set_policy({"version": 1, "approvers": approvers, "keys": {"approvals": 2}})
        device = Device(core.keyset.organisation)
        organisation, member, key_id = device.organisation, device.member, device.key_id
        expires_ms = core.clock() + DAY_MS

        def sign(approver: Approver) -> str:
            statement = ApprovalStatement(organisation, None, member, key_id, expires_ms)
            signature = approver.sign(statement)
            return core.administration.add_approval(statement, approver.public_key, signature)

        def offer_as(user: str, *, replaces: bool = False) -> None:
            request = device.request_to_bind(replaces=replaces)
            proof = device.binding(replaces=replaces).possession_proof
            core.writer.decided(Offer(request, proof, external_id=user))

        offer_as("mallory")
        sign(ana)
        offer_as("ada")
        sign(ben)
        assert not core.administration.bound_keys()
        offer_as("ada", replaces=True)
        sign(ana)
        assert not core.administration.bound_keys()
        offer_as("ada", replaces=True)
        sign(ben)
        assert [key.key_id for key in core.administration.bound_keys()] == [key_id]


def test_a_clock_that_was_set_back_lets_nobody_wait_for_what_it_showed(tmp_path: Path) -> None:
    with core_of(tmp_path, CHECKED) as core:
        device, group = bound(core), some_id()
        core.clock.forward(10 * 24 * 3600)
        change(core, group, [device.member])
        core.recorder.group_found(group, SourceGroup("source", "Finance"))
        core.settle()
        assert [h.reason for h in core.holds()] == [Reason.SUBJECT_UNKNOWN]
        offer(core, device, "ada")
        core.clock.forward(-9 * 24 * 3600)
        core.answers.cache.put_list("source", ["ada"], begun_ms=core.clock())
        with core.store.reader() as connection:
            assert any_try_is_due(connection, core.clock())
        core.keep_house()
        core.settle()
        assert granted(core, group) == {device.member}
        with core.store.reader() as connection:
            assert not any_try_is_due(connection, core.clock())


def test_an_audit_says_whom_it_cannot_ask_about(tmp_path: Path) -> None:
    """Granted before the check was on, and not known at the source: not left out in silence."""
    with core_of(tmp_path, PINNED) as core:
        known, unknown = bound(core, "ada"), bound(core)
        group = some_id()
        change(core, group, [known.member, unknown.member])
        core.settle()
        core.restart(CHECKED)
        core.recorder.group_found(group, SourceGroup("source", "Finance"))
        with capture_logs() as logs:
            (audited,) = core.recorder.audited_groups()
        assert audited.members == ((known.member, "ada"),)
        (said,) = [log for log in logs if log["event"] == "audit_cannot_name_members"]
        assert (said["members"], said["log_level"]) == (1, "warning")
