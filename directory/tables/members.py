"""What members bring and share: devices and their removal, codes, sessions and items."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

from directory.tables.columns import (
    count,
    flag,
    identifier,
    metadata,
    octets,
    refers,
    time,
    words,
)

member_keys = Table(
    "member_keys",
    metadata,
    identifier("tenant_id"),
    octets("key_id"),
    identifier("member_id"),
    Column("suite", SmallInteger, nullable=False),
    octets("hpke_public_key"),
    octets("signing_public_key"),
    octets("possession_proof"),
    # Signature of a key that is bound already, for another device.
    octets("endorsing_key_id", nullable=True),
    octets("endorsement", nullable=True),
    Column("state", Text, nullable=False, server_default=text("'submitted'")),
    words("reason", nullable=True),
    # HPKE-sealed to the organisation: unreadable here, and gone once the key is decided on.
    octets("sealed_evidence", nullable=True),
    time("evidence_submitted_at"),
    # Every other key of the member shall be removed.
    flag("replaces"),
    # What was submitted last has been offered to the service: only then is a refusal about it.
    flag("offered"),
    # Of the entry that bound or refused it.
    Column("position", BigInteger),
    time("submitted_at", nullable=False, now=True),
    time("next_attempt_at", nullable=False, now=True),
    count("attempts", wide=False),
    PrimaryKeyConstraint("tenant_id", "key_id"),
    refers(["tenant_id", "member_id"], "users", ["tenant_id", "id"]),
    CheckConstraint("state IN ('submitted', 'bound', 'refused', 'unbound')", name="state"),
    CheckConstraint("length(key_id) = 32", name="key_id"),
    # groupseal.evidence.MAX_SEALED_EVIDENCE
    CheckConstraint("length(sealed_evidence) <= 16384", name="sealed_evidence"),
    Index("member_keys_member_idx", "tenant_id", "member_id"),
    Index(
        "member_keys_submitted_idx",
        "tenant_id",
        "next_attempt_at",
        postgresql_where=text("state = 'submitted'"),
    ),
)

# A member's own requests to remove a key, for the service to decide on.
key_removals = Table(
    "key_removals",
    metadata,
    identifier("tenant_id"),
    octets("key_id"),
    identifier("member_id"),
    # The bound key of the same member that signed, and its signature.
    octets("signing_key_id"),
    octets("signature"),
    Column("state", Text, nullable=False, server_default=text("'submitted'")),
    words("reason", nullable=True),
    time("submitted_at", nullable=False, now=True),
    time("next_attempt_at", nullable=False, now=True),
    count("attempts", wide=False),
    PrimaryKeyConstraint("tenant_id", "key_id"),
    refers(["tenant_id", "key_id"], "member_keys", ["tenant_id", "key_id"]),
    CheckConstraint("state IN ('submitted', 'done', 'refused')", name="state"),
    Index(
        "key_removals_submitted_idx",
        "tenant_id",
        "next_attempt_at",
        postgresql_where=text("state = 'submitted'"),
    ),
)

enrolment_codes = Table(
    "enrolment_codes",
    metadata,
    identifier("tenant_id"),
    octets("code_hash"),
    identifier("member_id"),
    time("expires_at", nullable=False),
    time("used_at"),
    PrimaryKeyConstraint("tenant_id", "code_hash"),
    refers(["tenant_id", "member_id"], "users", ["tenant_id", "id"]),
    Index("enrolment_codes_code_hash_key", "code_hash", unique=True),
)

member_sessions = Table(
    "member_sessions",
    metadata,
    identifier("tenant_id"),
    octets("token_hash"),
    identifier("member_id"),
    time("created_at", nullable=False, now=True),
    time("expires_at", nullable=False),
    time("revoked_at"),
    PrimaryKeyConstraint("tenant_id", "token_hash"),
    refers(["tenant_id", "member_id"], "users", ["tenant_id", "id"]),
    Index("member_sessions_token_hash_key", "token_hash", unique=True),
)

shared_items = Table(
    "shared_items",
    metadata,
    identifier("tenant_id"),
    identifier("id"),
    identifier("group_id"),
    Column("epoch", Integer, nullable=False),
    identifier("sender_id"),
    octets("sender_key_id"),
    # groupseal.shared_items.SharedItem.to_bytes: sealed to the group, signed by the sender.
    octets("body"),
    time("created_at", nullable=False, now=True),
    PrimaryKeyConstraint("tenant_id", "id"),
    refers(["tenant_id", "group_id"], "groups", ["tenant_id", "id"]),
    refers(["tenant_id", "sender_id"], "users", ["tenant_id", "id"]),
    Index("shared_items_group_idx", "tenant_id", "group_id", "created_at", "id"),
)
