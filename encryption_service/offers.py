"""Offered keys and removals, from the messages of the contract: proofs and evidence verified.

Runs in the threads of calls, outside the writer: evidence may need the identity provider's keys.
"""

from typing import Protocol

import structlog

from encryption_api import encryption_pb2 as pb
from encryption_service.binding_rules import Offer
from encryption_service.bindings import BindingAnswer, Removal
from encryption_service.oidc.verifier import EvidenceError, VerifiedEvidence
from encryption_service.sealing import check_public_key
from groupseal.bindings import BindingRequest
from groupseal.encoding import HASH_LENGTH, ID_LENGTH
from groupseal.errors import MalformedError, SignatureError
from groupseal.evidence import MAX_SEALED_EVIDENCE
from groupseal.key_removal import KeyRemoval
from groupseal.reasons import Reason
from groupseal.suites import suite_from

_log = structlog.get_logger(__name__)
_LONGEST_NAME = 1024


class Verifier(Protocol):
    """What evidence is verified with in mode `oidc`."""

    def verify(self, request: BindingRequest, sealed_evidence: bytes) -> VerifiedEvidence: ...


class OfferReader:
    """Takes messages apart. Without a verifier, evidence is not looked at."""

    def __init__(self, organisation: bytes, verifier: Verifier | None) -> None:
        self._organisation = organisation
        self._verifier = verifier

    def offer(self, binding: pb.KeyBinding) -> Offer | BindingAnswer:
        """The offered key with its proofs verified, or the answer that refuses it."""
        try:
            request = BindingRequest(
                self._organisation,
                binding.member_id,
                suite_from(binding.suite),
                binding.hpke_public_key,
                binding.signing_public_key,
                binding.replaces,
            )
            request.message()  # refuses a member id of another length
            check_public_key(request.suite, request.hpke_public_key)
        except (MalformedError, ValueError):  # of lengths, or of a key that nothing seals to
            return BindingAnswer(binding.member_id, b"", Reason.MALFORMED)
        if not _is_bounded(binding):
            return BindingAnswer(request.member, request.key_id, Reason.MALFORMED)
        try:
            request.verify_possession(binding.possession_proof)
        except SignatureError:
            return BindingAnswer(request.member, request.key_id, Reason.POSSESSION_UNPROVEN)
        evidence, fault = self._evidence(request, binding.sealed_evidence)
        return Offer(
            request,
            binding.possession_proof,
            binding.endorsing_key_id,
            binding.endorsement,
            evidence,
            fault,
            binding.external_id,
            binding.user_name,
        )

    def removal(self, message: pb.KeyRemoval) -> Removal | BindingAnswer:
        """The request, which is verified where the bound keys are known."""
        well_formed = (
            len(message.member_id) == ID_LENGTH
            and len(message.key_id) == HASH_LENGTH
            and len(message.signing_key_id) == HASH_LENGTH
        )
        if not well_formed:
            return BindingAnswer(message.member_id, message.key_id, Reason.MALFORMED)
        request = KeyRemoval(self._organisation, message.member_id, message.key_id)
        return Removal(request, message.signing_key_id, message.signature)

    def _evidence(
        self, request: BindingRequest, sealed: bytes
    ) -> tuple[VerifiedEvidence | None, Reason | None]:
        if self._verifier is None or not sealed:
            return None, None
        try:
            return self._verifier.verify(request, sealed), None
        except EvidenceError as error:
            # Its text quotes no evidence; it says what is wrong with the provider, if it is that.
            _log.warning("evidence_refused", reason=str(error.reason), detail=str(error))
            return None, error.reason


def _is_bounded(binding: pb.KeyBinding) -> bool:
    return (
        len(binding.sealed_evidence) <= MAX_SEALED_EVIDENCE
        and len(binding.external_id) <= _LONGEST_NAME
        and len(binding.user_name) <= _LONGEST_NAME
    )
