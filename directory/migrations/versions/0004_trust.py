"""Trust as the ledger says it, evidence on its way to the service, removals of keys, holds."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_UPGRADE = """
ALTER TABLE tenants
    ADD COLUMN issuer text,
    ADD COLUMN client_id text,
    ADD COLUMN subject_claim text,
    ADD COLUMN membership_check text,
    ADD COLUMN membership_source text,
    ADD COLUMN holds_version bigint DEFAULT 0 NOT NULL,
    ADD COLUMN frozen boolean DEFAULT false NOT NULL,
    ADD COLUMN policy_fault text;
ALTER TABLE member_keys
    ADD COLUMN sealed_evidence bytea,
    ADD COLUMN evidence_submitted_at timestamptz,
    ADD COLUMN replaces boolean DEFAULT false NOT NULL,
    ADD COLUMN offered boolean DEFAULT false NOT NULL,
    ADD CONSTRAINT member_keys_sealed_evidence_check CHECK (length(sealed_evidence) <= 16384);
ALTER TABLE member_keys ALTER COLUMN sealed_evidence SET STORAGE EXTERNAL;
UPDATE member_keys SET offered = true;
CREATE TABLE key_removals (
    tenant_id uuid NOT NULL,
    key_id bytea NOT NULL,
    member_id uuid NOT NULL,
    signing_key_id bytea NOT NULL,
    signature bytea NOT NULL,
    state text DEFAULT 'submitted' NOT NULL,
    reason text,
    submitted_at timestamptz DEFAULT now() NOT NULL,
    next_attempt_at timestamptz DEFAULT now() NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    CONSTRAINT key_removals_pkey PRIMARY KEY (tenant_id, key_id),
    CONSTRAINT key_removals_member_keys_fkey
        FOREIGN KEY (tenant_id, key_id)
        REFERENCES member_keys (tenant_id, key_id),
    CONSTRAINT key_removals_state_check CHECK (state IN ('submitted', 'done', 'refused'))
);
CREATE INDEX key_removals_submitted_idx
    ON key_removals (tenant_id, next_attempt_at) WHERE state = 'submitted';
"""

_DOWNGRADE = """
DROP TABLE key_removals;
ALTER TABLE member_keys
    DROP CONSTRAINT member_keys_sealed_evidence_check,
    DROP COLUMN offered,
    DROP COLUMN replaces,
    DROP COLUMN evidence_submitted_at,
    DROP COLUMN sealed_evidence;
ALTER TABLE tenants
    DROP COLUMN policy_fault,
    DROP COLUMN frozen,
    DROP COLUMN holds_version,
    DROP COLUMN membership_source,
    DROP COLUMN membership_check,
    DROP COLUMN subject_claim,
    DROP COLUMN client_id,
    DROP COLUMN issuer;
"""


def upgrade() -> None:
    """Adds them. What the ledger said before is known: settings came into it with this version."""
    op.get_bind().exec_driver_sql(_UPGRADE)


def downgrade() -> None:
    """Evidence on its way and unanswered removals are lost: members send them again."""
    op.get_bind().exec_driver_sql(_DOWNGRADE)
