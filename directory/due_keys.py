"""Members' keys, and requests to remove one, that the tenant's encryption service has to decide on.

The ledger says what became of them; what is written here is what it does not say: that a key was
unfit, or that the service lets it wait.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import TextClause

from directory.tenancy import TenantScope, tenant_sql

# Marked as offered: only then is a refusal about what was submitted last. Materialised, because a
# join may run a subquery several times, each with a limit of its own. In order at the end, which no
# join keeps: a key that another one vouches for comes after that one, or it would find it unbound.
_CLAIM_KEYS = tenant_sql("""
    WITH due AS MATERIALIZED (
        SELECT key_id FROM member_keys
        WHERE tenant_id = :tenant_id AND state = 'submitted' AND next_attempt_at <= now()
        ORDER BY next_attempt_at, key_id LIMIT :limit
        FOR NO KEY UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE member_keys k SET offered = true
        FROM due, users u
        WHERE k.tenant_id = :tenant_id AND k.key_id = due.key_id
            AND u.tenant_id = :tenant_id AND u.id = k.member_id
        RETURNING k.key_id, k.member_id, k.suite, k.hpke_public_key, k.signing_public_key,
            k.possession_proof, k.endorsing_key_id, k.endorsement, k.sealed_evidence, k.replaces,
            k.attempts, k.submitted_at, u.external_id, u.user_name
    )
    SELECT * FROM claimed ORDER BY endorsing_key_id IS NOT NULL, submitted_at, key_id
""")

_DUE_REMOVALS = tenant_sql("""
    SELECT key_id, member_id, signing_key_id, signature, attempts FROM key_removals
    WHERE tenant_id = :tenant_id AND state = 'submitted' AND next_attempt_at <= now()
    ORDER BY next_attempt_at, key_id LIMIT :limit
""")

# Outcomes of keys without an entry in the ledger. What was submitted since is not touched.
_REFUSE_UNFIT_KEYS = tenant_sql("""
    UPDATE member_keys k SET state = 'refused', reason = s.reason, sealed_evidence = NULL
    FROM unnest(CAST(:key_ids AS bytea[]), CAST(:reasons AS text[])) AS s (key_id, reason)
    WHERE k.tenant_id = :tenant_id AND k.key_id = s.key_id AND k.state = 'submitted' AND k.offered
""")

_POSTPONE_KEYS = tenant_sql("""
    UPDATE member_keys k SET reason = s.reason, attempts = k.attempts + 1,
        next_attempt_at = now() + s.after
    FROM unnest(CAST(:key_ids AS bytea[]), CAST(:reasons AS text[]), CAST(:afters AS interval[]))
        AS s (key_id, reason, after)
    WHERE k.tenant_id = :tenant_id AND k.key_id = s.key_id AND k.state = 'submitted' AND k.offered
""")

_REFUSE_REMOVALS = tenant_sql("""
    UPDATE key_removals r SET state = 'refused', reason = s.reason
    FROM unnest(CAST(:key_ids AS bytea[]), CAST(:reasons AS text[])) AS s (key_id, reason)
    WHERE r.tenant_id = :tenant_id AND r.key_id = s.key_id AND r.state = 'submitted'
""")

# Done is what the ledger calls unbound, and nothing else.
_POSTPONE_REMOVALS = tenant_sql("""
    UPDATE key_removals r SET
        state = CASE WHEN k.state = 'unbound' THEN 'done' ELSE r.state END,
        reason = CASE WHEN k.state = 'unbound' THEN NULL ELSE s.reason END,
        attempts = r.attempts + 1, next_attempt_at = now() + s.after
    FROM unnest(CAST(:key_ids AS bytea[]), CAST(:reasons AS text[]), CAST(:afters AS interval[]))
        AS s (key_id, reason, after)
    JOIN member_keys k ON k.tenant_id = :tenant_id AND k.key_id = s.key_id
    WHERE r.tenant_id = :tenant_id AND r.key_id = s.key_id AND r.state = 'submitted'
""")


@dataclass(frozen=True, slots=True)
class SubmittedKey:
    """A member's key that the service has not decided on yet."""

    key_id: bytes
    member: bytes
    suite: int
    hpke_public_key: bytes
    signing_public_key: bytes
    possession_proof: bytes
    endorsing_key_id: bytes | None
    endorsement: bytes | None
    sealed_evidence: bytes | None = field(default=None, repr=False)
    replaces: bool = False
    # Who the member is by the identity provider's pushes.
    external_id: str = ""
    user_name: str = ""
    # How often the service let it wait.
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class RequestedRemoval:
    """A member's request to remove a key, signed by one of the member's bound keys."""

    key_id: bytes
    member: bytes
    signing_key_id: bytes
    signature: bytes
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Decisions:
    """Key id -> what is to become of it: refused, or to be asked again after that time."""

    refused: Mapping[bytes, str] = field(default_factory=dict)
    waiting: Mapping[bytes, tuple[str, timedelta]] = field(default_factory=dict)


def claim_keys(scope: TenantScope, limit: int) -> list[SubmittedKey]:
    """The submitted keys that are due."""
    return [
        SubmittedKey(
            row.key_id,
            row.member_id.bytes,
            row.suite,
            row.hpke_public_key,
            row.signing_public_key,
            row.possession_proof,
            row.endorsing_key_id,
            row.endorsement,
            row.sealed_evidence,
            row.replaces,
            row.external_id or "",
            row.user_name,
            row.attempts,
        )
        for row in scope.all(_CLAIM_KEYS, limit=limit)
    ]


def due_removals(scope: TenantScope, limit: int) -> list[RequestedRemoval]:
    """The requests to remove a key that are due."""
    return [
        RequestedRemoval(
            row.key_id, row.member_id.bytes, row.signing_key_id, row.signature, row.attempts
        )
        for row in scope.all(_DUE_REMOVALS, limit=limit)
    ]


def decide_keys(scope: TenantScope, keys: Decisions) -> None:
    """What becomes of offered keys that got no ledger entry.

    What the ledger has decided on, or was submitted since, is not touched.
    """
    _decide(scope, keys, _REFUSE_UNFIT_KEYS, _POSTPONE_KEYS)


def decide_removals(scope: TenantScope, removals: Decisions) -> None:
    """What becomes of requests to remove a key; done are those that the ledger has carried out."""
    _decide(scope, removals, _REFUSE_REMOVALS, _POSTPONE_REMOVALS)


def _decide(
    scope: TenantScope, decisions: Decisions, refuse: TextClause, postpone_: TextClause
) -> None:
    if decisions.refused:
        scope.execute(
            refuse, key_ids=list(decisions.refused), reasons=list(decisions.refused.values())
        )
    if decisions.waiting:
        reasons = [reason for reason, _ in decisions.waiting.values()]
        afters = [after for _, after in decisions.waiting.values()]
        scope.execute(postpone_, key_ids=list(decisions.waiting), reasons=reasons, afters=afters)
