"""Whether an offered key is bound, refused, or waits: the rules of each trust mode. Pure.

In every mode: a key is bound once, to one member, and never again after it was removed; another
device may be added by the signature of a bound key. Beyond that

- `oidc` takes evidence of the customer's identity provider, newer than any seen of that person;
- `approve` waits for an approver;
- `pin` takes the first key that it sees for a member, by the vendor's word.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from encryption_service.key_store import BoundKeyRow
from encryption_service.oidc.verifier import VerifiedEvidence
from encryption_service.policy.policy import Policy
from encryption_service.subject_store import SubjectRow
from groupseal.bindings import BindingRequest
from groupseal.errors import SignatureError
from groupseal.reasons import Reason
from groupseal.suites import Suite
from groupseal.trust import TrustMode

_SKEW_MS = 60_000


@dataclass(frozen=True, slots=True)
class Offer:
    """A key offered for a member, with a proof of possession that was verified.

    `evidence` was verified as far as that goes without the store and the policy;
    `evidence_fault` says why it was not.
    """

    request: BindingRequest
    possession_proof: bytes
    endorsing_key_id: bytes = b""
    endorsement: bytes = b""
    evidence: VerifiedEvidence | None = None
    evidence_fault: Reason | None = None
    # By the vendor's word.
    external_id: str = ""
    user_name: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the store says at this moment."""

    # The member's bound keys.
    devices: Sequence[BoundKeyRow]
    # The binding of this very key, if there is one.
    holder: BoundKeyRow | None = None
    # It was bound once.
    is_former: bool = False
    # Who the member is, and which member the evidence's subject is.
    subject: SubjectRow | None = None
    subjects_member: SubjectRow | None = None
    # Approvers whose signature for this key is in force; or the command on the socket.
    approvers: frozenset[bytes] = frozenset()
    approved_by_command: bool = False
    was_refused_by_approver: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """What the service allows."""

    mode: TrustMode
    allowed_suites: tuple[Suite, ...]
    max_devices: int
    policy: Policy


class Verdict(Enum):
    """What becomes of an offer."""

    BIND = "bind"
    REFUSE = "refuse"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Decision:
    """`mode` of a key to bind: by which evidence; `endorser` where a bound key vouches for it.

    `by_evidence`: the offer's evidence is this member's and was taken; otherwise it says nothing.
    """

    verdict: Verdict
    reason: Reason | None = None
    mode: TrustMode | None = None
    endorser: BoundKeyRow | None = None
    by_evidence: bool = False


def decide(offer: Offer, facts: Facts, rules: Rules, now_ms: int) -> Decision:
    """The decision about a key that is not bound to this member already."""
    if (reason := _never(offer, facts, rules)) is not None:
        return Decision(Verdict.REFUSE, reason)
    decision = _by_mode(offer, facts, rules, now_ms)
    endorser = _endorser(offer, facts.devices)
    if endorser is not None:
        decision = _endorsed(decision, endorser)
    is_one_more = decision.verdict is Verdict.BIND and not offer.request.replaces
    if is_one_more and len(facts.devices) >= rules.max_devices:
        return Decision(Verdict.REFUSE, Reason.TOO_MANY_DEVICES)
    return decision


def _never(offer: Offer, facts: Facts, rules: Rules) -> Reason | None:
    """What no evidence changes."""
    suites = rules.policy.suites
    if facts.was_refused_by_approver:
        return Reason.KEY_REFUSED_BY_APPROVER
    if facts.holder is not None:
        return Reason.KEY_OF_ANOTHER_MEMBER
    if facts.is_former:
        return Reason.KEY_WAS_REMOVED
    if offer.request.suite not in rules.allowed_suites:
        return Reason.SUITE_NOT_ALLOWED
    if suites is not None and offer.request.suite not in suites:
        return Reason.SUITE_NOT_ALLOWED
    return None


def _endorser(offer: Offer, devices: Sequence[BoundKeyRow]) -> BoundKeyRow | None:
    endorser = next((d for d in devices if d.key_id == offer.endorsing_key_id), None)
    if endorser is None:
        return None
    try:
        offer.request.verify_endorsement(endorser.signing_public_key, offer.endorsement)
    except SignatureError:
        return None
    return endorser


def _endorsed(decision: Decision, endorser: BoundKeyRow) -> Decision:
    """What the mode demands counts where it is there, otherwise as much as the endorsing key."""
    if decision.verdict is Verdict.BIND:
        return replace(decision, endorser=endorser)
    return Decision(Verdict.BIND, None, TrustMode(endorser.trust_mode), endorser)


def _by_mode(offer: Offer, facts: Facts, rules: Rules, now_ms: int) -> Decision:
    match rules.mode:
        case TrustMode.OIDC:
            return _by_evidence(offer, facts, rules.policy, now_ms)
        case TrustMode.APPROVE:
            return _by_approval(facts, rules.policy)
        case TrustMode.PIN:
            if facts.devices:
                return Decision(Verdict.REFUSE, Reason.ANOTHER_KEY_IS_BOUND)
            return Decision(Verdict.BIND, mode=TrustMode.PIN)


def _by_evidence(offer: Offer, facts: Facts, policy: Policy, now_ms: int) -> Decision:
    if offer.evidence_fault is Reason.IDENTITY_PROVIDER_UNAVAILABLE:
        return Decision(Verdict.WAIT, offer.evidence_fault)
    reason = offer.evidence_fault or _evidence_fault(offer, facts, policy, now_ms)
    if reason is not None:
        return Decision(Verdict.REFUSE, reason)
    return Decision(Verdict.BIND, mode=TrustMode.OIDC, by_evidence=True)


def _evidence_fault(offer: Offer, facts: Facts, policy: Policy, now_ms: int) -> Reason | None:
    """What the store and the policy have against evidence that verifies."""
    evidence = offer.evidence
    if evidence is None:
        return Reason.EVIDENCE_NEEDED
    if not _is_this_member(offer, evidence, facts):
        return Reason.EVIDENCE_OF_ANOTHER_MEMBER
    # Equal is well: tokens count seconds, a token vouches for one key alone, and a key that was
    # removed stays so.
    if facts.subject is not None and evidence.issued_at_ms < facts.subject.evidence_time_ms:
        return Reason.EVIDENCE_REPLAYED
    if policy.required_acr and evidence.acr not in policy.required_acr:
        return Reason.EVIDENCE_TOO_WEAK
    if offer.request.replaces and not _is_fresh(evidence, policy, now_ms):
        return Reason.EVIDENCE_NOT_FRESH
    return None


def _is_this_member(offer: Offer, evidence: VerifiedEvidence, facts: Facts) -> bool:
    """One member id for one (issuer, subject), for ever, and the other way round."""
    who = (evidence.issuer, evidence.subject)
    if facts.subject is not None and (facts.subject.issuer, facts.subject.subject) != who:
        return False
    known, member = facts.subjects_member, offer.request.member
    if known is not None and known.member != member:
        return False
    # The vendor's word cannot let anybody in; that it differs shows a mistaken set-up early.
    return not offer.external_id or offer.external_id == evidence.subject


def _is_fresh(evidence: VerifiedEvidence, policy: Policy, now_ms: int) -> bool:
    signed_in = evidence.auth_time_ms
    if signed_in is None:
        return False
    return now_ms - signed_in <= policy.replacement_max_auth_age_ms + _SKEW_MS


def _by_approval(facts: Facts, policy: Policy) -> Decision:
    if facts.approved_by_command and policy.key_approvals == 0:
        return Decision(Verdict.BIND, mode=TrustMode.APPROVE)
    in_force = facts.approvers & policy.approvers.keys()
    if policy.key_approvals and len(in_force) >= policy.key_approvals:
        return Decision(Verdict.BIND, mode=TrustMode.APPROVE)
    return Decision(Verdict.WAIT, Reason.KEY_APPROVAL_NEEDED)
