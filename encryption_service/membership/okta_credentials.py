"""How the service proves itself to Okta: an API token, or a key pair of an API services app."""

import json
import secrets
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from encryption_service.membership.client_credentials import ClientCredentials
from encryption_service.membership.rate_limits import RateGovernor
from encryption_service.membership.secret_file import SecretFile
from encryption_service.membership.source import Clock, SourceUnavailableError
from encryption_service.membership.source_client import Http
from encryption_service.secret_bytes import SecretBytes

SCOPES = "okta.groups.read okta.users.read"
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFE_SECONDS = 300
_SMALLEST_RSA_KEY = 2048


class ApiToken:
    """`Authorization: SSWS …`, from a file that holds the token alone."""

    def __init__(self, file: SecretFile) -> None:
        self._file = file

    def authorization(self) -> str:
        try:
            token = self._file.read().reveal().decode("ascii")
        except UnicodeDecodeError:
            token = ""
        if not token.isprintable() or " " in token or not token:
            raise SourceUnavailableError(f"{self._file.path} does not hold an API token of Okta's")
        return f"SSWS {token}"

    def rejected(self) -> None:
        """There is no other one until the file changes, which is noticed by itself."""


class ClientAssertion:
    """`private_key_jwt` (OpenID Connect Core section 9, RFC 7523): a statement signed each time."""

    def __init__(self, client_id: str, token_url: str, file: SecretFile, clock: Clock) -> None:
        self._client_id, self._token_url = client_id, token_url
        self._file, self._clock = file, clock

    def __call__(self, secret: SecretBytes) -> Mapping[str, str]:
        """Raises SourceUnavailableError for a file that holds no usable private key."""
        try:
            key, algorithm, key_id = _private_key(secret)
        except (ValueError, TypeError, UnsupportedAlgorithm, jwt.PyJWTError):
            # Without the cause: a parser's message may quote what it read.
            raise SourceUnavailableError(
                f"{self._file.path} holds no usable private key: it must be RSA with at least 2048 "
                "bits or EC P-256, without a password, as PEM or JWK"
            ) from None
        now = self._clock() // 1000
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._token_url,
            "iat": now,
            "exp": now + _ASSERTION_LIFE_SECONDS,
            "jti": secrets.token_urlsafe(24),
        }
        headers = {"kid": key_id} if key_id else None
        return {
            "client_assertion_type": _ASSERTION_TYPE,
            "client_assertion": jwt.encode(claims, key, algorithm=algorithm, headers=headers),
        }


def okta_client_credentials(
    http: Http,
    url: str,
    file: SecretFile,
    *,
    client_id: str,
    governor: RateGovernor,
    clock: Clock,
) -> ClientCredentials:
    """Tokens for the scopes that reading groups and users takes, and for no others."""
    token_url = f"{url.rstrip('/')}/oauth2/v1/token"
    proof = ClientAssertion(client_id, token_url, file, clock)
    return ClientCredentials(
        http,
        token_url,
        file,
        proof=proof,
        governor=governor,
        clock=clock,
        scope=SCOPES,
        remedy=_remedy,
    )


def _remedy(error_code: str) -> str:
    return {
        "invalid_client": (
            "compare the client id, and the private key with the public one that the app has"
        ),
        "invalid_scope": f"grant the app the scopes {SCOPES}",
        "invalid_dpop_proof": (
            "switch off `Require Demonstrating Proof of Possession (DPoP) header` in the app"
        ),
    }.get(error_code, "")


def _private_key(secret: SecretBytes) -> tuple[Any, str, str | None]:
    """Key, algorithm and key id, from PEM or JWK (RFC 7517). Raises ValueError and the like."""
    content = secret.reveal()
    key_id: str | None = None
    if content.startswith(b"{"):
        document = json.loads(content)
        named = jwt.PyJWK.from_dict(document)
        key, key_id = named.key, named.key_id
    else:
        key = load_pem_private_key(content, password=None)
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _SMALLEST_RSA_KEY:
        return key, "RS256", key_id
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key, "ES256", key_id
    raise ValueError("no private key of a kind that Okta takes")
