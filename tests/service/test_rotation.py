"""When epochs close and open: the pure rule, and a large group whose removals keep coming."""

import pytest

from encryption_api import encryption_pb2 as pb
from encryption_service.rotation import Decision, Pace, decide, opening_due_ms
from groupseal.entries import EpochClosed, GroupReconciled
from groupseal.reasons import Reason
from tests.support.vendor import Vendor, some_id

LARGE = 500


@pytest.mark.parametrize(
    ("loses", "remaining", "decision"),
    [
        (False, 0, Decision.KEEP),
        (False, 10_000, Decision.KEEP),
        (True, 0, Decision.ROTATE),
        (True, 64, Decision.ROTATE),
        (True, 65, Decision.CLOSE),
    ],
)
def test_decision(loses: bool, remaining: int, decision: Decision) -> None:
    """Only a lost grant ends an epoch; a large group closes it first."""
    assert decide(loses_a_grant=loses, remaining_keys=remaining) is decision


@pytest.mark.parametrize(
    ("took", "remaining", "due"),
    [
        (19, 10_000, 1_000),  # cheap: at once
        (800, 64, 1_000),  # small: at once
        (800, 65, 9_000),  # ten times what it took
        (8_000, 10_000, 61_000),  # at most a minute
    ],
)
def test_when_the_next_epoch_opens(took: int, remaining: int, due: int) -> None:
    """I5: ten times the last opening, at most sixty seconds, after it ended."""
    found = opening_due_ms(
        took_ms=took, ended_ms=1_000, remaining_keys=remaining, longest_delay_ms=60_000
    )
    assert found == due


def test_removals_that_keep_coming_share_an_epoch(vendor: Vendor) -> None:
    """The close is at once; changes until the opening are taken together, the newest word counts.

    While the epoch is closed, each command replaces the changes of the one before: it says what
    the roster shall be beyond the one at its base.
    """
    group, devices = some_id(), vendor.bound_devices(LARGE + 1)
    newcomer = devices[LARGE].member
    members = [d.member for d in devices[:LARGE]]
    vendor.change(group, members)
    vendor.read()
    first = vendor.change(group, removed=members[:1])
    assert (first.outcome, first.reason) == (pb.OUTCOME_DELAYED, Reason.ROTATING)
    assert 0 < first.retry_after_ms <= 60_000
    vendor.read()
    assert not vendor.group(group).state.is_open
    outdated = vendor.change(group, removed=members[1:4], base=first.position)
    assert outdated.outcome == pb.OUTCOME_DELAYED
    replaced = vendor.change(group, [newcomer], members[1:3])
    assert replaced.outcome == pb.OUTCOME_DELAYED
    repeated = vendor.change(group, [newcomer], members[1:3], base=0)
    assert repeated.outcome == pb.OUTCOME_DELAYED
    vendor.read_until_granted(group, {*members[3:], newcomer})
    bodies = [e.entry.body for e in vendor.entries_of(group)]
    assert [type(body) for body in bodies] == [GroupReconciled, EpochClosed, GroupReconciled]
    opened = bodies[-1]
    assert isinstance(opened, GroupReconciled)
    assert (opened.opens, opened.epoch, opened.grants_count) == (True, 2, LARGE - 2)
    assert opened.joined == (newcomer,)
    assert opened.left == tuple(sorted(members[1:3]))
    assert vendor.open(devices[LARGE], group) == vendor.open(devices[4], group)


def test_each_group_that_waits_has_a_turn_of_its_own() -> None:
    """Ten a second: a lost key of a member in many groups does not bring all of them at once."""
    pace, groups = Pace(10), [bytes([number]) for number in range(4)]
    assert [pace.take(group, 1_000) for group in groups] == [0, 100, 200, 300]
    # Whoever comes too early waits for the same turn, and takes it from nobody.
    assert [pace.take(group, 1_050) for group in groups[1:]] == [50, 150, 250]
    assert [pace.take(group, 1_200) for group in groups[1:]] == [0, 0, 100]
    assert pace.take(groups[3], 1_300) == 0
    assert pace.take(groups[0], 1_300) == 100
    assert pace.take(groups[0], 1_400) == 0


def test_a_clock_that_was_set_back_keeps_no_epoch_closed() -> None:
    pace = Pace(10)
    assert [pace.take(bytes([number]), 1_000_000) for number in range(3)] == [0, 100, 200]
    assert pace.take(bytes([2]), 1_000) == 0
    assert pace.take(bytes([1]), 1_000) == 100
