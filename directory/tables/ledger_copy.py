"""What the ledger says, verified: grants with their envelopes, entries, parts and epochs."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    text,
)

from directory.tables.columns import identifier, metadata, octets, refers, time

grants = Table(
    "grants",
    metadata,
    identifier("tenant_id"),
    identifier("group_id"),
    identifier("member_id"),
    octets("key_id"),
    Column("epoch", Integer, nullable=False),
    # Incompressible: stored as it is (SET STORAGE EXTERNAL).
    octets("envelope"),
    octets("envelope_hash"),
    # Of the entry whose batch holds the grant, and the place in that batch.
    Column("position", BigInteger, nullable=False),
    Column("batch_index", Integer, nullable=False),
    # No foreign keys of its own: a grant is reached through memberships.grant_key_id alone, and a
    # check per row would cost bulk commits more than it protects. No second index that begins with
    # the group: the check of memberships.grant_key_id could be planned to walk it, for every row.
    PrimaryKeyConstraint("tenant_id", "group_id", "member_id", "key_id"),
)

missing_envelopes = Table(
    "missing_envelopes",
    metadata,
    identifier("tenant_id"),
    identifier("group_id"),
    identifier("member_id"),
    octets("key_id"),
    Column("epoch", Integer, nullable=False),
    time("since", nullable=False, now=True),
    PrimaryKeyConstraint("tenant_id", "group_id", "member_id", "key_id"),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    identifier("tenant_id"),
    Column("position", BigInteger, nullable=False),
    octets("entry"),
    # Root over all entries up to and including this one.
    octets("root"),
    identifier("group_id", nullable=True),
    PrimaryKeyConstraint("tenant_id", "position"),
    refers(["tenant_id"], "tenants", ["id"]),
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
    identifier("tenant_id"),
    Column("position", BigInteger, nullable=False),
    # groupseal.parts.PartKind; envelopes live in `grants`.
    Column("kind", SmallInteger, nullable=False),
    octets("body"),
    PrimaryKeyConstraint("tenant_id", "position", "kind"),
    refers(["tenant_id", "position"], "ledger_entries", ["tenant_id", "position"]),
)

epochs = Table(
    "epochs",
    metadata,
    identifier("tenant_id"),
    identifier("group_id"),
    Column("epoch", Integer, nullable=False),
    octets("public_key"),
    # Of the entry that opened it.
    Column("position", BigInteger, nullable=False),
    # The key itself says that no epoch exists twice.
    PrimaryKeyConstraint("tenant_id", "group_id", "epoch"),
    refers(["tenant_id", "group_id"], "groups", ["tenant_id", "id"]),
)
