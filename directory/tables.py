"""The vendor's database as SQLAlchemy tables. The tenant is in every primary and foreign key.

The migrations make these tables; a test compares the two. What a database can enforce of the
invariants is a constraint here.
"""

from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(referred_table_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

_NOW = text("now()")
_ZERO = text("0")
_FALSE = text("false")


def _id(name: str, *, nullable: bool = False) -> "Column[object]":
    return Column(name, Uuid, nullable=nullable)


def _time(name: str, *, nullable: bool = True, now: bool = False) -> "Column[object]":
    default = _NOW if now else None
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=default)


def _text(name: str, *, nullable: bool = False) -> "Column[object]":
    return Column(name, Text, nullable=nullable)


def _bytes(name: str, *, nullable: bool = False) -> "Column[object]":
    return Column(name, LargeBinary, nullable=nullable)


def _count(name: str, *, wide: bool = True) -> "Column[object]":
    kind = BigInteger if wide else Integer
    return Column(name, kind, nullable=False, server_default=_ZERO)


def _flag(name: str, default: bool = False) -> "Column[object]":
    shown = _FALSE if not default else text("true")
    return Column(name, Boolean, nullable=False, server_default=shown)


def _refers(columns: Sequence[str], table: str, to: Sequence[str]) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(columns, [f"{table}.{column}" for column in to])


tenants = Table(
    "tenants",
    metadata,
    _id("id"),
    _text("name"),
    _time("created_at", nullable=False, now=True),
    # 'new': no encryption service confirmed yet; 'connected': identity_document is pinned.
    Column("state", Text, nullable=False, server_default=text("'new'")),
    _text("service_address", nullable=True),
    _text("identity_document", nullable=True),
    _id("organisation_id", nullable=True),
    _bytes("signing_public_key", nullable=True),
    _text("trust_mode", nullable=True),
    # The verified copy of the ledger: entries held, their CompactRange, time of the last entry,
    # the newest verified head note and when it was last read.
    _count("ledger_size"),
    _bytes("ledger_range", nullable=True),
    _count("ledger_time_ms"),
    Column("ledger_head", Text, nullable=False, server_default=text("''")),
    _time("ledger_read_at"),
    # Positions [restored_from, restored_until) are read again after a restore of this database.
    Column("restored_from", BigInteger),
    Column("restored_until", BigInteger),
    # A protocol error: nothing is done for this tenant until an operator acts.
    _text("halted_reason", nullable=True),
    # Circuit breaker.
    _count("service_failures", wide=False),
    _time("service_down_since"),
    _time("next_attempt_at", nullable=False, now=True),
    _text("service_reason", nullable=True),
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
    _id("tenant_id"),
    _id("id"),
    # SHA-256 of the token; the token itself is nowhere.
    _bytes("token_hash"),
    # First characters, for people to tell tokens apart.
    _text("prefix"),
    _time("created_at", nullable=False, now=True),
    _time("expires_at"),
    _time("last_used_at"),
    _time("revoked_at"),
    PrimaryKeyConstraint("tenant_id", "id"),
    _refers(["tenant_id"], "tenants", ["id"]),
    Index("scim_tokens_token_hash_key", "token_hash", unique=True),
)

users = Table(
    "users",
    metadata,
    _id("tenant_id"),
    _id("id"),
    _text("external_id", nullable=True),
    _text("user_name"),
    # Case-folded, in one normal form (directory.names).
    _text("user_name_key"),
    Column("emails", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    _text("primary_email_key", nullable=True),
    # Every address, case-folded.
    Column("email_keys", ARRAY(Text), nullable=False, server_default=text("'{}'::text[]")),
    _flag("active", default=True),
    _text("display_name", nullable=True),
    # Every other attribute as the client sent it; never a password.
    Column("attributes", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    _time("created_at", nullable=False, now=True),
    _time("updated_at", nullable=False, now=True),
    # Tombstone of a DELETE: unknown to SCIM, inactive, kept for the ledger's sake.
    _time("deleted_at"),
    PrimaryKeyConstraint("tenant_id", "id"),
    _refers(["tenant_id"], "tenants", ["id"]),
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
    Index(
        "users_listing_idx",
        "tenant_id",
        "created_at",
        "id",
        postgresql_where=text("deleted_at IS NULL"),
    ),
)

groups = Table(
    "groups",
    metadata,
    _id("tenant_id"),
    _id("id"),
    _text("display_name"),
    _text("display_name_key"),
    _text("external_id", nullable=True),
    Column("version", BigInteger, nullable=False, server_default=text("1")),
    _time("created_at", nullable=False, now=True),
    _time("updated_at", nullable=False, now=True),
    # Tombstone: 404 over SCIM, every membership desired=false.
    _time("deleted_at"),
    # Dirty iff desired_version > reconciled_version.
    Column("desired_version", BigInteger, nullable=False, server_default=text("1")),
    _count("reconciled_version"),
    # display_name as last told to the service.
    _text("named_as", nullable=True),
    # One writer per group: a lease, and the number that later writes compare.
    _text("lease_owner", nullable=True),
    _time("lease_until"),
    _count("fence"),
    _time("next_attempt_at", nullable=False, now=True),
    _count("attempts", wide=False),
    _text("reason", nullable=True),
    _time("dirty_since", now=True),
    # What the ledger copy says of the group; position of its last entry.
    Column("last_position", BigInteger),
    _count("epoch", wide=False),
    _flag("epoch_open"),
    _bytes("public_key", nullable=True),
    _bytes("roster_digest", nullable=True),
    PrimaryKeyConstraint("tenant_id", "id"),
    _refers(["tenant_id"], "tenants", ["id"]),
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
        "id",
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
    _id("tenant_id"),
    _id("group_id"),
    _id("user_id"),
    # The identity provider wants it.
    _flag("desired"),
    # desired AND the user is active AND not held; kept by whoever changes one of the three.
    _flag("wanted"),
    # The ledger says: on the service's roster.
    _flag("rostered"),
    _text("held_reason", nullable=True),
    # Last refusal by the service.
    _text("reason", nullable=True),
    _time("desired_at"),
    # The group's desired_version when `desired` last changed.
    _count("desired_version"),
    # I2: a committed membership references its verified grant and envelope.
    _bytes("grant_key_id", nullable=True),
    # The member's name as pushed.
    _text("display", nullable=True),
    PrimaryKeyConstraint("tenant_id", "group_id", "user_id"),
    _refers(["tenant_id", "group_id"], "groups", ["tenant_id", "id"]),
    _refers(["tenant_id", "user_id"], "users", ["tenant_id", "id"]),
    _refers(
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
    _id("tenant_id"),
    _id("group_id"),
    # A member value that names no user yet: the id or externalId of one to come.
    _text("value"),
    _time("since", nullable=False, now=True),
    PrimaryKeyConstraint("tenant_id", "group_id", "value"),
    _refers(["tenant_id", "group_id"], "groups", ["tenant_id", "id"]),
    Index("unresolved_members_value_idx", "tenant_id", "value"),
)

member_keys = Table(
    "member_keys",
    metadata,
    _id("tenant_id"),
    _bytes("key_id"),
    _id("member_id"),
    Column("suite", SmallInteger, nullable=False),
    _bytes("hpke_public_key"),
    _bytes("signing_public_key"),
    _bytes("possession_proof"),
    # Signature of a key that is bound already, for another device.
    _bytes("endorsing_key_id", nullable=True),
    _bytes("endorsement", nullable=True),
    Column("state", Text, nullable=False, server_default=text("'submitted'")),
    _text("reason", nullable=True),
    # Of the entry that bound or refused it.
    Column("position", BigInteger),
    _time("submitted_at", nullable=False, now=True),
    _time("next_attempt_at", nullable=False, now=True),
    _count("attempts", wide=False),
    PrimaryKeyConstraint("tenant_id", "key_id"),
    _refers(["tenant_id", "member_id"], "users", ["tenant_id", "id"]),
    CheckConstraint("state IN ('submitted', 'bound', 'refused', 'unbound')", name="state"),
    CheckConstraint("length(key_id) = 32", name="key_id"),
    Index("member_keys_member_idx", "tenant_id", "member_id"),
    Index(
        "member_keys_submitted_idx",
        "tenant_id",
        "next_attempt_at",
        postgresql_where=text("state = 'submitted'"),
    ),
)

grants = Table(
    "grants",
    metadata,
    _id("tenant_id"),
    _id("group_id"),
    _id("member_id"),
    _bytes("key_id"),
    Column("epoch", Integer, nullable=False),
    # Incompressible: stored as it is (SET STORAGE EXTERNAL).
    _bytes("envelope"),
    _bytes("envelope_hash"),
    # Of the entry whose batch holds the grant, and the place in that batch.
    Column("position", BigInteger, nullable=False),
    Column("batch_index", Integer, nullable=False),
    # No foreign keys of its own: a grant is reached through memberships.grant_key_id alone, and a
    # check per row would cost bulk commits more than it protects.
    PrimaryKeyConstraint("tenant_id", "group_id", "member_id", "key_id"),
)

missing_envelopes = Table(
    "missing_envelopes",
    metadata,
    _id("tenant_id"),
    _id("group_id"),
    _id("member_id"),
    _bytes("key_id"),
    Column("epoch", Integer, nullable=False),
    _time("since", nullable=False, now=True),
    PrimaryKeyConstraint("tenant_id", "group_id", "member_id", "key_id"),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    _id("tenant_id"),
    Column("position", BigInteger, nullable=False),
    _bytes("entry"),
    # Root over all entries up to and including this one.
    _bytes("root"),
    _id("group_id", nullable=True),
    PrimaryKeyConstraint("tenant_id", "position"),
    _refers(["tenant_id"], "tenants", ["id"]),
    Index(
        "ledger_entries_group_idx",
        "tenant_id",
        "group_id",
        "position",
        postgresql_where=text("group_id IS NOT NULL"),
    ),
)

ledger_parts = Table(
    "ledger_parts",
    metadata,
    _id("tenant_id"),
    Column("position", BigInteger, nullable=False),
    # groupseal.parts.PartKind; envelopes live in `grants`.
    Column("kind", SmallInteger, nullable=False),
    _bytes("body"),
    PrimaryKeyConstraint("tenant_id", "position", "kind"),
    _refers(["tenant_id", "position"], "ledger_entries", ["tenant_id", "position"]),
)

epochs = Table(
    "epochs",
    metadata,
    _id("tenant_id"),
    _id("group_id"),
    Column("epoch", Integer, nullable=False),
    _bytes("public_key"),
    # Of the entry that opened it.
    Column("position", BigInteger, nullable=False),
    # The key itself says that no epoch exists twice.
    PrimaryKeyConstraint("tenant_id", "group_id", "epoch"),
    _refers(["tenant_id", "group_id"], "groups", ["tenant_id", "id"]),
)

enrolment_codes = Table(
    "enrolment_codes",
    metadata,
    _id("tenant_id"),
    _bytes("code_hash"),
    _id("member_id"),
    _time("expires_at", nullable=False),
    _time("used_at"),
    PrimaryKeyConstraint("tenant_id", "code_hash"),
    _refers(["tenant_id", "member_id"], "users", ["tenant_id", "id"]),
    Index("enrolment_codes_code_hash_key", "code_hash", unique=True),
)

member_sessions = Table(
    "member_sessions",
    metadata,
    _id("tenant_id"),
    _bytes("token_hash"),
    _id("member_id"),
    _time("created_at", nullable=False, now=True),
    _time("expires_at", nullable=False),
    _time("revoked_at"),
    PrimaryKeyConstraint("tenant_id", "token_hash"),
    _refers(["tenant_id", "member_id"], "users", ["tenant_id", "id"]),
    Index("member_sessions_token_hash_key", "token_hash", unique=True),
)

shared_items = Table(
    "shared_items",
    metadata,
    _id("tenant_id"),
    _id("id"),
    _id("group_id"),
    Column("epoch", Integer, nullable=False),
    _id("sender_id"),
    _bytes("sender_key_id"),
    # groupseal.shared_items.SharedItem.to_bytes: sealed to the group, signed by the sender.
    _bytes("body"),
    _time("created_at", nullable=False, now=True),
    PrimaryKeyConstraint("tenant_id", "id"),
    _refers(["tenant_id", "group_id"], "groups", ["tenant_id", "id"]),
    _refers(["tenant_id", "sender_id"], "users", ["tenant_id", "id"]),
    Index("shared_items_group_idx", "tenant_id", "group_id", "created_at", "id"),
)

timeline = Table(
    "timeline",
    metadata,
    _id("tenant_id"),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    _time("at", nullable=False, now=True),
    # directory.timeline.Kind
    _text("kind"),
    _id("group_id", nullable=True),
    _id("user_id", nullable=True),
    _text("reason", nullable=True),
    Column("detail", JSONB),
    # No foreign key, as in `grants`: a commit of thousands writes a row for each.
    PrimaryKeyConstraint("tenant_id", "id"),
    Index("timeline_membership_idx", "tenant_id", "group_id", "user_id", "id"),
)
