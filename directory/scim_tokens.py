"""The SCIM tokens of a tenant, for whoever looks after them: several live at once, none readable.

What is shown of a token is its prefix; what is stored is its SHA-256 (`directory.credentials`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from directory.credentials import SHOWN_CHARACTERS, create_scim_token
from directory.errors import NotFoundError, TokenChoiceError
from directory.memberships import canonical_uuid
from directory.tenancy import TenantScope, tenant_sql

# The database's clock decides everywhere, as it does for the requests themselves.
_LIST = tenant_sql("""
    SELECT id, prefix, created_at, expires_at, last_used_at, revoked_at, now() AS now
    FROM scim_tokens WHERE tenant_id = :tenant_id
    ORDER BY created_at, id
""")

_EXPIRY = tenant_sql("""
    SELECT now() + CAST(:valid_for AS interval) AS expires_at
    FROM tenants WHERE id = :tenant_id
""")

# An earlier end stays: an overlap never makes a token live longer.
_END_AFTER = tenant_sql("""
    UPDATE scim_tokens
    SET expires_at = least(expires_at, now() + CAST(:overlap AS interval))
    WHERE tenant_id = :tenant_id AND id = :id
    RETURNING expires_at
""")

_REVOKE = tenant_sql("""
    UPDATE scim_tokens SET revoked_at = coalesce(revoked_at, now())
    WHERE tenant_id = :tenant_id AND id = :id
""")


@dataclass(frozen=True, slots=True)
class ScimToken:
    """What is known of a token. `state` is live, expired or revoked."""

    id: UUID
    prefix: str
    state: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A new token, which is seen this one time."""

    token: str = field(repr=False)
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Rotation:
    """A new token, and until when the one that it replaces goes on working."""

    new: NewToken
    old: ScimToken
    old_expires_at: datetime


def list_tokens(scope: TenantScope) -> list[ScimToken]:
    """Every token that the tenant ever had, the oldest first."""
    return [_token(row) for row in scope.all(_LIST)]


def issue(scope: TenantScope, valid_for: timedelta | None) -> NewToken:
    """One more token; it ends after `valid_for`, or not by itself."""
    expires_at = None
    if valid_for is not None:
        row = scope.one(_EXPIRY, valid_for=valid_for)
        if row is None:
            raise NotFoundError("there is no such tenant")
        expires_at = row.expires_at
    return NewToken(create_scim_token(scope, expires_at=expires_at), expires_at)


def rotate(
    scope: TenantScope, named: str | None, *, overlap: timedelta, valid_for: timedelta | None
) -> Rotation:
    """A new token; the old one works on for the overlap, so that nothing has to happen at once.

    Without `valid_for` the new one lives as long as the old one was made for. Raises NotFoundError
    or TokenChoiceError.
    """
    live = [token for token in list_tokens(scope) if token.state == "live"]
    old = find_token(live, named) if named is not None else _only(live)
    if valid_for is None and old.expires_at is not None:
        valid_for = old.expires_at - old.created_at
    new = issue(scope, valid_for)
    row = scope.one(_END_AFTER, id=old.id, overlap=overlap)
    if row is None:
        raise NotFoundError("the token has gone in the meantime")
    return Rotation(new, old, row.expires_at)


def revoke(scope: TenantScope, named: str) -> ScimToken:
    """Ends a token with the next request. Raises NotFoundError or TokenChoiceError."""
    token = find_token(list_tokens(scope), named)
    scope.execute(_REVOKE, id=token.id)
    return token


def find_token(tokens: Sequence[ScimToken], named: str) -> ScimToken:
    """The token with this id or prefix; a whole token names itself by its first characters.

    Raises NotFoundError or TokenChoiceError, whose texts never hold more than a prefix.
    """
    prefix = named[:SHOWN_CHARACTERS]
    identity = canonical_uuid(named)
    found = [one for one in tokens if str(one.id) == identity or one.prefix == prefix]
    if len(found) > 1:
        raise TokenChoiceError(f"{len(found)} tokens begin with {prefix!r}: name it by its id")
    if not found:
        raise NotFoundError(f"there is no such token {prefix!r}: see `groupseal scim-token list`")
    return found[0]


def _only(live: Sequence[ScimToken]) -> ScimToken:
    if len(live) != 1:
        shown = ", ".join(one.prefix for one in live) or "none"
        raise TokenChoiceError(f"name the token to replace; live tokens: {shown}")
    return live[0]


def _token(row: Row[Any]) -> ScimToken:
    state = "live"
    if row.expires_at is not None and row.expires_at <= row.now:
        state = "expired"
    if row.revoked_at is not None:
        state = "revoked"
    return ScimToken(
        row.id,
        row.prefix,
        state,
        row.created_at,
        row.expires_at,
        row.last_used_at,
        row.revoked_at,
    )
