"""The statements of `directory.due_work`."""

from sqlalchemy import text

from directory.tenancy import tenant_sql

# Ends with the transaction.
NEED_NOT_BE_DURABLE = text("SET LOCAL synchronous_commit = off")

# A tenant that may be worked for: connected, not halted, breaker closed or due for a try.
WORKABLE = text("""
    SELECT organisation_id, signing_public_key, identity_document, service_address,
        ledger_range, ledger_time_ms, ledger_head, holds_version, service_failures,
        service_down_since,
        (ledger_read_at IS NULL OR ledger_read_at <= now() - CAST(:refresh AS interval))
            AS refresh_due,
        EXISTS (
            SELECT FROM member_keys k
            WHERE k.tenant_id = :tenant_id AND k.state = 'submitted' AND k.next_attempt_at <= now())
        OR EXISTS (
            SELECT FROM key_removals r
            WHERE r.tenant_id = :tenant_id AND r.state = 'submitted' AND r.next_attempt_at <= now())
            AS keys_due
    FROM tenants
    WHERE id = :tenant_id AND state = 'connected' AND halted_reason IS NULL
        AND next_attempt_at <= now()
""")

# Every tenant for which something is due.
TENANTS_WITH_WORK = text("""
    SELECT id FROM tenants t
    WHERE state = 'connected' AND halted_reason IS NULL AND next_attempt_at <= now() AND (
        ledger_read_at IS NULL OR ledger_read_at <= now() - CAST(:refresh AS interval)
        OR EXISTS (
            SELECT FROM groups g
            WHERE g.tenant_id = t.id AND g.desired_version > g.reconciled_version
                AND g.next_attempt_at <= now())
        OR EXISTS (
            SELECT FROM member_keys k
            WHERE k.tenant_id = t.id AND k.state = 'submitted' AND k.next_attempt_at <= now())
        OR EXISTS (
            SELECT FROM key_removals r
            WHERE r.tenant_id = t.id AND r.state = 'submitted' AND r.next_attempt_at <= now()))
    ORDER BY id
""")

# The same of one tenant.
HAS_WORK = text("""
    SELECT EXISTS (
        SELECT FROM tenants t
        WHERE id = :tenant_id AND state = 'connected' AND halted_reason IS NULL
            AND next_attempt_at <= now() AND (
                ledger_read_at IS NULL OR ledger_read_at <= now() - CAST(:refresh AS interval)
                OR EXISTS (
                    SELECT FROM groups g
                    WHERE g.tenant_id = t.id AND g.desired_version > g.reconciled_version
                        AND g.next_attempt_at <= now())
                OR EXISTS (
                    SELECT FROM member_keys k
                    WHERE k.tenant_id = t.id AND k.state = 'submitted'
                        AND k.next_attempt_at <= now())
                OR EXISTS (
                    SELECT FROM key_removals r
                    WHERE r.tenant_id = t.id AND r.state = 'submitted'
                        AND r.next_attempt_at <= now())))
""")

# Groups whose rows somebody else changes at the moment are skipped: they are due again after it.
# Materialised, because a join may run a subquery several times, each with a limit of its own.
CLAIM = tenant_sql("""
    WITH due AS MATERIALIZED (
        SELECT id FROM groups
        WHERE tenant_id = :tenant_id AND desired_version > reconciled_version
            AND next_attempt_at <= now()
        ORDER BY next_attempt_at LIMIT :limit
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE groups g SET lease_owner = :owner, lease_until = now() + CAST(:lease AS interval),
        fence = g.fence + 1
    FROM due
    WHERE g.tenant_id = :tenant_id AND g.id = due.id
    RETURNING g.id, g.desired_version, g.fence, g.attempts, g.display_name, g.external_id,
        g.named_as, g.deleted_at, g.last_position, g.epoch, g.epoch_open, g.public_key,
        g.roster_digest, EXISTS (
            SELECT FROM missing_envelopes e WHERE e.tenant_id = :tenant_id AND e.group_id = g.id
        ) AS needs_envelopes
""")

# What has to be done for many groups at once; ids one after another, 16 bytes each.
DIFFERENCES = tenant_sql("""
    SELECT group_id,
        string_agg(uuid_send(user_id), ''::bytea ORDER BY user_id) FILTER (WHERE wanted) AS added,
        string_agg(uuid_send(user_id), ''::bytea ORDER BY user_id) FILTER (WHERE NOT wanted)
            AS removed
    FROM (
        SELECT group_id, user_id, wanted FROM memberships
        WHERE tenant_id = :tenant_id AND group_id = ANY(CAST(:ids AS uuid[]))
            AND wanted <> rostered
        ORDER BY group_id LIMIT :most
    ) AS differing
    GROUP BY group_id
""")

NEEDED_ENVELOPES = tenant_sql("""
    SELECT group_id, member_id, key_id FROM missing_envelopes
    WHERE tenant_id = :tenant_id AND group_id = ANY(CAST(:ids AS uuid[]))
    ORDER BY group_id, member_id, key_id LIMIT 10000
""")

COUNT_ROSTERED = tenant_sql("""
    SELECT count(*) FROM memberships
    WHERE tenant_id = :tenant_id AND group_id = ANY(CAST(:ids AS uuid[])) AND rostered
""")

# Not for those who hold the open epoch by now: the ledger knows better than an older answer.
# Their grant is looked up for each row by its key, whatever the planner may think of joins.
REFUSE_MEMBERS = tenant_sql("""
    UPDATE memberships m SET reason = s.reason
    FROM unnest(CAST(:groups AS uuid[]), CAST(:users AS uuid[]), CAST(:reasons AS text[]))
        AS s (group_id, user_id, reason)
    JOIN groups g ON g.tenant_id = :tenant_id AND g.id = s.group_id
    WHERE m.tenant_id = :tenant_id AND m.group_id = s.group_id AND m.user_id = s.user_id
        AND m.reason IS DISTINCT FROM s.reason
        AND (m.grant_key_id IS NULL OR NOT g.epoch_open OR g.epoch > (
            SELECT r.epoch FROM grants r
            WHERE r.tenant_id = :tenant_id AND r.group_id = m.group_id
                AND r.member_id = m.user_id AND r.key_id = m.grant_key_id))
""")

SETTLE = tenant_sql("""
    UPDATE groups g SET
        reconciled_version = greatest(g.reconciled_version, s.version),
        named_as = coalesce(s.name, g.named_as), attempts = 0,
        reason = CASE WHEN g.desired_version > s.version THEN g.reason END,
        dirty_since = CASE WHEN g.desired_version > s.version THEN g.dirty_since END,
        lease_owner = NULL, lease_until = NULL
    FROM unnest(CAST(:ids AS uuid[]), CAST(:fences AS bigint[]), CAST(:versions AS bigint[]),
        CAST(:positions AS bigint[]), CAST(:names AS text[]))
        AS s (id, fence, version, position, name)
    WHERE g.tenant_id = :tenant_id AND g.id = s.id AND g.fence = s.fence
        AND coalesce(g.last_position, -1) >= coalesce(s.position, -1)
        AND NOT EXISTS (
            SELECT FROM memberships m
            WHERE m.tenant_id = :tenant_id AND m.group_id = g.id AND m.wanted <> m.rostered
                AND NOT (m.wanted AND m.reason IS NOT NULL))
        AND NOT EXISTS (
            SELECT FROM missing_envelopes e
            WHERE e.tenant_id = :tenant_id AND e.group_id = g.id)
    RETURNING g.id
""")

# A push that came in meanwhile (another version) has set its own time and cleared the reason.
POSTPONE = tenant_sql("""
    UPDATE groups g SET
        next_attempt_at = CASE WHEN g.desired_version > s.version THEN g.next_attempt_at
            ELSE now() + s.after END,
        attempts = CASE WHEN g.desired_version > s.version OR NOT s.failed THEN g.attempts
            ELSE g.attempts + 1 END,
        reason = CASE WHEN g.desired_version > s.version THEN g.reason ELSE s.reason END,
        named_as = coalesce(s.name, g.named_as),
        lease_owner = NULL, lease_until = NULL
    FROM unnest(CAST(:ids AS uuid[]), CAST(:fences AS bigint[]), CAST(:versions AS bigint[]),
        CAST(:afters AS interval[]), CAST(:reasons AS text[]), CAST(:fails AS boolean[]),
        CAST(:names AS text[]))
        AS s (id, fence, version, after, reason, failed, name)
    WHERE g.tenant_id = :tenant_id AND g.id = s.id AND g.fence = s.fence
""")

RECORD_FAILURE = text("""
    WITH before AS (
        SELECT id, service_down_since FROM tenants WHERE id = :tenant_id FOR NO KEY UPDATE
    ), changed AS (
        UPDATE tenants t SET service_failures = t.service_failures + 1,
            service_down_since = coalesce(t.service_down_since, now()),
            next_attempt_at = now() + CAST(:after AS interval), service_reason = :reason
        FROM before WHERE t.id = before.id
        RETURNING t.id, before.service_down_since IS NULL AS went_down
    )
    INSERT INTO timeline (tenant_id, kind, reason)
    SELECT id, 'service_down', :reason FROM changed WHERE went_down
""")

RECORD_RECOVERY = text("""
    WITH changed AS (
        UPDATE tenants SET service_failures = 0, service_down_since = NULL,
            service_reason = NULL, next_attempt_at = now()
        WHERE id = :tenant_id AND service_down_since IS NOT NULL
        RETURNING id
    )
    INSERT INTO timeline (tenant_id, kind) SELECT id, 'service_up' FROM changed
""")

# Written only where it is news.
NOTE_SERVICE_STATE = text("""
    UPDATE tenants SET frozen = :frozen, policy_fault = :policy_fault
    WHERE id = :tenant_id AND (frozen <> :frozen
        OR policy_fault IS DISTINCT FROM CAST(:policy_fault AS text))
""")

HALT = text("""
    WITH changed AS (
        UPDATE tenants SET halted_reason = :reason, service_reason = :reason,
            service_down_since = coalesce(service_down_since, now())
        WHERE id = :tenant_id AND halted_reason IS NULL
        RETURNING id
    )
    INSERT INTO timeline (tenant_id, kind, reason)
    SELECT id, 'service_down', :reason FROM changed
""")
