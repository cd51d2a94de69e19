"""Group secrets: made, derived from, sealed for the store, linked to the epoch before.

`make_` is random, `derive_` is deterministic.
"""

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from encryption_service.errors import RootKeyError
from encryption_service.secret_bytes import SecretBytes
from groupseal.envelopes import GROUP_SECRET_LENGTH, group_context, sealed_secret_context
from groupseal.labels import Label

SEED_LENGTH = 32
_NONCE_LENGTH = 12
_VERSION_LENGTH = 4


def make_group_secret() -> SecretBytes:
    """The secret of a new epoch."""
    return SecretBytes.random(GROUP_SECRET_LENGTH)


def derive_key(
    label: Label, secret: SecretBytes, organisation: bytes, group: bytes, epoch: int
) -> SecretBytes:
    """32 bytes by HKDF-SHA256 (RFC 5869) without salt, info = the group's context."""
    info = group_context(label, organisation, group, epoch)
    return SecretBytes(HKDF(hashes.SHA256(), 32, None, info).derive(secret.reveal()))


def derive_xwing_private_keys(
    seed: SecretBytes,
) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    """Both halves of the X-Wing private key (draft-connolly-cfrg-xwing-kem, section 5.2).

    SHAKE256(seed, 96): the first 64 bytes are the ML-KEM-768 seed d ‖ z, the last 32 the X25519
    private key.
    """
    if len(seed) != SEED_LENGTH:
        raise ValueError(f"an X-Wing seed has {SEED_LENGTH} bytes")
    expanded = hashlib.shake_256(seed.reveal()).digest(96)
    return (
        MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        X25519PrivateKey.from_private_bytes(expanded[64:]),
    )


def derive_xwing_public_key(seed: SecretBytes) -> bytes:
    """Public key (1184 ‖ 32 bytes) of the X-Wing seed."""
    mlkem, x25519 = derive_xwing_private_keys(seed)
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def derive_group_public_key(
    secret: SecretBytes, organisation: bytes, group: bytes, epoch: int
) -> bytes:
    """Public half of the epoch's key pair, to which anyone may share."""
    seed = derive_key(Label.DERIVE_GROUP_KEY, secret, organisation, group, epoch)
    return derive_xwing_public_key(seed)


def make_history_link(
    secret: SecretBytes, previous: SecretBytes, organisation: bytes, group: bytes, epoch: int
) -> bytes:
    """The previous epoch's secret, sealed so that the holders of this epoch's can read back.

    Nonce (12) ‖ AES-256-GCM ciphertext under the epoch's history key.
    """
    key = derive_key(Label.DERIVE_HISTORY_KEY, secret, organisation, group, epoch)
    nonce = os.urandom(_NONCE_LENGTH)
    context = group_context(Label.HISTORY_LINK, organisation, group, epoch)
    return nonce + AESGCM(key.reveal()).encrypt(nonce, previous.reveal(), context)


class SecretVault:
    """Seals group secrets under the organisation's key-encryption keys, for store and ledger."""

    def __init__(self, organisation: bytes, keys: dict[int, SecretBytes]) -> None:
        self._organisation = organisation
        self._keys = keys
        self._newest = max(keys)

    def seal(self, secret: SecretBytes, group: bytes, epoch: int) -> bytes:
        """Key version (u32) ‖ nonce (12) ‖ AES-256-GCM ciphertext."""
        version, nonce = self._newest, os.urandom(_NONCE_LENGTH)
        context = sealed_secret_context(self._organisation, group, epoch, version)
        ciphertext = AESGCM(self._keys[version].reveal()).encrypt(nonce, secret.reveal(), context)
        return version.to_bytes(_VERSION_LENGTH, "big") + nonce + ciphertext

    def unseal(self, sealed: bytes, group: bytes, epoch: int) -> SecretBytes:
        """The inverse of `seal`. Raises RootKeyError where it does not open."""
        version = int.from_bytes(sealed[:_VERSION_LENGTH], "big")
        rest = sealed[_VERSION_LENGTH:]
        context = sealed_secret_context(self._organisation, group, epoch, version)
        try:
            key = self._keys[version].reveal()
            secret = AESGCM(key).decrypt(rest[:_NONCE_LENGTH], rest[_NONCE_LENGTH:], context)
        except (KeyError, InvalidTag, ValueError) as error:
            raise RootKeyError(
                "a stored group secret does not open under this keyset: store and keyset do not "
                "belong together. Run `encryption-service fsck`."
            ) from error
        return SecretBytes(secret)
