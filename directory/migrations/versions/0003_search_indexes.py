"""Indexes of searches: pages in a stable order from any place, and names and managers by value."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_UPGRADE = """
DROP INDEX users_listing_idx;
CREATE INDEX users_listing_idx
    ON users (tenant_id, created_at, (id::text)) WHERE deleted_at IS NULL;
CREATE INDEX users_display_name_idx
    ON users (tenant_id, lower(display_name)) WHERE deleted_at IS NULL;
CREATE INDEX users_manager_idx
    ON users (tenant_id, lower(attributes
        #>> '{urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,manager,value}'))
    WHERE deleted_at IS NULL;
DROP INDEX groups_listing_idx;
CREATE INDEX groups_listing_idx
    ON groups (tenant_id, created_at, (id::text)) WHERE deleted_at IS NULL;
"""

_DOWNGRADE = """
DROP INDEX users_manager_idx;
DROP INDEX users_display_name_idx;
DROP INDEX users_listing_idx;
CREATE INDEX users_listing_idx
    ON users (tenant_id, created_at) WHERE deleted_at IS NULL;
DROP INDEX groups_listing_idx;
CREATE INDEX groups_listing_idx
    ON groups (tenant_id, created_at) WHERE deleted_at IS NULL;
"""


def upgrade() -> None:
    """Replaces the listings' indexes and adds two."""
    op.get_bind().exec_driver_sql(_UPGRADE)


def downgrade() -> None:
    """Goes back to the indexes before."""
    op.get_bind().exec_driver_sql(_DOWNGRADE)
