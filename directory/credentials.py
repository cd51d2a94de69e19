"""Bearer tokens and one-time codes: random, hashed at rest, and each worth one tenant only.

These are the only look-ups that are not scoped by a tenant: their answer is the tenant.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from directory.tenancy import TenantScope, tenant_sql

SCIM_PREFIX = "gs_scim_"
MEMBER_PREFIX = "gs_member_"
_TOKEN_BYTES = 32
SHOWN_CHARACTERS = len(SCIM_PREFIX) + 4
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_CODE_GROUPS, _CODE_GROUP_LENGTH = 4, 5
_LOOK_ALIKES = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})

_FIND_SCIM_TOKEN = text("""
    SELECT tenant_id, id, token_hash,
        coalesce(last_used_at < now() - interval '1 minute', true) AS use_is_old
    FROM scim_tokens
    WHERE token_hash = :token_hash AND revoked_at IS NULL
        AND (expires_at IS NULL OR expires_at > now())
""")

# Skips a token that another request notes just now: nobody waits here.
_NOTE_USE = text("""
    UPDATE scim_tokens SET last_used_at = now()
    WHERE token_hash = (
        SELECT token_hash FROM scim_tokens WHERE token_hash = :token_hash
        FOR UPDATE SKIP LOCKED
    )
""")

# Dead from the moment the user is deactivated.
_FIND_SESSION = text("""
    SELECT s.tenant_id, s.member_id, s.token_hash, u.user_name
    FROM member_sessions s JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.member_id
    WHERE s.token_hash = :token_hash AND s.revoked_at IS NULL AND s.expires_at > now()
        AND u.active
""")

# One statement, so that of two who try the same code one wins.
_USE_CODE = text("""
    UPDATE enrolment_codes c SET used_at = now()
    FROM users u
    WHERE c.code_hash = :code_hash AND c.used_at IS NULL AND c.expires_at > now()
        AND u.tenant_id = c.tenant_id AND u.id = c.member_id AND u.active
    RETURNING c.tenant_id, c.member_id, u.user_name
""")

_INSERT_SCIM_TOKEN = tenant_sql("""
    INSERT INTO scim_tokens (tenant_id, id, token_hash, prefix, expires_at)
    VALUES (:tenant_id, :id, :token_hash, :prefix, :expires_at)
""")

_INSERT_CODE = tenant_sql("""
    INSERT INTO enrolment_codes (tenant_id, code_hash, member_id, expires_at)
    VALUES (:tenant_id, :code_hash, :member_id, now() + :valid_for)
    RETURNING expires_at
""")

_INSERT_SESSION = tenant_sql("""
    INSERT INTO member_sessions (tenant_id, token_hash, member_id, expires_at)
    VALUES (:tenant_id, :token_hash, :member_id, now() + :valid_for)
""")


@dataclass(frozen=True, slots=True)
class ScimCaller:
    """Whom a SCIM token stands for, and whether its use should be noted again."""

    tenant_id: UUID
    token_hash: bytes
    use_is_old: bool


@dataclass(frozen=True, slots=True)
class MemberCaller:
    """Whom a member's token or code stands for."""

    tenant_id: UUID
    member_id: UUID
    user_name: str


def create_scim_token(scope: TenantScope, *, expires_at: datetime | None = None) -> str:
    """A new token for the tenant; this is the only time it is seen."""
    token = SCIM_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    scope.execute(
        _INSERT_SCIM_TOKEN,
        id=uuid4(),
        token_hash=_digest(token),
        prefix=token[:SHOWN_CHARACTERS],
        expires_at=expires_at,
    )
    return token


def scim_caller(connection: Connection, token: str) -> ScimCaller | None:
    """Whom a token stands for; None if it is unknown, revoked or expired."""
    digest = _digest(token)
    row = connection.execute(_FIND_SCIM_TOKEN, {"token_hash": digest}).one_or_none()
    # The index compares hashes, of which an attacker controls no prefix; this costs nothing more.
    if row is None or not secrets.compare_digest(bytes(row.token_hash), digest):
        return None
    return ScimCaller(row.tenant_id, digest, row.use_is_old)


def note_use(connection: Connection, caller: ScimCaller) -> None:
    """Notes that a token was used, for people to see which one may go."""
    connection.execute(_NOTE_USE, {"token_hash": caller.token_hash})


def member_caller(connection: Connection, token: str) -> MemberCaller | None:
    """Whom a session stands for; None if it is unknown or over, or the user inactive."""
    digest = _digest(token)
    row = connection.execute(_FIND_SESSION, {"token_hash": digest}).one_or_none()
    if row is None or not secrets.compare_digest(bytes(row.token_hash), digest):
        return None
    return MemberCaller(row.tenant_id, row.member_id, row.user_name)


def create_code(scope: TenantScope, member_id: UUID, valid_for: timedelta) -> tuple[str, datetime]:
    """A new one-time code (100 bits) for a user, and when it expires."""
    code = "-".join(
        "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_GROUP_LENGTH))
        for _ in range(_CODE_GROUPS)
    )
    row = scope.one(
        _INSERT_CODE, code_hash=_code_digest(code), member_id=member_id, valid_for=valid_for
    )
    if row is None:
        raise RuntimeError("INSERT … RETURNING gave no row")
    return code, row.expires_at


def use_code(connection: Connection, code: str) -> MemberCaller | None:
    """Uses a code up; None if it is unknown, used or expired, or the user inactive.

    The same work is done in every case.
    """
    row = connection.execute(_USE_CODE, {"code_hash": _code_digest(code)}).one_or_none()
    return None if row is None else MemberCaller(row.tenant_id, row.member_id, row.user_name)


def create_session(scope: TenantScope, member_id: UUID, valid_for: timedelta) -> str:
    """A new token for a member."""
    token = MEMBER_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    scope.execute(
        _INSERT_SESSION, token_hash=_digest(token), member_id=member_id, valid_for=valid_for
    )
    return token


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _code_digest(code: str) -> bytes:
    """Case, hyphens, blanks and look-alikes (O, I, L) do not count."""
    return _digest(code.upper().translate(_LOOK_ALIKES))
