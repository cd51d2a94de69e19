"""Tenants, their tokens, users, groups and memberships: the desired state."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from directory.tables.columns import count, flag, identifier, metadata, octets, refers, time, words

tenants = Table(
    "tenants",
    metadata,
    identifier("id"),
    words("name"),
    time("created_at", nullable=False, now=True),
    # 'new': no encryption service confirmed yet; 'connected': identity_document is pinned.
    Column("state", Text, nullable=False, server_default=text("'new'")),
    words("service_address", nullable=True),
    words("identity_document", nullable=True),
    identifier("organisation_id", nullable=True),
    octets("signing_public_key", nullable=True),
    # How the service decides, as last learned from the ledger: groupseal.trust.TrustSettings.
    words("trust_mode", nullable=True),
    words("issuer", nullable=True),
    words("client_id", nullable=True),
    words("subject_claim", nullable=True),
    words("membership_check", nullable=True),
    words("membership_source", nullable=True),
    # The verified copy of the ledger: entries held, their CompactRange, time of the last entry,
    # the newest verified head note and when it was last read.
    count("ledger_size"),
    octets("ledger_range", nullable=True),
    count("ledger_time_ms"),
    Column("ledger_head", Text, nullable=False, server_default=text("''")),
    time("ledger_read_at"),
    # Positions [restored_from, restored_until) are read again after a restore of this database.
    Column("restored_from", BigInteger),
    Column("restored_until", BigInteger),
    # A protocol error: nothing is done for this tenant until an operator acts.
    words("halted_reason", nullable=True),
    # Circuit breaker.
    count("service_failures", wide=False),
    time("service_down_since"),
    time("next_attempt_at", nullable=False, now=True),
    words("service_reason", nullable=True),
    # Up to where memberships.reason follows the service's holds (ListHolds).
    count("holds_version"),
    # What the service last said of itself; policy_fault NULL while the policy is in force.
    flag("frozen"),
    words("policy_fault", nullable=True),
    PrimaryKeyConstraint("id"),
    Index("tenants_name_key", "name", unique=True),
    Index("tenants_organisation_id_key", "organisation_id", unique=True),
    CheckConstraint("state IN ('new', 'connected')", name="state"),
    CheckConstraint(
        "state = 'new' OR (service_address IS NOT NULL AND identity_document IS NOT NULL"
        " AND organisation_id IS NOT NULL AND signing_public_key IS NOT NULL)",
        name="connected",
    ),
)

scim_tokens = Table(
    "scim_tokens",
    metadata,
    identifier("tenant_id"),
    identifier("id"),
    # SHA-256 of the token; the token itself is nowhere.
    octets("token_hash"),
    # First characters, for people to tell tokens apart.
    words("prefix"),
    time("created_at", nullable=False, now=True),
    time("expires_at"),
    time("last_used_at"),
    time("revoked_at"),
    PrimaryKeyConstraint("tenant_id", "id"),
    refers(["tenant_id"], "tenants", ["id"]),
    Index("scim_tokens_token_hash_key", "token_hash", unique=True),
)

users = Table(
    "users",
    metadata,
    identifier("tenant_id"),
    identifier("id"),
    words("external_id", nullable=True),
    words("user_name"),
    # Case-folded, in one normal form (directory.names).
    words("user_name_key"),
    Column("emails", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    words("primary_email_key", nullable=True),
    # Every address, case-folded.
    Column("email_keys", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    flag("active", default=True),
    words("display_name", nullable=True),
    # Every other attribute as the client sent it; never a password.
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    time("created_at", nullable=False, now=True),
    time("updated_at", nullable=False, now=True),
    # Tombstone of a DELETE: unknown to SCIM, inactive, kept for the ledger's sake.
    time("deleted_at"),
    PrimaryKeyConstraint("tenant_id", "id"),
    refers(["tenant_id"], "tenants", ["id"]),
    CheckConstraint("deleted_at IS NULL OR NOT active", name="deleted_is_inactive"),
    Index(
        "users_user_name_key",
        "tenant_id",
        "user_name_key",
        unique=True,
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index(
        "users_external_id_key",
        "tenant_id",
        "external_id",
        unique=True,
        postgresql_where=text("deleted_at IS NULL AND external_id IS NOT NULL"),
    ),
    Index("users_primary_email_idx", "tenant_id", "primary_email_key"),
    Index("users_email_keys_idx", "email_keys", postgresql_using="gin"),
    # With the id as text: a look-up by id must have no other index to choose than the primary key.
    Index(
        "users_listing_idx",
        "tenant_id",
        "created_at",
        text("(id::text)"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index(
        "users_display_name_idx",
        "tenant_id",
        text("lower(display_name)"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index(
        "users_manager_idx",
        "tenant_id",
        text(
            "lower(attributes"
            " #>> '{urn:ietf:params:scim:schemas:extension:enterprise:2.0:User,manager,value}')"
        ),
        postgresql_where=text("deleted_at IS NULL"),
    ),
)

groups = Table(
    "groups",
    metadata,
    identifier("tenant_id"),
    identifier("id"),
    words("display_name"),
    words("display_name_key"),
    words("external_id", nullable=True),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    time("created_at", nullable=False, now=True),
    time("updated_at", nullable=False, now=True),
    # Tombstone: 404 over SCIM, every membership desired=false.
    time("deleted_at"),
    # Dirty iff desired_version > reconciled_version.
    Column("desired_version", BigInteger, nullable=False, server_default=text("1")),
    count("reconciled_version"),
    # display_name as last told to the service.
    words("named_as", nullable=True),
    # One writer per group: a lease, and the number that later writes compare.
    words("lease_owner", nullable=True),
    time("lease_until"),
    count("fence"),
    time("next_attempt_at", nullable=False, now=True),
    count("attempts", wide=False),
    words("reason", nullable=True),
    time("dirty_since", now=True),
    # What the ledger copy says of the group; position of its last entry.
    Column("last_position", BigInteger),
    count("epoch", wide=False),
    flag("epoch_open"),
    octets("public_key", nullable=True),
    octets("roster_digest", nullable=True),
    PrimaryKeyConstraint("tenant_id", "id"),
    refers(["tenant_id"], "tenants", ["id"]),
    Index(
        "groups_display_name_key",
        "tenant_id",
        "display_name_key",
        unique=True,
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index("groups_external_id_idx", "tenant_id", "external_id"),
    Index(
        "groups_listing_idx",
        "tenant_id",
        "created_at",
        text("(id::text)"),
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index(
        "groups_dirty_idx",
        "tenant_id",
        "next_attempt_at",
        postgresql_where=text("desired_version > reconciled_version"),
    ),
)

memberships = Table(
    "memberships",
    metadata,
    identifier("tenant_id"),
    identifier("group_id"),
    identifier("user_id"),
    # The identity provider wants it.
    flag("desired"),
    # desired AND the user is active AND not held; kept by whoever changes one of the three.
    flag("wanted"),
    # The ledger says: on the service's roster.
    flag("rostered"),
    words("held_reason", nullable=True),
    # Why the service has not granted, as it last said: a refusal or a hold.
    words("reason", nullable=True),
    time("desired_at"),
    # The group's desired_version when `desired` last changed.
    count("desired_version"),
    # I2: a committed membership references its verified grant and envelope.
    octets("grant_key_id", nullable=True),
    # The member's name as pushed.
    words("display", nullable=True),
    PrimaryKeyConstraint("tenant_id", "group_id", "user_id"),
    refers(["tenant_id", "group_id"], "groups", ["tenant_id", "id"]),
    refers(["tenant_id", "user_id"], "users", ["tenant_id", "id"]),
    refers(
        ["tenant_id", "group_id", "user_id", "grant_key_id"],
        "grants",
        ["tenant_id", "group_id", "member_id", "key_id"],
    ),
    CheckConstraint("NOT wanted OR (desired AND held_reason IS NULL)", name="wanted"),
    Index(
        "memberships_differing_idx",
        "tenant_id",
        "group_id",
        postgresql_where=text("wanted <> rostered"),
    ),
    Index("memberships_user_idx", "tenant_id", "user_id"),
)

unresolved_members = Table(
    "unresolved_members",
    metadata,
    identifier("tenant_id"),
    identifier("group_id"),
    # A member value that names no user yet: the id or externalId of one to come.
    words("value"),
    time("since", nullable=False, now=True),
    PrimaryKeyConstraint("tenant_id", "group_id", "value"),
    refers(["tenant_id", "group_id"], "groups", ["tenant_id", "id"]),
    Index("unresolved_members_value_idx", "tenant_id", "value"),
)

deleted_groups = Table(
    "deleted_groups",
    metadata,
    identifier("tenant_id"),
    identifier("group_id"),
    time("deleted_at", nullable=False, now=True),
    # Whom the group had when it was deleted: one row, however many they are. `displays` and `held`
    # (held_reason) go with `members`, place by place.
    Column("members", ARRAY(Uuid), nullable=False),
    Column("displays", ARRAY(Text), nullable=False),
    Column("held", ARRAY(Text), nullable=False),
    Column("unresolved", ARRAY(Text), nullable=False),
    PrimaryKeyConstraint("tenant_id", "group_id"),
    refers(["tenant_id", "group_id"], "groups", ["tenant_id", "id"]),
    Index("deleted_groups_age_idx", "tenant_id", "deleted_at"),
)

timeline = Table(
    "timeline",
    metadata,
    identifier("tenant_id"),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    time("at", nullable=False, now=True),
    # directory.timeline.Kind
    words("kind"),
    identifier("group_id", nullable=True),
    identifier("user_id", nullable=True),
    words("reason", nullable=True),
    Column("detail", JSONB),
    # No foreign key, as in `grants`: a commit of thousands writes a row for each.
    PrimaryKeyConstraint("tenant_id", "id"),
    Index("timeline_membership_idx", "tenant_id", "group_id", "user_id", "id"),
)
