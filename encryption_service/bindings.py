"""Whose key is whose, and by which evidence (mode `pin`).

The first key offered for a member is pinned. Another one is bound only as a further device that a
bound key of the same member endorses by its signature; anything else is refused, visibly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from encryption_service.group_store import GroupStore
from encryption_service.key_store import BoundKeyRow, KeyStore
from encryption_service.ledger_store import LedgerAppender
from groupseal.bindings import BindingRequest
from groupseal.entries import KeyBound, KeyRefused, TrustMode
from groupseal.errors import SignatureError
from groupseal.reasons import Reason
from groupseal.suites import Suite


@dataclass(frozen=True, slots=True)
class Offer:
    """A key offered for a member, with a proof of possession that was verified."""

    request: BindingRequest
    possession_proof: bytes
    endorsing_key_id: bytes = b""
    endorsement: bytes = b""


@dataclass(frozen=True, slots=True)
class BindingAnswer:
    """`reason` None: the key is bound, by the entry at `position`."""

    member: bytes
    key_id: bytes
    reason: Reason | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the service allows."""

    allowed_suites: tuple[Suite, ...]
    max_devices: int


def why_not(
    offer: Offer, holder: BoundKeyRow | None, devices: Sequence[BoundKeyRow], rules: Rules
) -> Reason | None:
    """Why the key must not be bound, or None. Pure.

    `holder` is the binding of this very key, `devices` are the member's bound keys.
    """
    if holder is not None:
        return None if holder.member == offer.request.member else Reason.KEY_OF_ANOTHER_MEMBER
    if offer.request.suite not in rules.allowed_suites:
        return Reason.SUITE_NOT_ALLOWED
    if not devices:
        return None
    if not _is_endorsed(offer, devices):
        return Reason.ANOTHER_KEY_IS_BOUND
    if len(devices) >= rules.max_devices:
        return Reason.TOO_MANY_DEVICES
    return None


def _is_endorsed(offer: Offer, devices: Sequence[BoundKeyRow]) -> bool:
    endorser = next((d for d in devices if d.key_id == offer.endorsing_key_id), None)
    if endorser is None:
        return False
    try:
        offer.request.verify_endorsement(endorser.signing_public_key, offer.endorsement)
    except SignatureError:
        return False
    return True


class Binder:
    """Works inside the writer's transactions."""

    def __init__(
        self, *, ledger: LedgerAppender, keys: KeyStore, groups: GroupStore, rules: Rules
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._groups = groups
        self._rules = rules

    def bind(self, offer: Offer) -> tuple[BindingAnswer, list[bytes]]:
        """Binds or refuses; the groups that now have a grant to make come with the answer."""
        member, key_id = offer.request.member, offer.request.key_id
        holder = self._keys.find(key_id)
        devices = self._keys.devices_of(member)
        reason = why_not(offer, holder, devices, self._rules)
        if reason is not None:
            return self._refuse(member, key_id, reason), []
        if holder is not None:
            return BindingAnswer(member, key_id, position=holder.position), []
        position = self._append(offer, endorsed=bool(devices))
        request = offer.request
        self._keys.bind(
            BoundKeyRow(
                key_id,
                member,
                request.suite,
                request.hpke_public_key,
                request.signing_public_key,
                position,
            )
        )
        groups = self._groups.add_pending_everywhere(member, key_id)
        return BindingAnswer(member, key_id, position=position), groups

    def _append(self, offer: Offer, *, endorsed: bool) -> int:
        request = offer.request
        return self._ledger.append(
            KeyBound(
                member=request.member,
                key_id=request.key_id,
                suite=request.suite,
                hpke_public_key=request.hpke_public_key,
                signing_public_key=request.signing_public_key,
                possession_proof=offer.possession_proof,
                trust_mode=TrustMode.PIN,
                endorsing_key_id=offer.endorsing_key_id if endorsed else None,
            )
        )

    def _refuse(self, member: bytes, key_id: bytes, reason: Reason) -> BindingAnswer:
        """One entry for each refused key, however often it is offered."""
        position = self._keys.refusal_of(key_id, member)
        if position is None:
            position = self._ledger.append(KeyRefused(member, key_id, reason))
            self._keys.refuse(key_id, member, reason, position)
        return BindingAnswer(member, key_id, reason, position)
