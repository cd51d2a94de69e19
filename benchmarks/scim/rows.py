"""Which rows of the gateway's database one request touched."""

import psycopg

from benchmarks.scim.client import group_body
from benchmarks.scim.population import Group, Population, check_members

# Where a row's version is, and which transaction made it: both change with any write.
_VERSIONS = (
    "SELECT user_id::text, ctid::text || ' ' || xmin::text FROM memberships WHERE group_id = %s"
)


def touched_by_put(population: Population, database_url: str, size: int) -> list[int]:
    """Membership rows that a PUT of a group of this size touches: with one more, one less, none."""
    group, spare = population.groups[size], population.spare[1]
    counts = []
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        for members in ([*group.members, spare], group.members, group.members):
            before = _versions(connection, group)
            body = group_body(group.name, members, group.id)
            population.client.expect({200}, "PUT", f"/Groups/{group.id}", body)
            after = _versions(connection, group)
            counts.append(len({user for user, _ in before.items() ^ after.items()}))
            check_members(population, group, set(members))
    return counts


def _versions(connection: psycopg.Connection, group: Group) -> dict[str, str]:
    rows = connection.execute(_VERSIONS, (group.id,)).fetchall()
    return {str(user): str(version) for user, version in rows}
