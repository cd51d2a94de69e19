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
    """State, and why it waits.

    Someone who is desired but inactive is leaving or gone: he is owed no key.
    """
    if facts.held_reason is not None and facts.desired:
        return State.WAITING, facts.held_reason
    if not facts.wanted:
        return (State.LEAVING if facts.rostered else State.GONE), None
    if facts.grant_epoch is not None:
        current = facts.grant_epoch == facts.epoch and facts.epoch_open
        return (State.COMMITTED, None) if current else (State.ROTATING, Reason.ROTATING)
    if not facts.has_bound_key:
        return State.WAITING, Reason.NO_KEY
    return State.WAITING, facts.reason or Reason.QUEUED


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
