"""Pure: the provisioning extensions of groups and users, as SCIM clients see them.

They say how much of the desired state is in effect, which `members` and `groups` do not: those are
what the identity provider pushed. Everything in them is readOnly.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from directory.provisioning_view import (
    GroupProvisioning,
    MembershipProvisioning,
    Tally,
    UserProvisioning,
)
from directory.standing import Standing

# Returned only where `attributes` names them (RFC 7643 §2.4, returned "request").
GROUP_DETAIL = "members"
USER_DETAIL = "memberships"
DETAIL_NAMES = ("value", "state", "reason", "since", "nextAttempt")


def group_extension(of: GroupProvisioning) -> dict[str, Any]:
    """The extension of a group, without its members one by one."""
    return _without_null(
        {
            "state": of.progress,
            "since": _time(of.since),
            "reason": of.reason,
            "epoch": of.epoch,
            "epochOpen": of.epoch_open,
            "counts": _counts(of.tally) | {"unresolved": of.unresolved},
            "reasons": _reasons(of.tally),
            "unresolved": list(of.shown_unresolved),
        }
    )


def user_extension(of: UserProvisioning) -> dict[str, Any]:
    """The extension of a user, without the memberships one by one."""
    return _without_null(
        {
            "state": of.progress,
            "since": _time(of.tally.since),
            "devices": of.devices,
            "counts": _counts(of.tally),
            "reasons": _reasons(of.tally),
        }
    )


def member_detail(of: MembershipProvisioning) -> dict[str, Any]:
    """One member of a group."""
    return {"value": str(of.user_id), **_detail(of)}


def membership_detail(of: MembershipProvisioning) -> dict[str, Any]:
    """One group of a user."""
    return {"value": str(of.group_id), **_detail(of)}


def _detail(of: MembershipProvisioning) -> dict[str, Any]:
    return _without_null(
        {
            "state": of.standing,
            "reason": of.reason,
            "since": _time(of.since),
            "nextAttempt": _time(of.next_attempt),
        }
    )


def _counts(tally: Tally) -> dict[str, int]:
    each = {str(standing): tally.standings.get(standing, 0) for standing in Standing}
    return {"desired": tally.desired, **each}


def _reasons(tally: Tally) -> list[dict[str, Any]]:
    return [{"reason": name, "count": count} for name, count in sorted(tally.reasons.items())]


def _without_null(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
