"""Member keys that are the same in each run, so that a failing example can be run again."""

import hashlib
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from encryption_service.binding_rules import Offer
from encryption_service.bindings import Removal
from encryption_service.oidc.verifier import VerifiedEvidence
from groupseal.bindings import BindingRequest
from groupseal.identifiers import member_key_id
from groupseal.key_removal import KeyRemoval
from groupseal.suites import Suite
from tests.support.devices import xwing_private_key
from tests.support.trust_model import Asked

ISSUER = "https://id.example.com"


@dataclass(frozen=True)
class MemberKey:
    """A device's keys."""

    member: bytes
    suite: Suite
    public_key: bytes
    signing_key: Ed25519PrivateKey

    @property
    def signing_public_key(self) -> bytes:
        return self.signing_key.public_key().public_bytes_raw()

    @property
    def key_id(self) -> bytes:
        return member_key_id(self.suite, self.public_key, self.signing_public_key)

    @property
    def suite_name(self) -> str:
        return self.suite.name.lower()

    def offer(self, organisation: bytes, asked: Asked, endorser: "MemberKey | None") -> Offer:
        """What the service makes of the vendor's message and the evidence in it."""
        request = BindingRequest(
            organisation,
            self.member,
            self.suite,
            self.public_key,
            self.signing_public_key,
            asked.replaces,
        )
        said, evidence = asked.evidence, None
        if said is not None and said.fault is None:
            digest = hashlib.sha256(repr(said).encode()).digest()
            evidence = VerifiedEvidence(
                issuer=ISSUER,
                subject=said.subject,
                issued_at_ms=said.issued_ms,
                auth_time_ms=said.signed_in_ms,
                acr=said.acr,
                digest=digest,
            )
        signed = endorser.signing_key.sign(request.endorsement_message()) if endorser else b""
        return Offer(
            request,
            self.signing_key.sign(request.message()),
            endorser.key_id if endorser else b"",
            signed,
            evidence,
            said.fault if said else None,
            asked.external_id,
            "somebody@example.com",
        )

    def removal(self, organisation: bytes, signer: "MemberKey") -> Removal:
        """The member's request to remove this key."""
        request = KeyRemoval(organisation, self.member, self.key_id)
        return Removal(request, signer.key_id, signer.signing_key.sign(request.message()))


@cache
def make_key(member: bytes, number: int) -> MemberKey:
    """Every fourth key is of the suite for clients that have nothing else."""
    seed = hashlib.sha256(member + bytes([number])).digest()
    signing_key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed).digest())
    if number % 4 == 3:
        private_key = X25519PrivateKey.from_private_bytes(seed)
        public_key = private_key.public_key().public_bytes_raw()
        return MemberKey(member, Suite.X25519, public_key, signing_key)
    return MemberKey(member, Suite.XWING, xwing_private_key(seed)[1], signing_key)
