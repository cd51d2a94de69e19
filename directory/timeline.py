"""What happened, membership by membership, for people to read."""

from enum import StrEnum

from directory.tenancy import TenantScope, tenant_sql


class Kind(StrEnum):
    """Events; the values are stored."""

    PUSHED_ADD = "pushed_add"
    PUSHED_REMOVE = "pushed_remove"
    USER_DEACTIVATED = "user_deactivated"
    USER_ACTIVATED = "user_activated"
    KEY_SUBMITTED = "key_submitted"
    KEY_BOUND = "key_bound"
    KEY_REFUSED = "key_refused"
    KEY_UNBOUND = "key_unbound"
    COMMITTED = "committed"
    REMOVED = "removed"
    EPOCH_CLOSED = "epoch_closed"
    EPOCH_OPENED = "epoch_opened"
    GROUP_RESTORED = "group_restored"
    HELD = "held"
    RELEASED = "released"
    SERVICE_DOWN = "service_down"
    SERVICE_UP = "service_up"


# One event about a user, a group, or neither.
_NOTE = tenant_sql("""
    INSERT INTO timeline (tenant_id, kind, group_id, user_id, reason)
    VALUES (:tenant_id, :kind, :group_id, :user_id, :reason)
""")


def note(
    scope: TenantScope,
    kind: Kind,
    *,
    group_id: object = None,
    user_id: object = None,
    reason: str | None = None,
) -> None:
    """Writes one event. Bulk changes write theirs in the statement that makes them."""
    scope.execute(_NOTE, kind=kind, group_id=group_id, user_id=user_id, reason=reason)
