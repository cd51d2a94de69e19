"""The statements by which the ledger copy grows. Rows travel as arrays: one statement each."""

from sqlalchemy import text

from directory.tenancy import tenant_sql

# One applier at a time; held until the transaction ends.
LOCK_LEDGER = text("SELECT pg_advisory_xact_lock(:key)")

STATE = text("""
    SELECT ledger_size, ledger_range, ledger_time_ms, ledger_head
    FROM tenants WHERE id = :tenant_id
""")

# What the copy says of groups; one that no entry speaks of has no last position.
GROUP_STATES = tenant_sql("""
    SELECT id, last_position, epoch, epoch_open, public_key, roster_digest FROM groups
    WHERE tenant_id = :tenant_id AND id = ANY(CAST(:ids AS uuid[])) AND last_position IS NOT NULL
""")

# Groups of the entries, those that may get something to do because a key was bound, and those
# whose memberships change because one was unbound.
LOCK_GROUPS = tenant_sql("""
    SELECT id FROM groups
    WHERE tenant_id = :tenant_id AND (id = ANY(CAST(:ids AS uuid[])) OR id IN (
        SELECT group_id FROM memberships
        WHERE tenant_id = :tenant_id AND user_id = ANY(CAST(:members AS uuid[]))
            AND (wanted OR rostered)))
    ORDER BY id FOR NO KEY UPDATE
""")

# Compare and set on the size, with what a restore of this database is recognised by.
MOVE_ON = text("""
    UPDATE tenants SET
        ledger_size = :size, ledger_range = :range, ledger_time_ms = :time_ms,
        ledger_head = :head, ledger_read_at = now(),
        restored_from = CASE WHEN CAST(:restored AS bigint) IS NULL THEN restored_from
            ELSE least(restored_from, :before) END,
        restored_until = greatest(restored_until, CAST(:restored AS bigint))
    WHERE id = :tenant_id AND ledger_size = :before
    RETURNING restored_until
""")

SET_TRUST = tenant_sql("""
    UPDATE tenants SET trust_mode = :mode, issuer = :issuer, client_id = :client_id,
        subject_claim = :subject_claim, membership_check = :membership_check,
        membership_source = :membership_source
    WHERE id = :tenant_id
""")

KEEP_ENTRIES = tenant_sql("""
    INSERT INTO ledger_entries (tenant_id, position, entry, root, group_id)
    SELECT :tenant_id, e.* FROM unnest(CAST(:positions AS bigint[]), CAST(:entries AS bytea[]),
        CAST(:roots AS bytea[]), CAST(:groups AS uuid[])) AS e
""")

KEEP_PARTS = tenant_sql("""
    INSERT INTO ledger_parts (tenant_id, position, kind, body)
    SELECT :tenant_id, p.* FROM unnest(
        CAST(:positions AS bigint[]), CAST(:kinds AS smallint[]), CAST(:bodies AS bytea[])) AS p
""")

PROJECT_GROUPS = tenant_sql("""
    UPDATE groups g SET last_position = s.last_position, epoch = s.epoch, epoch_open = s.epoch_open,
        public_key = s.public_key, roster_digest = s.roster_digest
    FROM unnest(CAST(:ids AS uuid[]), CAST(:positions AS bigint[]), CAST(:epochs AS integer[]),
        CAST(:opens AS boolean[]), CAST(:public_keys AS bytea[]), CAST(:digests AS bytea[]))
        AS s (id, last_position, epoch, epoch_open, public_key, roster_digest)
    WHERE g.tenant_id = :tenant_id AND g.id = s.id
""")

# The primary key refuses an epoch that exists already.
KEEP_EPOCHS = tenant_sql("""
    INSERT INTO epochs (tenant_id, group_id, epoch, public_key, position)
    SELECT :tenant_id, e.* FROM unnest(CAST(:groups AS uuid[]), CAST(:epochs AS integer[]),
        CAST(:public_keys AS bytea[]), CAST(:positions AS bigint[])) AS e
""")

# A group that the ledger knows and this (restored) database does not: nobody is wanted in it, so
# it is dirty until the service has emptied it.
BURY_UNKNOWN_GROUPS = tenant_sql("""
    INSERT INTO groups (tenant_id, id, display_name, display_name_key, deleted_at)
    SELECT :tenant_id, id, '', '', now() FROM unnest(CAST(:ids AS uuid[])) AS id
    ON CONFLICT DO NOTHING
""")

# The same for members: unknown to SCIM, inactive, there so that the ledger can be projected.
BURY_UNKNOWN_USERS = tenant_sql("""
    INSERT INTO users (tenant_id, id, user_name, user_name_key, active, deleted_at)
    SELECT :tenant_id, s.id, s.id::text, s.id::text, false, now()
    FROM unnest(CAST(:ids AS uuid[])) AS s (id)
    WHERE NOT EXISTS (SELECT FROM users u WHERE u.tenant_id = :tenant_id AND u.id = s.id)
    ON CONFLICT DO NOTHING
""")

BIND_KEYS = tenant_sql("""
    INSERT INTO member_keys (tenant_id, key_id, member_id, suite, hpke_public_key,
        signing_public_key, possession_proof, state, position)
    SELECT :tenant_id, k.key_id, k.member_id, k.suite, k.hpke_public_key, k.signing_public_key,
        k.possession_proof, 'bound', k.position
    FROM unnest(CAST(:key_ids AS bytea[]), CAST(:members AS uuid[]), CAST(:suites AS smallint[]),
        CAST(:hpke_public_keys AS bytea[]), CAST(:signing_public_keys AS bytea[]),
        CAST(:proofs AS bytea[]), CAST(:positions AS bigint[]))
        AS k (key_id, member_id, suite, hpke_public_key, signing_public_key, possession_proof,
            position)
    ON CONFLICT (tenant_id, key_id) DO UPDATE SET
        member_id = excluded.member_id, suite = excluded.suite,
        hpke_public_key = excluded.hpke_public_key,
        signing_public_key = excluded.signing_public_key,
        possession_proof = excluded.possession_proof, state = 'bound', reason = NULL,
        position = excluded.position, sealed_evidence = NULL
""")

# What was submitted since, and not offered yet, is not what was refused.
REFUSE_KEY = tenant_sql("""
    UPDATE member_keys SET state = 'refused', reason = :reason, position = :position,
        sealed_evidence = NULL
    WHERE tenant_id = :tenant_id AND key_id = :key_id AND member_id = :member
        AND (state = 'refused' OR (state = 'submitted' AND offered))
""")

# With it ends the request to remove it.
UNBIND_KEY = tenant_sql("""
    WITH removed AS (
        UPDATE key_removals SET state = 'done', reason = NULL
        WHERE tenant_id = :tenant_id AND key_id = :key_id
    )
    UPDATE member_keys SET state = 'unbound', reason = :reason, position = :position,
        sealed_evidence = NULL
    WHERE tenant_id = :tenant_id AND key_id = :key_id AND member_id = :member
""")

# Where the unbound key's grant made a membership committed, another device's may.
PREFER_ANOTHER_KEY = tenant_sql("""
    UPDATE memberships m SET grant_key_id = (
        SELECT g.key_id FROM grants g
        WHERE g.tenant_id = :tenant_id AND g.group_id = m.group_id AND g.member_id = m.user_id
            AND g.key_id <> :key_id
        ORDER BY g.epoch DESC LIMIT 1)
    WHERE m.tenant_id = :tenant_id AND m.user_id = :member AND m.grant_key_id = :key_id
""")

# A member without any key is held for nothing; with another one, the hold may be that one's.
DROP_REASONS_WITHOUT_KEY = tenant_sql("""
    UPDATE memberships SET reason = NULL
    WHERE tenant_id = :tenant_id AND user_id = :member AND rostered AND reason IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM member_keys k
            WHERE k.tenant_id = :tenant_id AND k.member_id = :member AND k.state = 'bound')
""")

# A hold of another of the member's keys was not listed while this one was granted, and its version
# does not change by that: everything is listed once more.
LIST_HOLDS_ANEW = text("UPDATE tenants SET holds_version = 0 WHERE id = :tenant_id")

# An envelope for a key that nothing is sealed to any more is missed by nobody.
DROP_MISSING_OF_KEY = tenant_sql("""
    DELETE FROM missing_envelopes
    WHERE tenant_id = :tenant_id AND member_id = :member AND key_id = :key_id
        AND group_id IN (
            SELECT group_id FROM memberships WHERE tenant_id = :tenant_id AND user_id = :member)
""")

DROP_GRANTS_OF_KEY = tenant_sql("""
    DELETE FROM grants g USING memberships m
    WHERE m.tenant_id = :tenant_id AND m.user_id = :member AND g.tenant_id = :tenant_id
        AND g.group_id = m.group_id AND g.member_id = :member AND g.key_id = :key_id
""")

LEAVE = tenant_sql("""
    WITH gone AS (
        UPDATE memberships m SET rostered = false, grant_key_id = NULL, reason = NULL
        FROM unnest(CAST(:groups AS uuid[]), CAST(:users AS uuid[])) AS s (group_id, user_id)
        WHERE m.tenant_id = :tenant_id AND m.group_id = s.group_id AND m.user_id = s.user_id
        RETURNING m.group_id, m.user_id
    )
    INSERT INTO timeline (tenant_id, kind, group_id, user_id)
    SELECT :tenant_id, 'removed', group_id, user_id FROM gone
""")

DROP_GRANTS = tenant_sql("""
    DELETE FROM grants g
    USING unnest(CAST(:groups AS uuid[]), CAST(:users AS uuid[])) AS s (group_id, user_id)
    WHERE g.tenant_id = :tenant_id AND g.group_id = s.group_id AND g.member_id = s.user_id
""")

DROP_MISSING = tenant_sql("""
    DELETE FROM missing_envelopes e
    USING unnest(CAST(:groups AS uuid[]), CAST(:users AS uuid[])) AS s (group_id, user_id)
    WHERE e.tenant_id = :tenant_id AND e.group_id = s.group_id AND e.member_id = s.user_id
""")

UNKNOWN_MEMBERSHIPS = tenant_sql("""
    SELECT s.group_id, s.user_id
    FROM unnest(CAST(:groups AS uuid[]), CAST(:users AS uuid[])) AS s (group_id, user_id)
    WHERE NOT EXISTS (SELECT FROM memberships m WHERE m.tenant_id = :tenant_id
        AND m.group_id = s.group_id AND m.user_id = s.user_id)
""")

MAKE_MEMBERSHIPS = tenant_sql("""
    INSERT INTO memberships (tenant_id, group_id, user_id)
    SELECT :tenant_id, s.* FROM unnest(CAST(:groups AS uuid[]), CAST(:users AS uuid[])) AS s
    ON CONFLICT DO NOTHING
""")

# The newest grant of a pair replaces the one before.
KEEP_GRANTS = tenant_sql("""
    INSERT INTO grants (tenant_id, group_id, member_id, key_id, epoch, envelope, envelope_hash,
        position, batch_index)
    SELECT :tenant_id, g.* FROM unnest(CAST(:groups AS uuid[]), CAST(:users AS uuid[]),
        CAST(:key_ids AS bytea[]), CAST(:epochs AS integer[]), CAST(:envelopes AS bytea[]),
        CAST(:hashes AS bytea[]), CAST(:positions AS bigint[]), CAST(:indexes AS integer[])) AS g
    ON CONFLICT (tenant_id, group_id, member_id, key_id) DO UPDATE SET
        epoch = excluded.epoch, envelope = excluded.envelope,
        envelope_hash = excluded.envelope_hash, position = excluded.position,
        batch_index = excluded.batch_index
""")

KEEP_MISSING = tenant_sql("""
    INSERT INTO missing_envelopes (tenant_id, group_id, member_id, key_id, epoch)
    SELECT :tenant_id, e.* FROM unnest(CAST(:groups AS uuid[]), CAST(:users AS uuid[]),
        CAST(:key_ids AS bytea[]), CAST(:epochs AS integer[])) AS e
    ON CONFLICT (tenant_id, group_id, member_id, key_id) DO UPDATE SET epoch = excluded.epoch
""")

# What was missing and is there now.
DROP_FOUND = tenant_sql("""
    DELETE FROM missing_envelopes e USING grants g
    WHERE e.tenant_id = :tenant_id AND e.group_id = ANY(CAST(:ids AS uuid[]))
        AND g.tenant_id = :tenant_id AND g.group_id = e.group_id AND g.member_id = e.member_id
        AND g.key_id = e.key_id AND g.epoch >= e.epoch
""")

# Rows that a rotation need not touch are not touched: those whose grant was replaced in place.
COMMIT_MEMBERSHIPS = tenant_sql("""
    WITH changed AS (
        UPDATE memberships m SET
            rostered = m.rostered OR s.joined,
            grant_key_id = coalesce(s.key_id, m.grant_key_id),
            reason = CASE WHEN s.key_id IS NULL THEN m.reason END
        FROM unnest(CAST(:groups AS uuid[]), CAST(:users AS uuid[]), CAST(:joined AS boolean[]),
            CAST(:key_ids AS bytea[])) AS s (group_id, user_id, joined, key_id)
        WHERE m.tenant_id = :tenant_id AND m.group_id = s.group_id AND m.user_id = s.user_id
            AND ((s.joined AND NOT m.rostered) OR (s.key_id IS NOT NULL AND (
                m.grant_key_id IS NULL OR m.reason IS NOT NULL
                OR (m.grant_key_id <> s.key_id AND EXISTS (
                    SELECT FROM grants old JOIN grants new
                        ON new.tenant_id = old.tenant_id AND new.group_id = old.group_id
                        AND new.member_id = old.member_id AND new.key_id = s.key_id
                    WHERE old.tenant_id = :tenant_id AND old.group_id = m.group_id
                        AND old.member_id = m.user_id AND old.key_id = m.grant_key_id
                        AND old.epoch < new.epoch)))))
        RETURNING m.group_id, m.user_id, m.wanted, s.key_id
    )
    INSERT INTO timeline (tenant_id, kind, group_id, user_id)
    SELECT :tenant_id, 'committed', group_id, user_id FROM changed
    WHERE key_id IS NOT NULL AND wanted
""")

# A key was bound whose member is wanted where nothing is granted to it: the service shall look.
WAITING_FOR_KEYS = tenant_sql("""
    SELECT DISTINCT m.group_id
    FROM unnest(CAST(:members AS uuid[]), CAST(:key_ids AS bytea[])) AS s (member_id, key_id)
    JOIN memberships m ON m.tenant_id = :tenant_id AND m.user_id = s.member_id AND m.wanted
    JOIN groups g ON g.tenant_id = :tenant_id AND g.id = m.group_id
        AND g.desired_version = g.reconciled_version
    WHERE NOT EXISTS (
        SELECT FROM grants
        WHERE grants.tenant_id = :tenant_id AND grants.group_id = m.group_id
            AND grants.member_id = s.member_id AND grants.key_id = s.key_id)
""")

# What the ledger says of a group without being told to, and differs from what is wanted.
DIFFERING = tenant_sql("""
    SELECT id FROM groups
    WHERE tenant_id = :tenant_id AND id = ANY(CAST(:ids AS uuid[]))
        AND desired_version = reconciled_version AND EXISTS (
            SELECT FROM memberships m
            WHERE m.tenant_id = :tenant_id AND m.group_id = groups.id AND m.wanted <> m.rostered)
""")

HOLD = tenant_sql("""
    WITH held AS (
        UPDATE memberships m SET held_reason = 'held_after_restore', wanted = false
        FROM unnest(CAST(:groups AS uuid[]), CAST(:users AS uuid[])) AS s (group_id, user_id)
        WHERE m.tenant_id = :tenant_id AND m.group_id = s.group_id AND m.user_id = s.user_id
            AND m.desired AND m.held_reason IS NULL
        RETURNING m.group_id, m.user_id
    )
    INSERT INTO timeline (tenant_id, kind, group_id, user_id, reason)
    SELECT :tenant_id, 'held', group_id, user_id, 'held_after_restore' FROM held
""")

# Held by an earlier chunk, and let in again later in what is read again.
RELEASE = tenant_sql("""
    WITH released AS (
        UPDATE memberships m SET held_reason = NULL, wanted = m.desired AND u.active
        FROM unnest(CAST(:groups AS uuid[]), CAST(:users AS uuid[])) AS s (group_id, user_id)
        JOIN users u ON u.tenant_id = :tenant_id AND u.id = s.user_id
        WHERE m.tenant_id = :tenant_id AND m.group_id = s.group_id AND m.user_id = s.user_id
            AND m.held_reason = 'held_after_restore'
        RETURNING m.group_id, m.user_id
    )
    INSERT INTO timeline (tenant_id, kind, group_id, user_id)
    SELECT :tenant_id, 'released', group_id, user_id FROM released
""")

NOTE_EVENTS = tenant_sql("""
    INSERT INTO timeline (tenant_id, kind, group_id, user_id, reason, detail)
    SELECT :tenant_id, e.kind, e.group_id, e.user_id, e.reason, CAST(e.detail AS jsonb)
    FROM unnest(CAST(:kinds AS text[]), CAST(:groups AS uuid[]), CAST(:users AS uuid[]),
        CAST(:reasons AS text[]), CAST(:details AS text[]))
        AS e (kind, group_id, user_id, reason, detail)
""")

# Rows that neither side speaks of any more.
DROP_FORGOTTEN = tenant_sql("""
    DELETE FROM memberships m
    USING unnest(CAST(:groups AS uuid[]), CAST(:users AS uuid[])) AS s (group_id, user_id)
    WHERE m.tenant_id = :tenant_id AND m.group_id = s.group_id AND m.user_id = s.user_id
        AND NOT m.desired AND NOT m.rostered
""")
