"""Pure: due work as messages to the service, and its outcomes as what becomes of the work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from directory.due_work import DueGroup, Postponed, Settled
from encryption_api import encryption_pb2 as pb
from groupseal.reasons import Reason
from worker.back_off import delay_after
from worker.errors import ServiceError

# Most ids in one message; a command goes on in the next.
_IDS_PER_MESSAGE = 10_000
_MOST_MISMATCHES = 3


def group_commands(group: DueGroup) -> Iterator[pb.GroupCommand]:
    """One command, in as many messages as it takes."""
    base = None if group.state is None else group.state.last_position
    steps = max(len(group.added), len(group.removed), len(group.needed), 1)
    for at in range(0, steps, _IDS_PER_MESSAGE):
        piece = slice(at, at + _IDS_PER_MESSAGE)
        command = pb.GroupCommand(
            group_id=group.id.bytes,
            base=base,
            added=group.added[piece],
            removed=group.removed[piece],
            needed_envelopes=[
                pb.GrantReference(member_id=member, key_id=key)
                for member, key in group.needed[piece]
            ],
            more=at + _IDS_PER_MESSAGE < steps,
        )
        if at == 0 and group.name is not None:
            name, external_id = group.name
            command.name.display_name = name
            command.name.identity_provider_group_id = external_id
        yield command


@dataclass(slots=True)
class GroupOutcomes:
    """What became of the groups of one round."""

    settled: list[Settled] = field(default_factory=list)
    postponed: list[Postponed] = field(default_factory=list)
    # The base of some group was not its last entry: worth another round at once.
    has_mismatch: bool = False


def group_outcomes(
    groups: Sequence[DueGroup],
    answers: Sequence[pb.ReconcileGroupsResponse],
    mismatches: dict[bytes, int],
) -> GroupOutcomes:
    """Reads the outcomes, one for each group and in its order. Raises ServiceError if not so.

    `mismatches` counts, for the caller's slice, how often a group had another base.
    """
    if [a.group_id for a in answers] != [g.id.bytes for g in groups]:
        raise ServiceError(Reason.MALFORMED, "the service did not answer each command in order")
    outcomes = GroupOutcomes()
    for group, answer in zip(groups, answers, strict=True):
        match answer.outcome:
            case pb.OUTCOME_DONE:
                position = answer.position if answer.HasField("position") else None
                refused = {r.member_id: known_reason(r.reason) for r in answer.refusals}
                outcomes.settled.append(Settled(group, position, refused))
            case pb.OUTCOME_DELAYED:
                after = timedelta(milliseconds=max(answer.retry_after_ms, 100))
                reason = known_reason(answer.reason or Reason.ROTATING)
                outcomes.postponed.append(Postponed(group, after, reason, failed=False, told=True))
            case pb.OUTCOME_BASE_MISMATCH:
                count = mismatches[group.id.bytes] = mismatches.get(group.id.bytes, 0) + 1
                if count <= _MOST_MISMATCHES:
                    outcomes.has_mismatch = True
                    now = timedelta(0)
                    outcomes.postponed.append(Postponed(group, now, None, failed=False))
                else:
                    outcomes.postponed.append(later(group, Reason.LEDGER_ORDER))
            case pb.OUTCOME_REFUSED:
                reason = known_reason(answer.reason or Reason.SERVICE_REFUSED)
                outcomes.postponed.append(later(group, reason))
            case _:
                raise ServiceError(Reason.MALFORMED, "the service gave an outcome without meaning")
    return outcomes


def later(group: DueGroup, reason: str) -> Postponed:
    """To be tried again after the group's own back-off."""
    return Postponed(group, delay_after(group.attempts + 1), reason)


def known_reason(reason: str) -> str:
    """A reason code of ours: foreign text goes into no row and no log."""
    try:
        return Reason(reason)
    except ValueError:
        return Reason.SERVICE_REFUSED
