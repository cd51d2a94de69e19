"""What a client demands before it believes, opens or writes (I3). Pure: no input, output or clock.

Everything here takes the projection of a ledger that was verified up to a signed head, and what
the vendor served; it returns what may be relied on, or raises a ProtocolError.
"""

from groupseal.checkpoint import Head
from groupseal.errors import (
    EpochClosedError,
    PartMismatchError,
    StaleHeadError,
    WrongContextError,
)
from groupseal.grants import Grant, envelope_hash, grant_leaf
from groupseal.merkle import verify_inclusion
from groupseal.parts import GroupNamePart, PartKind, part_digest
from groupseal.projection import GroupView, Projection
from member_client.answers import ServedGrant
from member_client.errors import NotGrantedError, PlantedKeyError

DAY_MS = 24 * 60 * 60 * 1000
WARN_AGE_MS = DAY_MS
REFUSE_AGE_MS = 30 * DAY_MS


def group_view(projection: Projection, group: bytes) -> GroupView:
    """What the ledger says of a group. Raises NotGrantedError where it says nothing."""
    view = projection.groups.get(group)
    if view is None or view.state.epoch == 0:
        raise NotGrantedError("queued", "the group has no key in the organisation's ledger yet")
    return view


def check_grant(
    projection: Projection, group: bytes, member: bytes, key_id: bytes, served: ServedGrant
) -> bytes:
    """The public key of the epoch that this envelope, by the ledger, was sealed for.

    1. The ledger binds this key to this member. 2. The entry at the named position grants in this
    group and this epoch. 3. Its batch includes exactly (member, key, hash of this envelope).
    Raises WrongContextError or ProofError.
    """
    view = group_view(projection, group)
    bound = projection.keys.get(key_id) or projection.former_keys.get(key_id)
    if bound is None or bound.member != member:
        raise WrongContextError("the ledger does not bind this device's key to this member")
    batch = view.batches.get(served.position)
    if batch is None:
        raise WrongContextError(f"entry {served.position} grants nothing in this group")
    if batch.epoch != served.epoch:
        raise WrongContextError(
            f"entry {served.position} grants in epoch {batch.epoch}, not in {served.epoch}"
        )
    leaf = grant_leaf(Grant(member, key_id, envelope_hash(served.envelope)).to_bytes())
    verify_inclusion(leaf, served.batch_index, batch.count, served.path, batch.root)
    return view.epochs[batch.epoch]


def check_public_key(derived: bytes, view: GroupView, epoch: int) -> None:
    """Raises PlantedKeyError unless the ledger has this public key for the epoch."""
    if view.epochs.get(epoch) != derived:
        raise PlantedKeyError(f"the opened secret is not that of epoch {epoch} in the ledger")


def check_name(view: GroupView, part: bytes | None) -> str | None:
    """The group's name as the organisation signed it, or None where it has none.

    Raises PartMismatchError for any other name.
    """
    if view.name_digest is None:
        return None
    if part is None or part_digest(PartKind.GROUP_NAME, part) != view.name_digest:
        raise PartMismatchError("the group's name is not the one in the ledger")
    return GroupNamePart.from_bytes(part).display_name


def head_warnings(head: Head, now_ms: int) -> list[str]:
    """What a member should know of the head's age."""
    days = (now_ms - head.time_ms) // DAY_MS
    if now_ms - head.time_ms > WARN_AGE_MS:
        return [f"the newest signed head is {days} days old: later removals are not known here"]
    if head.time_ms - now_ms > WARN_AGE_MS:
        return ["the newest signed head lies in the future: check this computer's clock"]
    return []


def check_may_write(view: GroupView, head: Head, now_ms: int) -> list[str]:
    """Warnings, if the group's newest epoch may be written to; a ProtocolError otherwise."""
    if not view.state.is_open:
        raise EpochClosedError(
            f"epoch {view.state.epoch} is closed: wait for the next one, usually within a minute"
        )
    if now_ms - head.time_ms > REFUSE_AGE_MS:
        raise StaleHeadError(
            "the newest signed head is more than 30 days old: writing is refused until the"
            " organisation's encryption service signs a newer one"
        )
    return head_warnings(head, now_ms)
