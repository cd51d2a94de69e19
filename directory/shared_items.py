"""Items shared to groups: sealed and signed by clients, only kept here."""

from uuid import UUID, uuid4

from directory.member_view import StoredItem
from directory.tenancy import TenantScope, tenant_sql
from groupseal.shared_items import SharedItem

MAX_ITEMS = 1_000

# Only under the newest epoch, while it is open, and only by a member who is wanted and active.
_INSERT = tenant_sql("""
    INSERT INTO shared_items (tenant_id, id, group_id, epoch, sender_id, sender_key_id, body)
    SELECT :tenant_id, :id, g.id, g.epoch, m.user_id, :sender_key_id, :body
    FROM groups g
    JOIN memberships m ON m.tenant_id = g.tenant_id AND m.group_id = g.id AND m.wanted
    JOIN users u ON u.tenant_id = m.tenant_id AND u.id = m.user_id AND u.active
    WHERE g.tenant_id = :tenant_id AND g.id = :group_id AND m.user_id = :sender_id
        AND g.epoch = :epoch AND g.epoch_open AND g.public_key = :group_public_key
""")

# The newest ones, oldest first; for members only whose grant may be served.
_LIST = tenant_sql("""
    SELECT id, body, created_at FROM (
        SELECT i.id, i.body, i.created_at FROM shared_items i
        JOIN memberships m ON m.tenant_id = i.tenant_id AND m.group_id = i.group_id
            AND m.user_id = :member_id AND m.wanted AND m.grant_key_id IS NOT NULL
        JOIN users u ON u.tenant_id = m.tenant_id AND u.id = m.user_id AND u.active
        WHERE i.tenant_id = :tenant_id AND i.group_id = :group_id
        ORDER BY i.created_at DESC, i.id DESC LIMIT :most
    ) AS newest ORDER BY created_at, id
""")


def keep_item(scope: TenantScope, item: SharedItem) -> UUID | None:
    """Keeps an item whose signature was verified.

    None if the group's newest open epoch is another one, or the sender is not wanted there.
    """
    item_id = uuid4()
    result = scope.execute(
        _INSERT,
        id=item_id,
        group_id=UUID(bytes=item.group),
        sender_id=UUID(bytes=item.sender),
        sender_key_id=item.sender_key_id,
        epoch=item.epoch,
        group_public_key=item.group_public_key,
        body=item.to_bytes(),
    )
    return item_id if result.rowcount == 1 else None


def items_of(scope: TenantScope, member_id: UUID, group_id: UUID) -> list[StoredItem]:
    """The newest items of a group, oldest first; none for whom nothing may be served."""
    rows = scope.all(_LIST, member_id=member_id, group_id=group_id, most=MAX_ITEMS)
    return [StoredItem(row.id, bytes(row.body), row.created_at) for row in rows]
