"""The service's ledger, verified from its beginning, and what it says of each epoch."""

from collections import defaultdict
from dataclasses import dataclass, field

from groupseal.entries import GroupReconciled
from groupseal.ledger import LedgerVerifier
from groupseal.merkle import CompactRange
from groupseal.parts import PartKind
from groupseal.projection import Projection
from tests.support.world import World

Epoch = tuple[bytes, int]  # group, number


@dataclass
class Replay:
    """Everything the ledger says, and who was ever granted what."""

    projection: Projection = field(default_factory=Projection)
    entries: list[bytes] = field(default_factory=list)
    # Members that were granted an epoch, at any time.
    granted: dict[Epoch, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    # (group, member) -> position of the last grant.
    last_grant: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    opened: list[Epoch] = field(default_factory=list)


def replay(world: World) -> Replay:
    """Reads the store and verifies it as any reader does; a grant to nobody's roster fails."""
    found = Replay()
    parts: dict[int, dict[PartKind, bytes]] = defaultdict(dict)
    for position, kind, body in world.service.rows("SELECT position, kind, body FROM parts"):
        parts[position][PartKind(kind)] = body
    verifier = LedgerVerifier(
        world.organisation,
        world.signing_public_key,
        CompactRange(),
        found.projection.group_state,
    )
    rows = world.service.rows("SELECT position, entry FROM entries ORDER BY position")
    for position, data in rows:
        verified = verifier.add(data, parts[position])
        found.projection.apply(verified)
        found.entries.append(data)
        body = verified.entry.body
        if isinstance(body, GroupReconciled):
            epoch = (body.group, body.epoch)
            if body.opens:
                found.opened.append(epoch)
            roster = found.projection.groups[body.group].roster
            members = {grant.member for grant in verified.grants}
            assert members <= roster, f"entry {position} grants to someone off the roster"
            found.granted[epoch] |= members
            found.last_grant |= {(body.group, member): position for member in members}
    return found
