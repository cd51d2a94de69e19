"""Pure: the state of a membership in one word, and the reason where it waits."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Row

from groupseal.reasons import Reason


class State(StrEnum):
    """Where a membership stands between push and key."""

    COMMITTED = "committed"
    ROTATING = "rotating"
    WAITING = "waiting"
    LEAVING = "leaving"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class MembershipFacts:
    """What the database holds of one membership, its group and its member."""

    desired: bool
    wanted: bool
    rostered: bool
    held_reason: str | None
    reason: str | None
    # Of the grant that it references; None without one.
    grant_epoch: int | None
    epoch: int
    epoch_open: bool
    has_bound_key: bool


def state_of(facts: MembershipFacts) -> tuple[State, str | None]:
    """State, and why it waits: the first of these that is so.

    Held after a restore of the vendor's database; rotating; without a key; what the service holds
    against it; nothing that is known. Someone who is desired but inactive is leaving or gone: he
    is owed no key. Whoever was granted the last epoch and is held in the open one has that one's
    reason.
    """
    if facts.held_reason is not None and facts.desired:
        return State.WAITING, facts.held_reason
    if not facts.wanted:
        return (State.LEAVING if facts.rostered else State.GONE), None
    if facts.grant_epoch is not None:
        return _granted(facts, facts.grant_epoch)
    if not facts.has_bound_key:
        return State.WAITING, Reason.NO_KEY
    return State.WAITING, facts.reason or Reason.QUEUED


def _granted(facts: MembershipFacts, epoch: int) -> tuple[State, str | None]:
    """Of someone who was granted an epoch, the newest or one before it."""
    if epoch == facts.epoch and facts.epoch_open:
        return State.COMMITTED, None
    # While a new epoch is on its way, nobody is refused it yet.
    if facts.reason is None or not facts.epoch_open:
        return State.ROTATING, Reason.ROTATING
    return State.WAITING, facts.reason


def facts_from(row: Row[Any]) -> MembershipFacts:
    """From a row with these columns, as status and member API query them."""
    return MembershipFacts(
        desired=row.desired,
        wanted=row.wanted,
        rostered=row.rostered,
        held_reason=row.held_reason,
        reason=row.reason,
        grant_epoch=row.grant_epoch,
        epoch=row.epoch,
        epoch_open=row.epoch_open,
        has_bound_key=row.has_bound_key,
    )
