"""Sealed evidence: opened with the organisation's evidence key (HPKE base mode, RFC 9180)."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite

from encryption_service.group_secrets import derive_xwing_private_keys
from encryption_service.oidc.errors import EvidenceError
from encryption_service.secret_bytes import SecretBytes
from groupseal.bindings import BindingRequest
from groupseal.errors import MalformedError
from groupseal.evidence import MAX_SEALED_EVIDENCE, Evidence, evidence_info
from groupseal.reasons import Reason

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class EvidenceOpener:
    """Holds the evidence key; shows nothing of it."""

    __slots__ = ("_key",)

    def __init__(self, evidence_seed: SecretBytes) -> None:
        self._key = MLKEM768X25519PrivateKey(*derive_xwing_private_keys(evidence_seed))

    def open(self, request: BindingRequest, sealed: bytes) -> Evidence:
        """The evidence that was sealed for this organisation, member and key.

        Raises EvidenceError. Evidence that was moved to another request stays closed: `info`
        names all three.
        """
        if len(sealed) > MAX_SEALED_EVIDENCE:
            raise EvidenceError(
                Reason.EVIDENCE_INVALID,
                f"sealed evidence has at most {MAX_SEALED_EVIDENCE} bytes, this has {len(sealed)}",
            )
        info = evidence_info(request.organisation, request.member, request.key_id)
        try:
            return Evidence.from_bytes(_SUITE.decrypt(sealed, self._key, info=info))
        except (InvalidTag, ValueError, MalformedError) as error:
            raise EvidenceError(
                Reason.EVIDENCE_INVALID,
                "the evidence was not sealed for this organisation, member and key",
            ) from error
