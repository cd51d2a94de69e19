"""A member's device: real keys, real proofs, and its own opening of envelopes."""

import hashlib
import os
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey
from cryptography.hazmat.primitives.hpke import Suite as HpkeSuite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from encryption_api import encryption_pb2 as pb
from groupseal.bindings import BindingRequest
from groupseal.envelopes import envelope_info, group_context
from groupseal.identifiers import identifier_to_text
from groupseal.key_removal import KeyRemoval
from groupseal.labels import Label
from groupseal.suites import Suite

_HPKE = HpkeSuite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def xwing_private_key(seed: bytes) -> tuple[MLKEM768X25519PrivateKey, bytes]:
    """Private key and public key (1216 bytes) of an X-Wing seed."""
    expanded = hashlib.shake_256(seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
    public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return MLKEM768X25519PrivateKey(mlkem, x25519), public


@dataclass
class Device:
    """One device of one member of one organisation."""

    organisation: bytes
    member: bytes = field(default_factory=lambda: os.urandom(16))

    def __post_init__(self) -> None:
        self._hpke_key, self.hpke_public_key = xwing_private_key(os.urandom(32))
        self._signing_key = Ed25519PrivateKey.generate()
        self.request = BindingRequest(
            self.organisation,
            self.member,
            Suite.XWING,
            self.hpke_public_key,
            self._signing_key.public_key().public_bytes_raw(),
        )

    @property
    def key_id(self) -> bytes:
        return self.request.key_id

    @property
    def member_text(self) -> str:
        return identifier_to_text(self.member)

    def request_to_bind(self, *, replaces: bool = False) -> BindingRequest:
        return replace(self.request, replaces=replaces)

    def binding(
        self, endorser: "Device | None" = None, *, replaces: bool = False, **fields: object
    ) -> pb.KeyBinding:
        """The message that offers this device's key."""
        request = self.request_to_bind(replaces=replaces)
        binding = pb.KeyBinding(
            member_id=self.member,
            suite=Suite.XWING,
            hpke_public_key=self.hpke_public_key,
            signing_public_key=self.request.signing_public_key,
            possession_proof=self._signing_key.sign(request.message()),
            replaces=replaces,
            **fields,  # type: ignore[arg-type] # named by the test
        )
        if endorser is not None:
            binding.endorsing_key_id = endorser.key_id
            binding.endorsement = endorser._signing_key.sign(request.endorsement_message())
        return binding

    def removal(self, key_id: bytes, *, of: bytes | None = None) -> pb.KeyRemoval:
        """The message by which this device removes a key of its member (or `of` another one)."""
        member = of or self.member
        removal = KeyRemoval(self.organisation, member, key_id)
        return pb.KeyRemoval(
            member_id=member,
            key_id=key_id,
            signing_key_id=self.key_id,
            signature=self._signing_key.sign(removal.message()),
        )

    def open(self, envelope: bytes, group: bytes, epoch: int) -> bytes:
        """The group secret in an envelope for this device."""
        info = envelope_info(self.organisation, group, epoch, self.member, self.key_id)
        return _HPKE.decrypt(envelope, self._hpke_key, info=info)


def group_public_key(secret: bytes, organisation: bytes, group: bytes, epoch: int) -> bytes:
    """What the secret must yield."""
    return xwing_private_key(_derive(Label.DERIVE_GROUP_KEY, secret, organisation, group, epoch))[1]


def open_history_link(
    link: bytes, secret: bytes, organisation: bytes, group: bytes, epoch: int
) -> bytes:
    """The secret of the epoch before."""
    key = _derive(Label.DERIVE_HISTORY_KEY, secret, organisation, group, epoch)
    context = group_context(Label.HISTORY_LINK, organisation, group, epoch)
    return AESGCM(key).decrypt(link[:12], link[12:], context)


def _derive(label: Label, secret: bytes, organisation: bytes, group: bytes, epoch: int) -> bytes:
    info = group_context(label, organisation, group, epoch)
    return HKDF(hashes.SHA256(), 32, None, info).derive(secret)
