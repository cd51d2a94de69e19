"""Device keys that members submit. The encryption service decides which of them it binds."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from directory.errors import DirectoryError
from directory.tenancy import TenantScope, tenant_sql
from directory.timeline import Kind, note
from groupseal.bindings import BindingRequest
from groupseal.reasons import Reason

MAX_KEYS = 20

_LOCK_MEMBER = tenant_sql("""
    SELECT id FROM users WHERE tenant_id = :tenant_id AND id = :member_id AND active FOR UPDATE
""")

_FIND = tenant_sql("""
    SELECT key_id, member_id, suite, state, reason, submitted_at FROM member_keys
    WHERE tenant_id = :tenant_id AND key_id = :key_id
""")

_LIST = tenant_sql("""
    SELECT key_id, member_id, suite, state, reason, submitted_at FROM member_keys
    WHERE tenant_id = :tenant_id AND member_id = :member_id ORDER BY submitted_at, key_id
""")

_INSERT = tenant_sql("""
    INSERT INTO member_keys (tenant_id, key_id, member_id, suite, hpke_public_key,
        signing_public_key, possession_proof, endorsing_key_id, endorsement)
    VALUES (:tenant_id, :key_id, :member_id, :suite, :hpke_public_key, :signing_public_key,
        :possession_proof, :endorsing_key_id, :endorsement)
    ON CONFLICT DO NOTHING
""")

# A refused key comes again with the endorsement that it lacked.
_SUBMIT_AGAIN = tenant_sql("""
    UPDATE member_keys SET state = 'submitted', reason = NULL, attempts = 0,
        next_attempt_at = now(), endorsing_key_id = :endorsing_key_id, endorsement = :endorsement
    WHERE tenant_id = :tenant_id AND key_id = :key_id AND member_id = :member_id
        AND state = 'refused' AND endorsement IS DISTINCT FROM :endorsement
""")

_SIGNING_KEY = tenant_sql("""
    SELECT signing_public_key FROM member_keys
    WHERE tenant_id = :tenant_id AND member_id = :member_id AND key_id = :key_id
        AND state = 'bound'
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
class Device:
    """A device key and what became of it."""

    key_id: bytes
    suite: int
    state: str
    reason: str | None
    submitted_at: datetime


def submit_key(
    scope: TenantScope,
    request: BindingRequest,
    possession_proof: bytes,
    endorsement: Endorsement | None,
) -> Device:
    """Keeps a key whose possession was proven; submitting it again changes nothing.

    Raises KeyRefusedError for another member's key, or for too many keys.
    """
    member_id = UUID(bytes=request.member)
    scope.one(_LOCK_MEMBER, member_id=member_id)
    known = scope.one(_FIND, key_id=request.key_id)
    if known is not None and known.member_id != member_id:
        raise KeyRefusedError(Reason.KEY_OF_ANOTHER_MEMBER)
    endorsed = {
        "endorsing_key_id": endorsement.key_id if endorsement else None,
        "endorsement": endorsement.signature if endorsement else None,
    }
    if known is None:
        if len(devices_of(scope, member_id)) >= MAX_KEYS:
            raise KeyRefusedError(Reason.TOO_MANY_DEVICES)
        scope.execute(
            _INSERT,
            key_id=request.key_id,
            member_id=member_id,
            suite=int(request.suite),
            hpke_public_key=request.hpke_public_key,
            signing_public_key=request.signing_public_key,
            possession_proof=possession_proof,
            **endorsed,
        )
        note(scope, Kind.KEY_SUBMITTED, user_id=member_id)
    elif endorsement is not None:
        scope.execute(_SUBMIT_AGAIN, key_id=request.key_id, member_id=member_id, **endorsed)
    row = scope.one(_FIND, key_id=request.key_id)
    if row is None or row.member_id != member_id:
        raise KeyRefusedError(Reason.KEY_OF_ANOTHER_MEMBER)
    return _device(row)


def devices_of(scope: TenantScope, member_id: UUID) -> list[Device]:
    """The member's keys, oldest first."""
    return [_device(row) for row in scope.all(_LIST, member_id=member_id)]


def bound_signing_key(scope: TenantScope, member_id: UUID, key_id: bytes) -> bytes | None:
    """The signing key of one of the member's bound devices."""
    found = scope.values(_SIGNING_KEY, member_id=member_id, key_id=key_id)
    return bytes(found[0]) if found else None


def _device(row: Row[Any]) -> Device:
    return Device(bytes(row.key_id), row.suite, row.state, row.reason, row.submitted_at)
