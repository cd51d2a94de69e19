"""What a deleted group held, for `groupseal groups restore`."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UPGRADE = """
CREATE TABLE deleted_groups (
    tenant_id uuid NOT NULL,
    group_id uuid NOT NULL,
    deleted_at timestamptz DEFAULT now() NOT NULL,
    members uuid[] NOT NULL,
    displays text[] NOT NULL,
    held text[] NOT NULL,
    unresolved text[] NOT NULL,
    CONSTRAINT deleted_groups_pkey PRIMARY KEY (tenant_id, group_id),
    CONSTRAINT deleted_groups_groups_fkey
        FOREIGN KEY (tenant_id, group_id)
        REFERENCES groups (tenant_id, id)
);
CREATE INDEX deleted_groups_age_idx
    ON deleted_groups (tenant_id, deleted_at);
"""


def upgrade() -> None:
    """Creates it."""
    op.get_bind().exec_driver_sql(_UPGRADE)


def downgrade() -> None:
    """Only a deleted group's roster would be lost."""
    op.get_bind().exec_driver_sql("DROP TABLE deleted_groups")
