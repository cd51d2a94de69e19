"""Signing in at the customer's identity provider, for evidence: authorisation code with PKCE.

The provider and the client id come from the organisation's verified ledger; this room is told
them. What the token says is verified by the encryption service alone. Only the nonce is looked at
here, so that a wrong token is noticed by the one who can sign in again.
"""

import base64
import binascii
import json
import os
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from member_client.errors import SignInError
from member_client.loopback import Loopback, code_of
from member_client.pkce import CodeVerifier, base64url
from member_client.provider import IdToken, Provider, discover, redeem

# Seconds that a person has to sign in.
PATIENCE_SECONDS = 300.0
# `max_age` makes the provider say when the person signed in, which it may leave out otherwise
# (OpenID Connect Core 1.0, section 2); `prompt=login` makes that now. 0 would be enough in the
# specification's words, but some providers then ask again and again.
_FRESH = {"prompt": "login", "max_age": "300"}

ShowAddress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SignInRequest:
    """For which nonce which provider is asked, as which client."""

    issuer: str
    client_id: str
    nonce: str
    # Claims outside the core set are given for `profile` only, at some providers.
    scope: str = "openid"
    # The password, and the second factor, again.
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class SignInManner:
    """How a person is asked to sign in. `show` brings the address to a browser, or to the eyes."""

    show: ShowAddress
    # Port on 127.0.0.1 for providers that know redirect addresses with their port; 0: a free one.
    port: int = 0
    patience_seconds: float = PATIENCE_SECONDS


def open_browser(address: str) -> None:
    """Opens the person's browser. Raises SignInError where there is none."""
    if not webbrowser.open(address):
        raise SignInError("no browser can be opened here: use --no-browser")


def sign_in(request: SignInRequest, manner: SignInManner) -> IdToken:
    """1. Discovers the provider. 2. Listens on loopback. 3. Shows the address. 4. Waits for the
    answer with the right `state`. 5. Redeems the code. 6. Compares the nonce.

    Raises SignInError, UnreachableError or WaitingError.
    """
    provider = discover(request.issuer)
    verifier, state = CodeVerifier.make(), base64url(os.urandom(32))
    with Loopback(state, manner.port) as loopback:
        redirect = loopback.redirect_uri
        manner.show(_address(provider, request, state, redirect, verifier))
        callback = loopback.wait(manner.patience_seconds)
    code = code_of(callback, provider.issuer)
    token = redeem(provider, request.client_id, code, redirect, verifier)
    if nonce_of(token) != request.nonce:
        raise SignInError("the ID token was not made for this sign-in: sign in again")
    return token


def _address(
    provider: Provider, request: SignInRequest, state: str, redirect: str, verifier: CodeVerifier
) -> str:
    query = {
        "response_type": "code",
        "client_id": request.client_id,
        "redirect_uri": redirect,
        "scope": request.scope,
        "state": state,
        "nonce": request.nonce,
        "code_challenge": verifier.challenge(),
        "code_challenge_method": "S256",
        **(_FRESH if request.fresh else {}),
    }
    endpoint = provider.authorization_endpoint
    return endpoint + ("&" if urlsplit(endpoint).query else "?") + urlencode(query)


def nonce_of(token: IdToken) -> str | None:
    """The `nonce` in an unverified ID token, None where there is none."""
    parts = token.reveal().split(b".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    nonce = claims.get("nonce") if isinstance(claims, dict) else None
    return nonce if isinstance(nonce, str) else None
