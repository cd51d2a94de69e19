"""Pure: where a membership stands, as identity providers and operators are told."""

from enum import StrEnum

from directory.membership_state import MembershipFacts, State, state_of
from groupseal.reasons import Reason


class Standing(StrEnum):
    """Where a membership stands, as identity providers are told."""

    # Holds the group's present key.
    COMMITTED = "committed"
    # Will, by itself or when the person has done something: the reason says which.
    WAITING = "waiting"
    # The encryption service refused it.
    REFUSED = "refused"
    # A restore of the database left it in doubt.
    HELD = "held"
    # Desired, but the user is not active.
    INACTIVE = "inactive"
    # Not desired any more and still on the service's roster; the key is served no longer.
    LEAVING = "leaving"


# What passes without anybody doing anything, and what waits for somebody whose turn it is; the rest
# is refused, and is granted only when something is put right.
BY_ITSELF = frozenset(
    {
        Reason.QUEUED,
        Reason.ROTATING,
        Reason.ENVELOPE_MISSING,
        Reason.QUOTA_USED_UP,
        Reason.MEMBERSHIP_UNCHECKED,
        Reason.MEMBERSHIP_SOURCE_UNAVAILABLE,
        Reason.MEMBERSHIP_SOURCE_LIMITED,
    }
)
_WAITS = BY_ITSELF | {Reason.NO_KEY, Reason.APPROVAL_NEEDED, Reason.FROZEN}


def standing_of(facts: MembershipFacts) -> tuple[Standing, str | None] | None:
    """Pure: standing and reason; None of what is over."""
    if facts.held_reason is not None and facts.desired:
        return Standing.HELD, facts.held_reason
    match state_of(facts):
        case State.COMMITTED, _:
            return Standing.COMMITTED, None
        case ((State.LEAVING | State.GONE), _) if facts.desired:
            return Standing.INACTIVE, None
        case State.LEAVING, _:
            return Standing.LEAVING, None
        case State.GONE, _:
            return None
        case _, reason:
            return (Standing.WAITING if reason in _WAITS else Standing.REFUSED), reason
