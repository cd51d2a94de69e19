"""Pure: members' keys and requests to remove one as messages, and what became of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from directory.due_keys import Decisions, RequestedRemoval, SubmittedKey
from encryption_api import encryption_pb2 as pb
from groupseal.reasons import Reason
from worker.back_off import delay_after
from worker.commands import known_reason
from worker.errors import ServiceError

_WAITING = timedelta(seconds=60)
# What is over within moments, as a rule: asked again soon, then less and less often.
_SOON_OVER = frozenset({Reason.IDENTITY_PROVIDER_UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class KeyOutcomes:
    """What the ledger does not say: it decides on every key that has an entry."""

    keys: Decisions = field(default_factory=Decisions)
    removals: Decisions = field(default_factory=Decisions)


def key_messages(
    keys: Sequence[SubmittedKey], removals: Sequence[RequestedRemoval]
) -> Iterator[pb.BindMemberKeysRequest]:
    """Offers first: a new device may be endorsed by one whose removal comes next."""
    for key in keys:
        yield pb.BindMemberKeysRequest(binding=_binding(key))
    for removal in removals:
        yield pb.BindMemberKeysRequest(
            removal=pb.KeyRemoval(
                member_id=removal.member,
                key_id=removal.key_id,
                signing_key_id=removal.signing_key_id,
                signature=removal.signature,
            )
        )


def key_outcomes(
    keys: Sequence[SubmittedKey],
    removals: Sequence[RequestedRemoval],
    answers: Sequence[pb.BindMemberKeysResponse],
) -> KeyOutcomes:
    """Reads the outcomes, one for each message and in its order. Raises ServiceError if not so."""
    # A key that cannot be read has no id in the answer; its member it has.
    asked = [*(key.member for key in keys), *(removal.member for removal in removals)]
    if [answer.member_id for answer in answers] != asked:
        raise ServiceError(Reason.MALFORMED, "the service did not answer each key in order")
    return KeyOutcomes(_of_keys(keys, answers), _of_removals(removals, answers[len(keys) :]))


def _of_keys(
    keys: Sequence[SubmittedKey], answers: Sequence[pb.BindMemberKeysResponse]
) -> Decisions:
    refused: dict[bytes, str] = {}
    waiting: dict[bytes, tuple[str, timedelta]] = {}
    for key, answer in zip(keys, answers, strict=False):
        match answer.outcome:
            case pb.BINDING_OUTCOME_REFUSED:
                refused[key.key_id] = known_reason(answer.reason or Reason.SERVICE_REFUSED)
            case pb.BINDING_OUTCOME_UNBOUND:
                refused[key.key_id] = Reason.KEY_WAS_REMOVED
            case pb.BINDING_OUTCOME_BOUND:
                # Touches only what the ledger has left as it was.
                waiting[key.key_id] = (Reason.QUEUED, _WAITING)
            case pb.BINDING_OUTCOME_WAITING:
                waiting[key.key_id] = _again(answer.reason, key.attempts)
            case _:
                raise _meaningless()
    return Decisions(refused, waiting)


def _of_removals(
    removals: Sequence[RequestedRemoval], answers: Sequence[pb.BindMemberKeysResponse]
) -> Decisions:
    refused: dict[bytes, str] = {}
    waiting: dict[bytes, tuple[str, timedelta]] = {}
    for removal, answer in zip(removals, answers, strict=True):
        match answer.outcome:
            case pb.BINDING_OUTCOME_REFUSED:
                refused[removal.key_id] = known_reason(answer.reason or Reason.SERVICE_REFUSED)
            case pb.BINDING_OUTCOME_UNBOUND:
                # Done once the ledger says so, which it does by now.
                waiting[removal.key_id] = (Reason.QUEUED, _WAITING)
            case pb.BINDING_OUTCOME_WAITING:
                waiting[removal.key_id] = _again(answer.reason, removal.attempts)
            case _:
                raise _meaningless()
    return Decisions(refused, waiting)


def _again(reason: str, attempts: int) -> tuple[str, timedelta]:
    """The reason to show, and when to ask again."""
    known = known_reason(reason or Reason.QUEUED)
    return known, delay_after(attempts + 1) if known in _SOON_OVER else _WAITING


def _binding(key: SubmittedKey) -> pb.KeyBinding:
    return pb.KeyBinding(
        member_id=key.member,
        suite=key.suite,
        hpke_public_key=key.hpke_public_key,
        signing_public_key=key.signing_public_key,
        possession_proof=key.possession_proof,
        sealed_evidence=key.sealed_evidence or b"",
        endorsing_key_id=key.endorsing_key_id or b"",
        endorsement=key.endorsement or b"",
        replaces=key.replaces,
        external_id=key.external_id,
        user_name=key.user_name,
    )


def _meaningless() -> ServiceError:
    return ServiceError(Reason.MALFORMED, "the service gave an outcome without meaning")
