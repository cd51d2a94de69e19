"""Device keys that members submit. The encryption service decides which of them it binds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from directory.errors import DirectoryError
from directory.tenancy import TenantScope, tenant_sql
from directory.timeline import Kind, note
from groupseal.bindings import BindingRequest
from groupseal.reasons import Reason

# Keys that may still be sealed to, and keys in all.
MAX_KEYS = 20
MAX_KEPT_KEYS = 200

_LOCK_MEMBER = tenant_sql("""
    SELECT id FROM users WHERE tenant_id = :tenant_id AND id = :member_id AND active FOR UPDATE
""")

_COLUMNS = """
    SELECT k.key_id, k.member_id, k.suite, k.hpke_public_key, k.signing_public_key,
        k.possession_proof, k.replaces, k.state, k.reason, k.submitted_at, r.state AS removal,
        r.reason AS removal_reason
    FROM member_keys k
    LEFT JOIN key_removals r ON r.tenant_id = k.tenant_id AND r.key_id = k.key_id
    WHERE k.tenant_id = :tenant_id
"""

_FIND = tenant_sql(" ".join((_COLUMNS, "AND k.key_id = :key_id")))

_LIST = tenant_sql(
    " ".join((_COLUMNS, "AND k.member_id = :member_id ORDER BY k.submitted_at, k.key_id"))
)

_COUNT = tenant_sql("""
    SELECT count(*) AS kept, count(*) FILTER (WHERE state <> 'unbound') AS usable
    FROM member_keys WHERE tenant_id = :tenant_id AND member_id = :member_id
""")

_INSERT = tenant_sql("""
    INSERT INTO member_keys (tenant_id, key_id, member_id, suite, hpke_public_key,
        signing_public_key, possession_proof, replaces, endorsing_key_id, endorsement,
        sealed_evidence, evidence_submitted_at)
    VALUES (:tenant_id, :key_id, :member_id, :suite, :hpke_public_key, :signing_public_key,
        :possession_proof, :replaces, :endorsing_key_id, :endorsement,
        CAST(:sealed_evidence AS bytea),
        CASE WHEN CAST(:sealed_evidence AS bytea) IS NOT NULL THEN now() END)
    ON CONFLICT DO NOTHING
""")

# A refused or waiting key comes again with what it lacked. Evidence and endorsements are for one
# kind of request: none of them is kept when a device shall be replaced instead of added.
_SUBMIT_AGAIN = tenant_sql("""
    UPDATE member_keys k SET state = 'submitted', reason = NULL, attempts = 0,
        next_attempt_at = now(), offered = false,
        replaces = :replaces, possession_proof = :possession_proof,
        endorsing_key_id = CASE WHEN CAST(:endorsement AS bytea) IS NOT NULL
                OR k.replaces <> :replaces
            THEN CAST(:endorsing_key_id AS bytea) ELSE k.endorsing_key_id END,
        endorsement = CASE WHEN CAST(:endorsement AS bytea) IS NOT NULL
                OR k.replaces <> :replaces
            THEN CAST(:endorsement AS bytea) ELSE k.endorsement END,
        sealed_evidence = CASE WHEN CAST(:sealed_evidence AS bytea) IS NOT NULL
                OR k.replaces <> :replaces
            THEN CAST(:sealed_evidence AS bytea) ELSE k.sealed_evidence END,
        evidence_submitted_at = CASE
            WHEN CAST(:sealed_evidence AS bytea) IS NOT NULL THEN now()
            WHEN k.replaces = :replaces THEN k.evidence_submitted_at END
    WHERE tenant_id = :tenant_id AND key_id = :key_id AND member_id = :member_id
        AND state IN ('submitted', 'refused') AND (
            k.replaces <> :replaces
            OR (CAST(:endorsement AS bytea) IS NOT NULL
                AND k.endorsement IS DISTINCT FROM CAST(:endorsement AS bytea))
            OR (CAST(:sealed_evidence AS bytea) IS NOT NULL
                AND k.sealed_evidence IS DISTINCT FROM CAST(:sealed_evidence AS bytea)))
""")

_SIGNING_KEY = tenant_sql("""
    SELECT signing_public_key FROM member_keys
    WHERE tenant_id = :tenant_id AND member_id = :member_id AND key_id = :key_id
        AND state = 'bound'
""")

# A refused removal may be asked for again; one that is on its way or done stays as it is.
_REMOVE = tenant_sql("""
    INSERT INTO key_removals (tenant_id, key_id, member_id, signing_key_id, signature)
    VALUES (:tenant_id, :key_id, :member_id, :signing_key_id, :signature)
    ON CONFLICT (tenant_id, key_id) DO UPDATE SET state = 'submitted', reason = NULL,
        signing_key_id = excluded.signing_key_id, signature = excluded.signature,
        submitted_at = now(), next_attempt_at = now(), attempts = 0
    WHERE key_removals.state = 'refused'
""")


class KeyRefusedError(DirectoryError):
    """A key that is not taken; `reason` is the code."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.remedy)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Endorsement:
    """A bound key's signature on the request to bind another one of the same member."""

    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Vouching:
    """What shall convince the service that the key is the member's. It alone verifies it."""

    endorsement: Endorsement | None = None
    # HPKE-sealed to the organisation's evidence key.
    sealed_evidence: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Device:
    """A device key and what became of it."""

    key_id: bytes
    suite: int
    hpke_public_key: bytes
    signing_public_key: bytes
    # A signature that only the device can make: with it another device submits its endorsement.
    possession_proof: bytes
    replaces: bool
    state: str
    reason: str | None
    submitted_at: datetime
    # Of the member's request to remove it, where there is one: submitted, done or refused.
    removal: str | None
    removal_reason: str | None


def submit_key(
    scope: TenantScope, request: BindingRequest, possession_proof: bytes, vouching: Vouching
) -> Device:
    """Keeps a key whose possession was proven; submitting it again changes nothing.

    With new evidence or another endorsement, a refused or waiting key is offered again. Raises
    KeyRefusedError for another member's key, or for too many keys.
    """
    member_id = UUID(bytes=request.member)
    scope.one(_LOCK_MEMBER, member_id=member_id)
    known = scope.one(_FIND, key_id=request.key_id)
    if known is not None and known.member_id != member_id:
        raise KeyRefusedError(Reason.KEY_OF_ANOTHER_MEMBER)
    submission = _submission(possession_proof, request, vouching)
    if known is None:
        _refuse_too_many(scope, member_id)
        scope.execute(
            _INSERT,
            key_id=request.key_id,
            member_id=member_id,
            suite=int(request.suite),
            hpke_public_key=request.hpke_public_key,
            signing_public_key=request.signing_public_key,
            **submission,
        )
        note(scope, Kind.KEY_SUBMITTED, user_id=member_id)
    else:
        scope.execute(_SUBMIT_AGAIN, key_id=request.key_id, member_id=member_id, **submission)
    row = scope.one(_FIND, key_id=request.key_id)
    if row is None or row.member_id != member_id:
        raise KeyRefusedError(Reason.KEY_OF_ANOTHER_MEMBER)
    return _device(row)


def devices_of(scope: TenantScope, member_id: UUID) -> list[Device]:
    """The member's keys, oldest first."""
    return [_device(row) for row in scope.all(_LIST, member_id=member_id)]


def device_of(scope: TenantScope, member_id: UUID, key_id: bytes) -> Device | None:
    """One of the member's keys; None for an unknown one and for another member's."""
    row = scope.one(_FIND, key_id=key_id)
    return None if row is None or row.member_id != member_id else _device(row)


def request_removal(scope: TenantScope, member_id: UUID, key_id: bytes, by: Endorsement) -> None:
    """Keeps a member's signed request to remove one of its bound keys, for the service."""
    scope.execute(
        _REMOVE,
        key_id=key_id,
        member_id=member_id,
        signing_key_id=by.key_id,
        signature=by.signature,
    )


def bound_signing_key(scope: TenantScope, member_id: UUID, key_id: bytes) -> bytes | None:
    """The signing key of one of the member's bound devices."""
    found = scope.values(_SIGNING_KEY, member_id=member_id, key_id=key_id)
    return bytes(found[0]) if found else None


def _refuse_too_many(scope: TenantScope, member_id: UUID) -> None:
    counted = scope.execute(_COUNT, member_id=member_id).one()
    if counted.usable >= MAX_KEYS or counted.kept >= MAX_KEPT_KEYS:
        raise KeyRefusedError(Reason.TOO_MANY_DEVICES)


def _submission(
    possession_proof: bytes, request: BindingRequest, vouching: Vouching
) -> Mapping[str, object]:
    endorsement = vouching.endorsement
    return {
        "possession_proof": possession_proof,
        "replaces": request.replaces,
        "endorsing_key_id": endorsement.key_id if endorsement else None,
        "endorsement": endorsement.signature if endorsement else None,
        "sealed_evidence": vouching.sealed_evidence,
    }


def _device(row: Row[Any]) -> Device:
    return Device(
        bytes(row.key_id),
        row.suite,
        bytes(row.hpke_public_key),
        bytes(row.signing_public_key),
        bytes(row.possession_proof),
        row.replaces,
        row.state,
        row.reason,
        row.submitted_at,
        row.removal,
        row.removal_reason,
    )
