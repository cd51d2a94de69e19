"""HPKE sealing (RFC 9180, base mode): all of it. Nothing else in the service seals to members."""

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PublicKey,
)
from cryptography.hazmat.primitives.hpke import Suite as HpkeSuite

from groupseal.suites import Suite

_MLKEM_LENGTH = 1184
# Which private key does not matter: a bad public key has no secret to share with any.
_PROBE = X25519PrivateKey.from_private_bytes(bytes(range(32)))
_HPKE = {
    Suite.XWING: HpkeSuite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
    Suite.X25519: HpkeSuite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
}


def seal_xwing(plaintext: bytes, public_key: bytes, info: bytes) -> bytes:
    """enc ‖ ciphertext for an X-Wing public key (ML-KEM-768 ‖ X25519). Raises ValueError."""
    key = MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(public_key[:_MLKEM_LENGTH]),
        X25519PublicKey.from_public_bytes(public_key[_MLKEM_LENGTH:]),
    )
    return _HPKE[Suite.XWING].encrypt(plaintext, key, info=info)


def seal_x25519(plaintext: bytes, public_key: bytes, info: bytes) -> bytes:
    """enc ‖ ciphertext for an X25519 public key. Raises ValueError."""
    key = X25519PublicKey.from_public_bytes(public_key)
    return _HPKE[Suite.X25519].encrypt(plaintext, key, info=info)


SEALERS: dict[int, Callable[[bytes, bytes, bytes], bytes]] = {
    Suite.XWING: seal_xwing,
    Suite.X25519: seal_x25519,
}


def check_public_key(suite: Suite, public_key: bytes) -> None:
    """Refuses a key to which nothing can be sealed: bound, it would fail every batch it is in.

    ML-KEM demands canonical coefficients (FIPS 203 §7.2), X25519 a shared secret other than zero
    (RFC 9180 §7.1.4). Raises ValueError.
    """
    x25519 = public_key
    if suite is Suite.XWING:
        MLKEM768PublicKey.from_public_bytes(public_key[:_MLKEM_LENGTH])
        x25519 = public_key[_MLKEM_LENGTH:]
    _PROBE.exchange(X25519PublicKey.from_public_bytes(x25519))
