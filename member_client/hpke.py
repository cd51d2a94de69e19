"""Raw cryptography: HPKE base mode (RFC 9180) with X-Wing, HKDF-SHA256 and AES-256-GCM.

X-Wing is that of draft-connolly-cfrg-xwing-kem: a private key is a seed of 32 bytes; SHAKE256
expands it to the ML-KEM-768 seed d ‖ z (64 bytes) and the X25519 private key (32 bytes); a public
key is 1184 ‖ 32 bytes. Whoever calls binds the context in `info`.
"""

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from groupseal.errors import MalformedError, WrongContextError
from groupseal.suites import Suite as SuiteNumber
from member_client.secret import Secret

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_MLKEM_SEED_LENGTH = 64
_MLKEM_PUBLIC_LENGTH = 1184


class XWingSeed(Secret):
    """An X-Wing private key: 32 bytes."""


def private_key(seed: XWingSeed) -> MLKEM768X25519PrivateKey:
    return MLKEM768X25519PrivateKey(*_halves(seed))


def public_key(seed: XWingSeed) -> bytes:
    """The public half, 1216 bytes."""
    mlkem, x25519 = _halves(seed)
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def _halves(seed: XWingSeed) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    expanded = hashlib.shake_256(seed.reveal()).digest(_MLKEM_SEED_LENGTH + 32)
    return (
        MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_LENGTH]),
        X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_LENGTH:]),
    )


def seal(plaintext: bytes, to_public_key: bytes, info: bytes) -> bytes:
    """enc ‖ ciphertext. Raises MalformedError where the key is not an X-Wing public key."""
    if len(to_public_key) != SuiteNumber.XWING.public_key_length:
        raise MalformedError("the key to seal to is not an X-Wing public key")
    try:
        recipient = MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(to_public_key[:_MLKEM_PUBLIC_LENGTH]),
            X25519PublicKey.from_public_bytes(to_public_key[_MLKEM_PUBLIC_LENGTH:]),
        )
        # A point of low order is noticed here only.
        return _SUITE.encrypt(plaintext, recipient, info=info)
    except ValueError as error:
        raise MalformedError("the key to seal to is not an X-Wing public key") from error


def open_sealed(sealed: bytes, seed: XWingSeed, info: bytes) -> bytes:
    """The plaintext of enc ‖ ciphertext.

    Raises WrongContextError: one bit of another key, another `info` or other bytes, and it stays
    closed. Which of them it was cannot be told.
    """
    if len(sealed) < SuiteNumber.XWING.sealed_length(0):
        raise MalformedError("sealed bytes are longer than that")
    try:
        return _SUITE.decrypt(sealed, private_key(seed), info=info)
    except (InvalidTag, ValueError) as error:
        raise WrongContextError("the sealed bytes do not open in this context") from error
