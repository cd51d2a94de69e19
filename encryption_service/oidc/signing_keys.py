"""The provider's public keys (JWK Set, RFC 7517), and which algorithm each may be used with.

An algorithm is chosen by the key, never by the token: the token's `alg` must be one that the key
is for (RFC 8725, sections 3.1 and 3.2). Symmetric algorithms and `none` are for no key.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from encryption_service.oidc.strict_json import JsonError, read_object

PublicKey = RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey

MAX_KEYS = 100
MAX_KID_LENGTH = 256
_MIN_RSA_BITS, _MAX_RSA_BITS = 2048, 8192
_MAX_EXPONENT_BYTES = 4
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
# RFC 7518, section 3.4: an elliptic curve algorithm is for one curve.
_CURVES: dict[str, tuple[str, ec.EllipticCurve]] = {
    "P-256": ("ES256", ec.SECP256R1()),
    "P-384": ("ES384", ec.SECP384R1()),
    "P-521": ("ES512", ec.SECP521R1()),
}
ALGORITHMS = _RSA | {name for name, _ in _CURVES.values()} | {"EdDSA"}
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class KeySetError(ValueError):
    """The bytes are no JWK Set, or one of an unreasonable size."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that the provider signs with."""

    kid: str | None
    algorithms: frozenset[str]
    key: PublicKey = field(repr=False)

    def fits(self, alg: str, kid: str | None) -> bool:
        """Whether a token with this header may be signed by this key; without kid, any may."""
        return alg in self.algorithms and (kid is None or kid == self.kid)


def read_key_set(data: bytes) -> tuple[SigningKey, ...]:
    """The keys in the set that may verify signatures. Raises KeySetError.

    Others are passed over, as RFC 7517, section 5, says: keys to encrypt with, of unknown types,
    damaged, too short, symmetric, and private ones, which nobody should have published.
    """
    try:
        keys = read_object(data).get("keys")
    except JsonError as error:
        raise KeySetError("the key set is no JSON object") from error
    if not isinstance(keys, list):
        raise KeySetError("the key set has no list `keys`")
    if len(keys) > MAX_KEYS:
        raise KeySetError(f"the key set has more than {MAX_KEYS} keys")
    return tuple(key for jwk in keys if (key := _read_key(jwk)) is not None)


def _read_key(jwk: object) -> SigningKey | None:
    if not isinstance(jwk, dict) or not _is_to_verify(jwk):
        return None
    try:
        key, algorithms = _READERS[jwk["kty"]](jwk)
    except (KeyError, TypeError, ValueError, UnsupportedAlgorithm):
        return None
    if "alg" in jwk:
        algorithms &= {jwk["alg"]} if isinstance(jwk["alg"], str) else set()
    return SigningKey(jwk.get("kid"), algorithms, key) if algorithms else None


def _is_to_verify(jwk: Mapping[str, Any]) -> bool:
    """By `use` (RFC 7517, section 4.2), `key_ops` (4.3) and `kid` (4.5); all are optional."""
    operations = jwk.get("key_ops", ["verify"])
    kid = jwk.get("kid")
    return (
        jwk.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and (kid is None or (isinstance(kid, str) and len(kid) <= MAX_KID_LENGTH))
        and not _PRIVATE_MEMBERS & jwk.keys()
    )


def _rsa(jwk: Mapping[str, Any]) -> tuple[PublicKey, frozenset[str]]:
    modulus, exponent = _octets(jwk["n"]), _octets(jwk["e"])
    if len(modulus) > _MAX_RSA_BITS // 8 or len(exponent) > _MAX_EXPONENT_BYTES:
        raise ValueError("an RSA key of unreasonable size")
    numbers = RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
    key = numbers.public_key()
    if key.key_size < _MIN_RSA_BITS:
        raise ValueError("an RSA key that is too short")
    return key, _RSA


def _elliptic(jwk: Mapping[str, Any]) -> tuple[PublicKey, frozenset[str]]:
    algorithm, curve = _CURVES[jwk["crv"]]
    x, y = _octets(jwk["x"]), _octets(jwk["y"])
    if not len(x) == len(y) == (curve.key_size + 7) // 8:
        raise ValueError("coordinates of another length than the curve's")
    numbers = ec.EllipticCurvePublicNumbers(
        int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve
    )
    return numbers.public_key(), frozenset({algorithm})


def _edwards(jwk: Mapping[str, Any]) -> tuple[PublicKey, frozenset[str]]:
    """RFC 8037; Ed25519 alone."""
    if jwk["crv"] != "Ed25519":
        raise ValueError("another curve than Ed25519")
    return Ed25519PublicKey.from_public_bytes(_octets(jwk["x"])), frozenset({"EdDSA"})


_READERS = {"RSA": _rsa, "EC": _elliptic, "OKP": _edwards}


def _octets(value: object) -> bytes:
    """base64url without padding (RFC 7515, section 2). Raises ValueError."""
    if not isinstance(value, str) or "=" in value:
        raise ValueError("not base64url")
    try:
        padded = value + "=" * (-len(value) % 4)
        return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("not base64url") from error
