"""Messages of the gRPC contract to and from what the service works with."""

from dataclasses import dataclass, field

from encryption_api import encryption_pb2 as pb
from encryption_service.bindings import BindingAnswer
from encryption_service.errors import InvalidCallError
from encryption_service.key_store import KeyName
from encryption_service.reconcile import Answer, GroupCommand, Outcome
from groupseal.encoding import HASH_LENGTH, ID_LENGTH
from groupseal.reasons import Reason

_LONGEST_NAME = 1024
_MOST_REFUSALS = 10_000


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message that names no valid group, member or key: refused without an effect."""

    identifier: bytes
    position: int | None = None


@dataclass(slots=True)
class CommandAssembler:
    """Puts a command together whose messages say that it goes on. One per call."""

    max_members: int
    _pieces: list[pb.GroupCommand] = field(default_factory=list)
    _members: int = 0

    def add(self, piece: pb.GroupCommand) -> GroupCommand | Malformed | None:
        """The whole command with its last message, else None. Raises InvalidCallError."""
        if self._pieces and not _same_command(self._pieces[0], piece):
            raise InvalidCallError(
                Reason.MALFORMED, "a command that goes on must name the same group and base"
            )
        self._pieces.append(piece)
        self._members += len(piece.added) + len(piece.removed) + len(piece.needed_envelopes)
        if self._members > self.max_members:
            raise InvalidCallError(
                Reason.ROSTER_TOO_LARGE,
                f"a command names at most {self.max_members} members: send it in several",
            )
        if piece.more:
            return None
        pieces, self._pieces, self._members = self._pieces, [], 0
        return _command(pieces)

    def require_whole(self) -> None:
        """Raises InvalidCallError if the stream ended within a command."""
        if self._pieces:
            raise InvalidCallError(Reason.MALFORMED, "the stream ended within a command")


def _same_command(first: pb.GroupCommand, piece: pb.GroupCommand) -> bool:
    return (
        first.group_id == piece.group_id
        and first.HasField("base") == piece.HasField("base")
        and first.base == piece.base
    )


def _command(pieces: list[pb.GroupCommand]) -> GroupCommand | Malformed:
    first = pieces[0]
    added = tuple(member for piece in pieces for member in piece.added)
    removed = tuple(member for piece in pieces for member in piece.removed)
    needed: tuple[KeyName, ...] = tuple(
        (grant.member_id, grant.key_id) for piece in pieces for grant in piece.needed_envelopes
    )
    names = [piece.name for piece in pieces if piece.HasField("name")]
    members = {*added, *removed}
    well_formed = (
        len(first.group_id) == ID_LENGTH
        and len(members) == len(added) + len(removed)
        and all(len(member) == ID_LENGTH for member in members)
        and all(len(m) == ID_LENGTH and len(k) == HASH_LENGTH for m, k in needed)
        and all(len(name.display_name) <= _LONGEST_NAME for name in names)
        and all(len(name.identity_provider_group_id) <= _LONGEST_NAME for name in names)
    )
    if not well_formed:
        return Malformed(first.group_id)
    return GroupCommand(
        group_id=first.group_id,
        base=first.base if first.HasField("base") else None,
        added=added,
        removed=removed,
        needed_envelopes=needed,
        name=(names[-1].display_name, names[-1].identity_provider_group_id) if names else None,
    )


def group_response(group_id: bytes, answer: Answer) -> pb.ReconcileGroupsResponse:
    """The answer to a command."""
    refusals = answer.refusals[:_MOST_REFUSALS]
    return pb.ReconcileGroupsResponse(
        group_id=group_id,
        outcome=pb.Outcome.ValueType(answer.outcome),
        position=answer.position,
        refusals=[pb.Refusal(member_id=member, reason=reason) for member, reason in refusals],
        reason=answer.reason or "",
        retry_after_ms=answer.retry_after_ms,
    )


def malformed_command(malformed: Malformed) -> pb.ReconcileGroupsResponse:
    """The answer to a command that names no valid group or members."""
    answer = Answer(Outcome.REFUSED, reason=Reason.MALFORMED)
    return group_response(malformed.identifier, answer)


def binding_response(answer: BindingAnswer) -> pb.BindMemberKeysResponse:
    """The answer to an offered key, or to a removal."""
    if answer.waits:
        outcome = pb.BINDING_OUTCOME_WAITING
    elif answer.reason is not None:
        outcome = pb.BINDING_OUTCOME_REFUSED
    else:
        outcome = pb.BINDING_OUTCOME_UNBOUND if answer.unbound else pb.BINDING_OUTCOME_BOUND
    return pb.BindMemberKeysResponse(
        member_id=answer.member,
        key_id=answer.key_id,
        outcome=outcome,
        reason=answer.reason or "",
        position=answer.position,
    )
