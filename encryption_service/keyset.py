"""The organisation's own keys, made at the first start and stored only sealed.

The keyset is sealed with AES-256-GCM under a data key, and that is wrapped by the root key
provider; both are bound to the organisation.
"""

import os
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from encryption_service.errors import RootKeyError
from encryption_service.group_secrets import derive_xwing_public_key
from encryption_service.root_key import RootKeyProvider
from encryption_service.secret_bytes import SecretBytes
from encryption_service.server_authority import make_authority
from groupseal.encoding import Reader, Writer
from groupseal.errors import MalformedError
from groupseal.labels import Label

_VERSION = 1
_KEY_LENGTH = 32
_NONCE_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Keyset:
    """Everything that the organisation signs, opens and encrypts with."""

    organisation: bytes
    signing_seed: SecretBytes
    evidence_seed: SecretBytes
    # Version -> AES-256 key for group secrets at rest.
    key_encryption_keys: dict[int, SecretBytes]
    # The server's own certificate authority: PKCS #8 DER and its certificate in PEM.
    authority_key: SecretBytes
    authority_certificate: str

    @property
    def signing_key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.signing_seed.reveal())

    @property
    def signing_public_key(self) -> bytes:
        return self.signing_key.public_key().public_bytes_raw()

    @property
    def evidence_public_key(self) -> bytes:
        return derive_xwing_public_key(self.evidence_seed)

    def to_secret(self) -> SecretBytes:
        writer = Writer().u8(_VERSION).identifier(self.organisation)
        writer.fixed(self.signing_seed.reveal(), _KEY_LENGTH)
        writer.fixed(self.evidence_seed.reveal(), _KEY_LENGTH).u32(len(self.key_encryption_keys))
        for version, key in sorted(self.key_encryption_keys.items()):
            writer.u32(version).fixed(key.reveal(), _KEY_LENGTH)
        writer.var(self.authority_key.reveal()).text(self.authority_certificate)
        return SecretBytes(writer.bytes())

    @staticmethod
    def from_secret(secret: SecretBytes) -> "Keyset":
        """Raises MalformedError."""
        reader = Reader(secret.reveal())
        if (version := reader.u8()) != _VERSION:
            raise MalformedError(f"the keyset has version {version}, unknown here: upgrade")
        keyset = Keyset(
            reader.identifier(),
            SecretBytes(reader.fixed(_KEY_LENGTH)),
            SecretBytes(reader.fixed(_KEY_LENGTH)),
            {reader.u32(): SecretBytes(reader.fixed(_KEY_LENGTH)) for _ in range(reader.u32())},
            SecretBytes(reader.var()),
            reader.text(),
        )
        reader.end()
        return keyset


def make_keyset(organisation: bytes, now_ms: int) -> Keyset:
    """New keys for a new organisation."""
    authority_key, authority_certificate = make_authority(organisation, now_ms)
    return Keyset(
        organisation,
        SecretBytes.random(),
        SecretBytes.random(),
        {1: SecretBytes.random()},
        authority_key,
        authority_certificate,
    )


def seal_keyset(keyset: Keyset, provider: RootKeyProvider) -> bytes:
    """Label, provider's name, wrapped data key, nonce (12) ‖ ciphertext."""
    context = _context(keyset.organisation)
    data_key, nonce = SecretBytes.random(), os.urandom(_NONCE_LENGTH)
    ciphertext = AESGCM(data_key.reveal()).encrypt(nonce, keyset.to_secret().reveal(), context)
    writer = Writer(Label.SEALED_KEYSET).text(provider.name)
    return writer.var(provider.wrap(data_key, context)).var(nonce + ciphertext).bytes()


def unseal_keyset(sealed: bytes, organisation: bytes, provider: RootKeyProvider) -> Keyset:
    """Raises RootKeyError for another root key, MalformedError for what is no sealed keyset."""
    reader = Reader(sealed, Label.SEALED_KEYSET)
    name, wrapped, body = reader.text(), reader.var(), reader.var()
    reader.end()
    if name != provider.name:
        raise RootKeyError(f"the keyset is sealed by the root key provider `{name}`")
    context = _context(organisation)
    data_key = provider.unwrap(wrapped, context)
    try:
        opened = AESGCM(data_key.reveal()).decrypt(
            body[:_NONCE_LENGTH], body[_NONCE_LENGTH:], context
        )
    except (InvalidTag, ValueError) as error:
        raise RootKeyError("the sealed keyset is damaged: restore the volume") from error
    return Keyset.from_secret(SecretBytes(opened))


def _context(organisation: bytes) -> bytes:
    return Writer(Label.SEALED_KEYSET).identifier(organisation).bytes()
