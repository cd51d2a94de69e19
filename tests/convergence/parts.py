"""A world with many members, and how to count what a push has cost."""

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

import psycopg

from benchmarks.population import insert_members
from groupseal.encoding import decode_byte_strings
from groupseal.entries import Entry
from groupseal.parts import PartKind
from tests.support.world import World


def enrol_members(world: World, count: int) -> list[UUID]:
    """Users whose keys are submitted; how they came there is not what is tested."""
    organisation = UUID(bytes=world.organisation)
    with psycopg.connect(world.database_url, autocommit=True) as connection:
        return insert_members(connection, world.tenant_id, organisation, count, "member")


@dataclass(frozen=True)
class Written:
    """What the ledger has got since a position."""

    entries: Counter[str]
    epochs: int
    envelopes: int
    grants: int
    times_ms: tuple[int, ...]


def ledger_size(world: World) -> int:
    return int(world.service.rows("SELECT count(*) FROM entries")[0][0])


def written_since(world: World, position: int) -> Written:
    """Entries from a position on, and the envelopes beside them."""
    kinds: Counter[str] = Counter()
    times, epochs = [], 0
    for (data,) in world.service.rows(
        f"SELECT entry FROM entries WHERE position >= {position} ORDER BY position"  # noqa: S608
    ):
        entry = Entry.from_bytes(data)
        kinds[type(entry.body).__name__] += 1
        times.append(entry.time_ms)
        epochs += getattr(entry.body, "opens", False)
    parts = world.service.rows(
        f"SELECT kind, body FROM parts WHERE position >= {position} AND kind IN (1, 2)"  # noqa: S608 # a number
    )
    return Written(
        kinds,
        epochs,
        sum(len(decode_byte_strings(b)) for k, b in parts if k == PartKind.ENVELOPES),
        sum(len(body) // 80 for kind, body in parts if kind == PartKind.GRANTS),
        tuple(times),
    )
