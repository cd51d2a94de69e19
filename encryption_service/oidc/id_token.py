"""ID tokens (OpenID Connect Core 1.0, section 3.1.3.7): pure verification.

Order: form and header, signature by a key of the provider that is for the algorithm, then the
claims: issuer, audience, times, nonce, person. Nothing of the claims is believed before the
signature. Keys that a header names or carries (`jwk`, `jku`, `x5c`, `x5u`) are never looked at.
"""

import hmac
import math
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jwt import PyJWS, PyJWTError

from encryption_service.oidc.errors import EvidenceError
from encryption_service.oidc.signing_keys import ALGORITHMS, MAX_KID_LENGTH, SigningKey
from encryption_service.oidc.strict_json import JsonError, read_object
from groupseal.reasons import Reason

SUBJECT_CLAIMS = frozenset({"sub", "uid", "oid"})
# OpenID Connect Core 1.0, section 2: at most 255 characters.
MAX_SUBJECT_LENGTH = 255
_MAX_ACR_LENGTH = 255
_SKEW_MS = 60_000
_MAX_SECONDS = 2**42
# JWS compact serialisation (RFC 7515, section 7.1): no padding, no empty part.
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\Z")
_JWS = PyJWS(algorithms=sorted(ALGORITHMS), options={"enforce_minimum_key_length": True})


@dataclass(frozen=True, slots=True)
class Header:
    """What a token says of its signature; a hint which key to try, no more."""

    alg: str
    kid: str | None


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say to be evidence for these keys."""

    issuer: str
    client_id: str
    subject_claim: str
    nonce: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class IdToken:
    """What a good token says."""

    subject: str = field(repr=False)
    issued_at_ms: int
    auth_time_ms: int | None
    acr: str | None


def read_header(token: str) -> Header:
    """Raises EvidenceError where the token cannot be one, whichever key signed it."""
    if not _COMPACT.match(token):
        raise _invalid("the ID token is no signed token in compact form")
    try:
        header = read_object(_decode(token.partition(".")[0]))
    except (JsonError, ValueError) as error:
        raise _invalid("the ID token's header is not readable") from error
    alg, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise _invalid("the ID token's signature algorithm is not allowed")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= MAX_KID_LENGTH):
        raise _invalid("the ID token's key id is no short text")
    # RFC 8725, section 3.11: access and logout tokens say in `typ` that they are none.
    if not isinstance(kind, str) or kind.upper() != "JWT":
        raise _invalid("the token is of another type than an ID token")
    # RFC 7515, section 4.1.11: an extension that must be understood. None is.
    if "crit" in header or "b64" in header:
        raise _invalid("the ID token demands an extension that is not known")
    return Header(alg, kid)


def verify_signature(token: str, header: Header, keys: Iterable[SigningKey]) -> bytes:
    """The payload, if one of these keys that is for the algorithm signed it. EvidenceError."""
    for key in keys:
        if not key.fits(header.alg, header.kid):
            continue
        try:
            payload = _JWS.decode_complete(token, key.key, algorithms=[header.alg])["payload"]
        except (PyJWTError, ValueError, TypeError):
            continue
        return bytes(payload)
    raise _invalid("no key of the identity provider signed the ID token")


def check_claims(payload: bytes, expected: Expected, now_ms: int) -> IdToken:
    """What the verified payload says. Raises EvidenceError with the reason that fits."""
    try:
        claims = read_object(payload)
    except JsonError as error:
        raise _invalid("the ID token's claims are not readable") from error
    if claims.get("iss") != expected.issuer:
        raise _invalid("the ID token has another issuer")
    _check_audience(claims, expected.client_id)
    issued_at_ms = _check_times(claims, now_ms)
    _check_nonce(claims, expected.nonce)
    return IdToken(
        subject=_subject(claims, expected.subject_claim),
        issued_at_ms=issued_at_ms,
        auth_time_ms=_auth_time_ms(claims, now_ms),
        acr=_acr(claims),
    )


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    """This client alone: a token that others may present too proves nothing about who asks."""
    audience = claims.get("aud")
    if audience not in (client_id, [client_id]) or claims.get("azp", client_id) != client_id:
        raise EvidenceError(Reason.EVIDENCE_FOR_ANOTHER_CLIENT)


def _check_times(claims: Mapping[str, Any], now_ms: int) -> int:
    """`iat` in milliseconds; a minute of difference between the clocks is let pass."""
    expires, issued = _time_ms(claims, "exp"), _time_ms(claims, "iat")
    not_before = _time_ms(claims, "nbf")
    if expires is None or issued is None:
        raise _invalid("the ID token does not say when it was issued and when it expires")
    if now_ms >= expires + _SKEW_MS:
        raise EvidenceError(Reason.EVIDENCE_EXPIRED)
    if max(issued, not_before or 0) > now_ms + _SKEW_MS:
        raise _invalid("the ID token is not valid yet; compare the clocks of both sides")
    return issued


def _check_nonce(claims: Mapping[str, Any], expected: str) -> None:
    nonce = claims.get("nonce")
    given = nonce.encode("utf-8", "surrogatepass") if isinstance(nonce, str) else b""
    if not hmac.compare_digest(given, expected.encode()):
        raise EvidenceError(Reason.EVIDENCE_FOR_OTHER_KEYS)


def _subject(claims: Mapping[str, Any], claim: str) -> str:
    subject = claims.get(claim)
    # Printable: no control characters, no surrogates. Trimmed: it is compared with what the
    # directory holds, and two that look alike must not be two.
    if (
        not isinstance(subject, str)
        or not 0 < len(subject) <= MAX_SUBJECT_LENGTH
        or not subject.isprintable()
        or subject != subject.strip()
    ):
        raise _invalid(
            f"the ID token's claim `{claim}` names nobody; is it in the client's ID tokens?"
        )
    return subject


def _auth_time_ms(claims: Mapping[str, Any], now_ms: int) -> int | None:
    auth_time = _time_ms(claims, "auth_time")
    if auth_time is not None and auth_time > now_ms + _SKEW_MS:
        raise _invalid("the ID token says that the person will sign in later")
    return auth_time


def _acr(claims: Mapping[str, Any]) -> str | None:
    acr = claims.get("acr")
    if acr is not None and not (
        isinstance(acr, str) and len(acr) <= _MAX_ACR_LENGTH and acr.isprintable()
    ):
        raise _invalid("the ID token's claim `acr` is no short text")
    return acr


def _time_ms(claims: Mapping[str, Any], name: str) -> int | None:
    """NumericDate (RFC 7519, section 2): seconds, fractions allowed; here in milliseconds."""
    value = claims.get(name)
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or not 0 <= value < _MAX_SECONDS
    ):
        raise _invalid(f"the ID token's claim `{name}` is no time")
    return int(value * 1000)


def _decode(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _invalid(detail: str) -> EvidenceError:
    return EvidenceError(Reason.EVIDENCE_INVALID, detail)
