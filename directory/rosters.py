"""Members of groups as JSON text, made by the database, and the groups of users.

A large roster costs no objects here: it comes as text, in chunks that a process can hold, whatever
the size of the group.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from directory.tenancy import TenantScope, tenant_sql

# Members in one chunk: about a megabyte of text.
CHUNK = 5_000
_BEFORE_ALL = UUID(int=0)

# One member as RFC 7643 §4.2 has it, with the sub-attributes that were asked for.
_MEMBER = """
    '{' || concat_ws(', ',
        CASE WHEN CAST(:value AS boolean) THEN '"value": "' || m.user_id || '"' END,
        CASE WHEN CAST(:display AS boolean) THEN '"display": ' || to_json(m.display) END,
        CASE WHEN CAST(:ref AS boolean)
            THEN '"$ref": "' || CAST(:users_url AS text) || m.user_id || '"' END,
        CASE WHEN CAST(:type AS boolean) THEN '"type": "User"' END
    ) || '}'
"""

# The next chunk, in the order of the primary key. The texts are made of the chunk's rows alone.
_CHUNK = tenant_sql(
    " ".join(
        (
            """
            SELECT count(*) AS number, max(CAST(m.user_id AS text) COLLATE "C") AS last,
                coalesce(string_agg(
            """,
            _MEMBER,
            """
                , ', '), '') AS members
            FROM (
                SELECT user_id, display FROM memberships
                WHERE tenant_id = :tenant_id AND group_id = :group_id AND desired
                    AND user_id > :after
                ORDER BY user_id LIMIT :most
            ) AS m
            """,
        )
    )
)

# Whole rosters, each as one text.
_ROSTERS = tenant_sql(
    " ".join(
        (
            "SELECT m.group_id, string_agg(",
            _MEMBER,
            """
                , ', ' ORDER BY m.user_id) AS members
            FROM memberships m
            WHERE m.tenant_id = :tenant_id AND m.group_id = ANY(:ids) AND m.desired
            GROUP BY m.group_id
            """,
        )
    )
)

# The groups that users are desired in.
_GROUPS = tenant_sql("""
    SELECT m.user_id, g.id, g.display_name
    FROM memberships m
    JOIN groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id AND g.deleted_at IS NULL
    WHERE m.tenant_id = :tenant_id AND m.user_id = ANY(:ids) AND m.desired
    ORDER BY m.user_id, g.display_name, g.id
""")


@dataclass(frozen=True, slots=True)
class MemberForm:
    """Which sub-attributes a member is given with, and what `$ref` begins with.

    `users_url` goes into the text as it is: it must hold nothing that JSON escapes.
    """

    users_url: str
    value: bool = True
    display: bool = True
    ref: bool = True
    type: bool = True


@dataclass(frozen=True, slots=True)
class UsersGroup:
    """A group that a user is desired in."""

    id: UUID
    display_name: str


def roster_chunks(scope: TenantScope, group_id: UUID, form: MemberForm) -> Iterator[str]:
    """The members of one group as elements of a JSON array, chunk by chunk; at least one chunk.

    Each chunk is a statement: within one snapshot they are one roster.
    """
    after: UUID | str = _BEFORE_ALL
    while True:
        row = scope.execute(
            _CHUNK, group_id=group_id, after=after, most=CHUNK, **asdict(form)
        ).one()
        yield row.members
        if row.number < CHUNK:
            return
        after = UUID(row.last)


def rosters(scope: TenantScope, ids: Sequence[UUID], form: MemberForm) -> dict[UUID, str]:
    """The members of each group that has some, as elements of a JSON array."""
    rows = scope.all(_ROSTERS, ids=list(ids), **asdict(form))
    return {row.group_id: row.members for row in rows}


def groups_of_users(scope: TenantScope, ids: Sequence[UUID]) -> dict[UUID, list[UsersGroup]]:
    """The groups of each user, by name."""
    found: dict[UUID, list[UsersGroup]] = {id_: [] for id_ in ids}
    for row in scope.all(_GROUPS, ids=list(ids)):
        found[row.user_id].append(UsersGroup(row.id, row.display_name))
    return found
