"""The customer's identity provider: discovery and token request (OpenID Connect, RFC 6749)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from member_client.addresses import secure_address
from member_client.documents import fetch
from member_client.errors import SignInError
from member_client.pkce import CodeVerifier
from member_client.secret import Secret

_WELL_KNOWN = "/.well-known/openid-configuration"
# Sealed evidence has to fit into 16 KiB.
_MAX_ID_TOKEN = 12 * 1024


class IdToken(Secret):
    """An ID token (JWS compact serialisation): who has it may show it as evidence."""

    def __init__(self, value: str) -> None:
        super().__init__(value.encode(), len(value.encode()))


@dataclass(frozen=True, slots=True)
class Provider:
    """What a provider says of itself (OpenID Connect Discovery 1.0, section 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str


def discover(issuer: str) -> Provider:
    """Reads the provider's document. Raises UnreachableError, or SignInError for a wrong one."""
    if secure_address(issuer) is None:
        raise SignInError(f"the identity provider's address {issuer} is not https")
    document = fetch(issuer.rstrip("/") + _WELL_KNOWN)
    if document.status != 200:
        raise SignInError(
            f"{issuer} is no OpenID Connect provider (HTTP {document.status} for its document)"
        )
    fields = document.fields
    # Section 4.3: exactly the issuer that was asked, or somebody speaks for another one.
    if fields.get("issuer") != issuer:
        raise SignInError(f"the document at {issuer} is that of another identity provider")
    methods = fields.get("code_challenge_methods_supported")
    if isinstance(methods, list) and "S256" not in methods:
        raise SignInError(f"{issuer} does not support PKCE with S256")
    return Provider(
        issuer,
        _endpoint(fields, "authorization_endpoint", issuer),
        _endpoint(fields, "token_endpoint", issuer),
    )


def _endpoint(fields: Mapping[str, Any], name: str, issuer: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or secure_address(value) is None:
        raise SignInError(f"the document of {issuer} has no proper {name}")
    return value


def redeem(
    provider: Provider, client_id: str, code: str, redirect_uri: str, verifier: CodeVerifier
) -> IdToken:
    """The ID token for a code: a public client's token request (RFC 6749, section 4.1.3).

    Raises UnreachableError or SignInError.
    """
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "client_id": client_id,
        "code_verifier": verifier.reveal().decode(),
    }
    document = fetch(provider.token_endpoint, form=form)
    if document.status != 200:
        # Section 5.2: `error` is a short code, never the token.
        error = document.fields.get("error")
        why = error[:100] if isinstance(error, str) else f"HTTP {document.status}"
        raise SignInError(f"{provider.issuer} gives no token: {why}")
    token = document.fields.get("id_token")
    if not isinstance(token, str) or not token.isascii() or len(token) > _MAX_ID_TOKEN:
        raise SignInError(f"{provider.issuer} gives no usable ID token")
    return IdToken(token)
