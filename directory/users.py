"""Users as the identity provider pushes them, and what becoming inactive does to memberships."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Row
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.expression import TextClause, bindparam

from directory.errors import ContendedError, NotFoundError, TakenError, VersionMismatchError
from directory.groups import bump, constraint_of, lock_groups, touch
from directory.memberships import groups_awaiting, join_groups, lock_values, take_awaited
from directory.names import name_key
from directory.tenancy import TenantScope, tenant_sql
from directory.timeline import Kind, note


def _with_documents(clause: TextClause) -> TextClause:
    return clause.bindparams(bindparam("emails", type_=JSONB), bindparam("attributes", type_=JSONB))


_READ = tenant_sql("""
    SELECT id, external_id, user_name, emails, active, display_name, attributes, version,
        created_at, updated_at
    FROM users WHERE tenant_id = :tenant_id AND id = :id AND deleted_at IS NULL
""")

_LOCK = tenant_sql("""
    SELECT id, external_id, user_name, emails, active, display_name, attributes, version,
        created_at, updated_at
    FROM users WHERE tenant_id = :tenant_id AND id = :id AND deleted_at IS NULL
    FOR NO KEY UPDATE
""")

_LOCK_BY_EXTERNAL_ID = tenant_sql("""
    SELECT id, external_id, user_name, emails, active, display_name, attributes, version,
        created_at, updated_at
    FROM users WHERE tenant_id = :tenant_id AND external_id = :external_id
        AND external_id IS NOT NULL AND deleted_at IS NULL
    FOR NO KEY UPDATE
""")

# No row where the externalId is taken. With the groups that await one of the names, unlocked: most
# users are awaited by none, and a statement of its own would be one more for each of them.
_INSERT = _with_documents(
    tenant_sql("""
    WITH made AS (
        INSERT INTO users (tenant_id, id, external_id, user_name, user_name_key, emails,
            primary_email_key, email_keys, active, display_name, attributes)
        VALUES (:tenant_id, :id, :external_id, :user_name, :user_name_key, :emails,
            :primary_email_key, :email_keys, :active, :display_name, :attributes)
        ON CONFLICT (tenant_id, external_id)
            WHERE deleted_at IS NULL AND external_id IS NOT NULL DO NOTHING
        RETURNING id, external_id, user_name, emails, active, display_name, attributes, version,
            created_at, updated_at
    )
    SELECT made.*, ARRAY(
        SELECT DISTINCT group_id FROM unresolved_members
        WHERE tenant_id = :tenant_id AND value IN (made.id::text, made.external_id)
    ) AS awaiting
    FROM made
""")
)

_UPDATE = _with_documents(
    tenant_sql("""
    UPDATE users SET external_id = :external_id, user_name = :user_name,
        user_name_key = :user_name_key, emails = :emails,
        primary_email_key = :primary_email_key, email_keys = :email_keys, active = :active,
        display_name = :display_name, attributes = :attributes,
        version = version + 1, updated_at = now()
    WHERE tenant_id = :tenant_id AND id = :id
    RETURNING id, external_id, user_name, emails, active, display_name, attributes, version,
        created_at, updated_at
""")
)

_BURY = tenant_sql("""
    UPDATE users SET active = false, deleted_at = now(), version = version + 1, updated_at = now()
    WHERE tenant_id = :tenant_id AND id = :id
""")

# The groups that lose a user who becomes inactive; unlocked, to be locked in order.
_GROUPS_WANTING = tenant_sql("""
    SELECT group_id FROM memberships
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND wanted
""")

# The groups that get a user back.
_GROUPS_MISSING = tenant_sql("""
    SELECT group_id FROM memberships
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND desired AND NOT wanted
        AND held_reason IS NULL
""")

_GROUPS_DESIRING = tenant_sql("""
    SELECT group_id FROM memberships
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND desired
""")

_NOT_WANTED = tenant_sql("""
    UPDATE memberships SET wanted = false
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND wanted
    RETURNING group_id
""")

_WANTED_AGAIN = tenant_sql("""
    UPDATE memberships SET wanted = true
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND desired AND NOT wanted
        AND held_reason IS NULL AND group_id = ANY(:group_ids)
    RETURNING group_id
""")

_NOT_DESIRED = tenant_sql("""
    UPDATE memberships SET desired = false, wanted = false, held_reason = NULL,
        reason = CASE WHEN rostered THEN reason END, desired_at = now()
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND desired
    RETURNING group_id
""")


@dataclass(frozen=True, slots=True)
class UserContent:
    """What a client may set. `attributes` is everything that has no column, as it was sent."""

    user_name: str
    external_id: str | None = None
    emails: Sequence[Mapping[str, Any]] = ()
    active: bool = True
    display_name: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def primary_email_key(self) -> str | None:
        """The primary address, or else the first."""
        addresses = sorted(self.emails, key=lambda email: email.get("primary") is not True)
        return next((name_key(e["value"]) for e in addresses if e.get("value")), None)

    def email_keys(self) -> list[str]:
        """Every address, alone and behind its type, as filters look for them."""
        keys = set()
        for email in self.emails:
            if email.get("value"):
                key = name_key(email["value"])
                keys.add(key)
                if email.get("type"):
                    keys.add(typed_email_key(email["type"], email["value"]))
        return sorted(keys)


def typed_email_key(kind: str, address: str) -> str:
    """The key of an address of one type; no address begins with a blank."""
    return f"{name_key(kind)} {name_key(address)}"


@dataclass(frozen=True, slots=True)
class User:
    """A live user."""

    id: UUID
    content: UserContent
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class UserChange:
    """A user after a change: whether anything differs, whether a group is dirty, and whether
    the user was not there before.
    """

    user: User
    changed: bool
    dirty: bool
    created: bool = False


def user_from(row: Row[Any]) -> User:
    """From a row with the columns of `users`."""
    content = UserContent(
        user_name=row.user_name,
        external_id=row.external_id,
        emails=row.emails,
        active=row.active,
        display_name=row.display_name,
        attributes=row.attributes,
    )
    return User(row.id, content, row.version, row.created_at, row.updated_at)


def read_user(scope: TenantScope, user_id: UUID) -> User:
    """Raises NotFoundError."""
    return _found(scope.one(_READ, id=user_id), user_id)


def lock_user(scope: TenantScope, user_id: UUID, *, version: int | None = None) -> User:
    """Locks a live user for a change. Raises NotFoundError or VersionMismatchError."""
    user = _found(scope.one(_LOCK, id=user_id), user_id)
    if version is not None and user.version != version:
        raise VersionMismatchError(
            f"the user is at version {user.version}, not {version}: read it again"
        )
    return user


def create_user(scope: TenantScope, content: UserContent) -> UserChange:
    """Creates a user, or takes back the inactive one with exactly the same externalId.

    Groups that were pushed with this externalId before get their member. Raises TakenError.
    """
    if content.external_id is not None:
        lock_values(scope, [content.external_id])
    row = _write(scope, _INSERT, uuid4(), content)
    if row is None:
        return _take_back(scope, content)
    user = user_from(row)
    return UserChange(user, True, _join_awaiting(scope, user, row.awaiting), created=True)


def update_user(scope: TenantScope, user: User, content: UserContent) -> UserChange:
    """Gives a locked user another content. Costs nothing if it is the same. Raises TakenError."""
    if _document(content) == _document(user.content):
        return UserChange(user, False, False)
    renamed = content.external_id is not None and content.external_id != user.content.external_id
    if renamed and content.external_id is not None:
        lock_values(scope, [content.external_id])
    after = _found(_write(scope, _UPDATE, user.id, content), user.id)
    dirty = False
    if content.active != user.content.active:
        dirty = _set_wanted(scope, user.id, content.active)
    if renamed:
        dirty |= _join_awaiting(scope, after, groups_awaiting(scope, _awaited_as(after)))
    return UserChange(after, True, dirty)


def delete_user(scope: TenantScope, user_id: UUID, *, version: int | None = None) -> bool:
    """Deactivates a user for good and ends his memberships; he is unknown to SCIM from then on.

    Returns whether a group is dirty. Raises NotFoundError or VersionMismatchError.
    """
    lock_user(scope, user_id, version=version)
    scope.execute(_BURY, id=user_id)
    lock_groups(scope, scope.values(_GROUPS_DESIRING, user_id=user_id))
    groups = scope.values(_NOT_DESIRED, user_id=user_id)
    touch(scope, groups)
    note(scope, Kind.USER_DEACTIVATED, user_id=user_id)
    return bool(groups)


def _document(content: UserContent) -> str:
    """The content as text, in which 1 and true differ."""
    return json.dumps(asdict(content), sort_keys=True)


def _set_wanted(scope: TenantScope, user_id: UUID, active: bool) -> bool:
    """Follows a change of `active` in the memberships of a locked user."""
    affected = scope.values(_GROUPS_MISSING if active else _GROUPS_WANTING, user_id=user_id)
    lock_groups(scope, affected)
    if active:
        groups = scope.values(_WANTED_AGAIN, user_id=user_id, group_ids=affected)
    else:
        groups = scope.values(_NOT_WANTED, user_id=user_id)
    bump(scope, groups)
    note(scope, Kind.USER_ACTIVATED if active else Kind.USER_DEACTIVATED, user_id=user_id)
    return bool(groups)


def _take_back(scope: TenantScope, content: UserContent) -> UserChange:
    """Gives the inactive user with this externalId the content. Raises TakenError."""
    row = scope.one(_LOCK_BY_EXTERNAL_ID, external_id=content.external_id)
    if row is None:
        raise ContendedError("the user with this externalId was deleted just now: try again")
    known = user_from(row)
    if known.content.active:
        raise TakenError(
            "a user with this externalId exists already and is active: change that one"
        )
    return update_user(scope, known, content)


def _awaited_as(user: User) -> list[str]:
    """What a group may have been pushed with before the user was known."""
    values = [str(user.id)]
    if user.content.external_id is not None:
        values.append(user.content.external_id)
    return values


def _join_awaiting(scope: TenantScope, user: User, awaiting: Sequence[UUID]) -> bool:
    """Lets a user into those of these groups that await him still."""
    if not awaiting:
        return False
    lock_groups(scope, list(awaiting))
    groups = take_awaited(scope, _awaited_as(user), list(awaiting))
    join_groups(scope, user.id, groups)
    touch(scope, groups)
    return bool(groups)


def _write(
    scope: TenantScope, statement: TextClause, user_id: UUID, content: UserContent
) -> Row[Any] | None:
    try:
        return scope.one(
            statement,
            id=user_id,
            external_id=content.external_id,
            user_name=content.user_name,
            user_name_key=name_key(content.user_name),
            emails=list(content.emails),
            primary_email_key=content.primary_email_key(),
            email_keys=content.email_keys(),
            active=content.active,
            display_name=content.display_name,
            attributes=dict(content.attributes),
        )
    except IntegrityError as error:
        raise _translated(error) from None


def _translated(error: IntegrityError) -> Exception:
    match constraint_of(error):
        case "users_user_name_key":
            return TakenError("a user with this userName exists already: find it with userName eq")
        case "users_external_id_key":
            return TakenError(
                "a user with this externalId exists already: find it with externalId eq"
            )
        case _:
            return error


def _found(row: Row[Any] | None, user_id: UUID) -> User:
    if row is None:
        raise NotFoundError(f"there is no user {user_id}")
    return user_from(row)
