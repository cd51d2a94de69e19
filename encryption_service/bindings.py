"""Whose key is whose: binds, refuses, unbinds, and says so in the ledger."""

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import token_bytes

from encryption_service.approval_store import ApprovalStore
from encryption_service.binding_rules import Decision, Facts, Offer, Rules, Verdict, decide
from encryption_service.group_store import GroupStore
from encryption_service.key_store import BoundKeyRow, KeyStore, OfferedKeyRow
from encryption_service.ledger_store import Clock, LedgerAppender
from encryption_service.policy.policy import Policy
from encryption_service.subject_store import MemberRow, SubjectRow, SubjectStore
from encryption_service.subject_vault import SubjectVault
from groupseal.bindings import BindingRequest
from groupseal.encoding import HASH_LENGTH
from groupseal.entries import KeyBound, KeyRefused, KeyUnbound
from groupseal.errors import SignatureError
from groupseal.evidence import Subject
from groupseal.key_removal import KeyRemoval
from groupseal.parts import PartKind, Parts, part_digest
from groupseal.reasons import Reason
from groupseal.suites import Suite, suite_from
from groupseal.trust import TrustMode

# Keys of one member that may wait for an approver at a time.
_MOST_OFFERED = 20


@dataclass(frozen=True, slots=True)
class Removal:
    """A member's request to remove a key, and the bound key that signed it."""

    request: KeyRemoval
    signing_key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class BindingAnswer:
    """What became of a key.

    `reason` None: it is bound, or after a removal no longer is, by the entry at `position`.
    """

    member: bytes
    key_id: bytes
    reason: Reason | None = None
    position: int | None = None
    waits: bool = False
    unbound: bool = False


class Binder:
    """Works inside the writer's transactions."""

    def __init__(
        self,
        *,
        connection: sqlite3.Connection,
        ledger: LedgerAppender,
        vault: SubjectVault,
        mode: TrustMode,
        allowed_suites: tuple[Suite, ...],
        max_devices: int,
        policy: Callable[[], Policy],
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._keys = KeyStore(connection)
        self._groups = GroupStore(connection)
        self._subjects = SubjectStore(connection)
        self._approvals = ApprovalStore(connection)
        self._vault = vault
        self._mode = mode
        self._allowed_suites = allowed_suites
        self._max_devices = max_devices
        self._policy = policy
        self._clock = clock

    def bind(self, offer: Offer) -> tuple[BindingAnswer, list[bytes]]:
        """Binds, refuses or keeps waiting; groups that now have a step to take come with it."""
        member, key_id = offer.request.member, offer.request.key_id
        holder = self._keys.find(key_id)
        if holder is not None and holder.member == member:
            self._note_member(offer, [holder])
            return BindingAnswer(member, key_id, position=holder.position), []
        waiting = self._keys.offered((member, key_id))
        if waiting is not None and waiting.replaces != offer.request.replaces:
            # Approvers saw something else when they signed.
            self._approvals.forget_for_keys(member)
        facts = self._facts(offer, holder)
        decision = decide(offer, facts, self._rules(), self._clock())
        match decision.verdict:
            case Verdict.REFUSE:
                return self._refuse(member, key_id, decision.reason or Reason.INTERNAL), []
            case Verdict.WAIT:
                return self._wait(offer, decision.reason or Reason.INTERNAL), []
            case Verdict.BIND:
                return self._bind(offer, facts, decision)

    def remove(self, removal: Removal) -> tuple[BindingAnswer, list[bytes]]:
        """Unbinds a key at its member's own request. Repeating it changes nothing."""
        request = removal.request
        former = self._keys.former(request.key_id)
        if former is not None and former.member == request.member:
            return self._gone(request.member, request.key_id, former.position), []
        key = self._keys.find(request.key_id)
        signer = self._keys.find(removal.signing_key_id)
        refused = BindingAnswer(request.member, request.key_id, Reason.SIGNATURE_INVALID)
        if key is None or signer is None:
            return refused, []
        if {key.member, signer.member} != {request.member}:
            return refused, []
        try:
            request.verify(signer.signing_public_key, removal.signature)
        except SignatureError:
            return refused, []
        position, groups = self.unbind(key, Reason.KEY_REMOVED_BY_MEMBER)
        return self._gone(request.member, request.key_id, position), groups

    def unbind(self, key: BoundKeyRow, reason: Reason) -> tuple[int, list[bytes]]:
        """Unbinds a key for good. Every group whose secret it holds gets a new epoch."""
        position = self._ledger.append(KeyUnbound(key.member, key.key_id, reason))
        groups = self._groups.lose_key(key.member, key.key_id)
        self._keys.unbind(key, position)
        return position, groups

    # By the customer's people

    def approve(self, key: OfferedKeyRow, *, by_command: bool) -> tuple[BindingAnswer, list[bytes]]:
        """Binds a key that waited, where the policy's approvals are there."""
        offer = self._offer_of(key)
        facts = self._facts(offer, self._keys.find(key.key_id), by_command=by_command)
        decision = decide(offer, facts, self._rules(), self._clock())
        match decision.verdict:
            case Verdict.BIND:
                return self._bind(offer, facts, decision)
            case _:
                reason = decision.reason or Reason.INTERNAL
                waits = decision.verdict is Verdict.WAIT
                return BindingAnswer(key.member, key.key_id, reason, waits=waits), []

    def approve_all(self) -> list[bytes]:
        """Binds whatever has enough signatures now that the policy is another one."""
        groups: list[bytes] = []
        for key in self._keys.all_offered():
            groups += self.approve(key, by_command=False)[1]
        return groups

    def refuse(self, key: OfferedKeyRow) -> BindingAnswer:
        """Refuses a key that waited, for good."""
        reason = Reason.KEY_REFUSED_BY_APPROVER
        self._keys.forget_offer((key.member, key.key_id))
        if self._keys.refusal_reason(key.key_id, key.member) not in {None, reason}:
            self._keys.forget_refusal(key.key_id, key.member)
        return self._refuse(key.member, key.key_id, reason)

    # Parts of a decision

    def _rules(self) -> Rules:
        return Rules(self._mode, self._allowed_suites, self._max_devices, self._policy())

    def _facts(
        self, offer: Offer, holder: BoundKeyRow | None, *, by_command: bool = False
    ) -> Facts:
        member, key_id = offer.request.member, offer.request.key_id
        evidence = offer.evidence
        return Facts(
            devices=self._keys.devices_of(member),
            holder=holder,
            is_former=self._keys.former(key_id) is not None,
            subject=self._subjects.of_member(member),
            subjects_member=(
                self._subjects.of_subject(evidence.issuer, evidence.subject) if evidence else None
            ),
            approvers=frozenset(self._approvals.key_approvers((member, key_id), self._clock())),
            approved_by_command=by_command,
            was_refused_by_approver=(
                self._keys.refusal_reason(key_id, member) == Reason.KEY_REFUSED_BY_APPROVER
            ),
        )

    def _offer_of(self, key: OfferedKeyRow) -> Offer:
        request = BindingRequest(
            self._ledger.organisation,
            key.member,
            suite_from(key.suite),
            key.hpke_public_key,
            key.signing_public_key,
            key.replaces,
        )
        return Offer(request, key.possession_proof)

    # What is done

    def _bind(
        self, offer: Offer, facts: Facts, decision: Decision
    ) -> tuple[BindingAnswer, list[bytes]]:
        request, member = offer.request, offer.request.member
        self._note_member(offer, facts.devices)
        mode = decision.mode or self._mode
        subject = self._subject(offer, facts) if decision.by_evidence else None
        position = self._append(offer, decision, mode, subject)
        endorser = decision.endorser
        self._keys.bind(
            BoundKeyRow(
                request.key_id,
                member,
                request.suite,
                request.hpke_public_key,
                request.signing_public_key,
                position,
                mode,
                endorser.key_id if endorser else None,
            )
        )
        self._keys.forget_offer((member, request.key_id))
        if endorser is not None:
            self._approvals.endorse_into_groups(member, endorser.key_id, request.key_id)
        groups = self._groups.add_due_everywhere(member, request.key_id, self._clock())
        if request.replaces:
            for device in facts.devices:
                groups += self.unbind(device, Reason.KEY_REPLACED)[1]
        return BindingAnswer(member, request.key_id, position=position), groups

    def _note_member(self, offer: Offer, devices: Sequence[BoundKeyRow]) -> None:
        """The vendor's word about a member counts with the first key, and is kept from then on.

        An externalId that was not known then may follow. In mode `approve` it counts as it was
        when the key waited, for approvers to see.
        """
        member = offer.request.member
        known = self._subjects.member_row(member)
        if known is not None:
            is_late = offer.external_id and not known.external_id
            if self._mode is TrustMode.APPROVE or (devices and not is_late):
                return
        if offer.external_id or offer.user_name:
            self._subjects.save_member(member, self._said_of(offer))

    @staticmethod
    def _said_of(offer: Offer) -> MemberRow:
        return MemberRow(offer.external_id, offer.user_name)

    def _subject(self, offer: Offer, facts: Facts) -> Subject | None:
        evidence = offer.evidence
        if evidence is None:
            return None
        salt = facts.subject.salt if facts.subject else token_bytes(HASH_LENGTH)
        row = SubjectRow(
            offer.request.member, evidence.issuer, evidence.subject, salt, evidence.issued_at_ms
        )
        self._subjects.save(row)
        return Subject(evidence.issuer, evidence.subject, salt)

    def _append(
        self, offer: Offer, decision: Decision, mode: TrustMode, subject: Subject | None
    ) -> int:
        request, evidence, endorser = offer.request, offer.evidence, decision.endorser
        parts: Parts = {}
        if subject is not None:
            parts[PartKind.SEALED_SUBJECT] = self._vault.seal(subject, request.member)
        digests = {kind: part_digest(kind, part) for kind, part in parts.items()}
        body = KeyBound(
            member=request.member,
            key_id=request.key_id,
            suite=request.suite,
            hpke_public_key=request.hpke_public_key,
            signing_public_key=request.signing_public_key,
            possession_proof=offer.possession_proof,
            trust_mode=mode,
            replaces=request.replaces,
            evidence_digest=self._evidence_digest(offer, decision, mode),
            evidence_time_ms=evidence.issued_at_ms if evidence and subject else None,
            subject_digest=subject.digest() if subject else None,
            sealed_subject_digest=digests.get(PartKind.SEALED_SUBJECT),
            endorsing_key_id=endorser.key_id if endorser else None,
            endorsement=offer.endorsement if endorser else None,
        )
        return self._ledger.append(body, parts)

    def _evidence_digest(self, offer: Offer, decision: Decision, mode: TrustMode) -> bytes | None:
        """Of the evidence document, or of the approvers' signatures in the order of their keys."""
        if decision.by_evidence and offer.evidence is not None:
            return offer.evidence.digest
        if mode is TrustMode.APPROVE and decision.endorser is None:
            name = (offer.request.member, offer.request.key_id)
            signatures = self._approvals.key_approvers(name, self._clock())
            if signatures:
                return hashlib.sha256(b"".join(signatures.values())).digest()
        return None

    def _wait(self, offer: Offer, reason: Reason) -> BindingAnswer:
        request = offer.request
        member, key_id = request.member, request.key_id
        if reason is Reason.KEY_APPROVAL_NEEDED:
            known, said = self._subjects.member_row(member), self._said_of(offer)
            if known != said and not (
                known and known.external_id and self._keys.devices_of(member)
            ):
                self._subjects.save_member(member, said)
                if known is not None:
                    # Approvers saw somebody else's name when they signed.
                    self._approvals.forget_for_keys(member)
            waiting = self._keys.offered((member, key_id))
            if waiting is None and self._keys.count_offered(member) >= _MOST_OFFERED:
                return self._refuse(member, key_id, Reason.TOO_MANY_DEVICES)
            self._keys.offer(
                OfferedKeyRow(
                    key_id,
                    member,
                    request.suite,
                    request.hpke_public_key,
                    request.signing_public_key,
                    offer.possession_proof,
                    request.replaces,
                    self._clock(),
                )
            )
        return BindingAnswer(member, key_id, reason, waits=True)

    def _refuse(self, member: bytes, key_id: bytes, reason: Reason) -> BindingAnswer:
        """One entry for each refused key, however often it is offered."""
        position = self._keys.refusal_of(key_id, member)
        if position is None:
            position = self._ledger.append(KeyRefused(member, key_id, reason))
            self._keys.refuse(key_id, member, reason, position)
        return BindingAnswer(member, key_id, reason, position)

    @staticmethod
    def _gone(member: bytes, key_id: bytes, position: int) -> BindingAnswer:
        return BindingAnswer(member, key_id, position=position, unbound=True)
