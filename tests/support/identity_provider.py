"""An OpenID Connect provider that is not ours: canaille (the one inside `pytest-iam`), on a port.

It runs in threads of the test's process and speaks plain HTTP on loopback (`issuer` is
`http://localhost:<port>`, without a slash at the end), so a service process must be started with
`GROUPSEAL_SERVICE_OUTBOUND_ALLOW_PRIVATE=true`. The fixture `identity_provider` is one for the
whole session; a test that changes the provider itself makes its own.

What canaille is like, as far as a client must know it:

- Its ID tokens (RS256; header `alg`, `kid`, `typ`) carry `iss`, `sub` (the user name), `aud` (a
  list with the client id alone), `iat`, `exp` (an hour), `auth_time` (with a fraction of a second),
  `nonce`, `at_hash`, `amr` (`["pwd"]`) and claims of the scopes asked for. There is no `azp` and no
  `acr`: `mint` them.
- `client_id` is a public client (`token_endpoint_auth_method` none) for the authorisation code
  with PKCE (`S256`). A redirect URI must be registered exactly, port included (as at Okta):
  `allow_redirect(uri)` registers one more. `http://127.0.0.1:…` and `http://localhost:…` are both
  accepted. Answers to the redirect URI carry `code`, `state` and `iss`.
- A nonce is required and may be used once per client.
- `prompt=login` makes it ask for the password again; so does `max_age=n`, but with `max_age=0` it
  asks for ever. Consent is asked once per user and client.
- `sign_in(url, user)` plays the browser: opens an authorisation URL, logs in, consents, and returns
  the redirect URL (with code and state) that it would have gone to. `browser(user)` is one that
  stays logged in between sign-ins.

    with IdentityProvider() as provider:
        provider.add_user("ada")
        provider.allow_redirect("http://127.0.0.1:43210/callback")
        landed = provider.sign_in(authorization_url, "ada")
"""

import base64
import hashlib
import json
import os
import secrets
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx
import pytest
from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from embedded.ports import free_port
from tests.support.browser import PASSWORD, Browser

_REDIRECT = "http://127.0.0.1:1/callback"  # nothing listens there; `id_token` reads the URL
# canaille keeps the store in use in a class attribute: one request at a time, to one provider.
_ONE_AT_A_TIME = threading.RLock()
_ALGORITHMS = jws.JWSRegistry(algorithms=list(jws.JWSRegistry.algorithms))


class IdentityProvider:
    """canaille with one public client and the users of the test."""

    def __init__(self) -> None:
        # authlib refuses http otherwise.
        os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
        self.port = free_port()
        self.issuer = f"http://localhost:{self.port}"
        self.client_id = "groupseal-evidence"
        # Paths that were asked for, in order.
        self.requests: list[str] = []
        self.key: Key = RSAKey.generate_key(2048, auto_kid=True)
        self.elliptic_key: Key = ECKey.generate_key("P-256", auto_kid=True)
        self.edwards_key: Key = OKPKey.generate_key("Ed25519", auto_kid=True)
        self._app = create_app(config=_configuration(self.port, self._private_keys()))
        self._backend = Backend.instance
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None
        self._add_client()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Answer on the port; after `stop`, with everything that it knew."""
        if self._server is None:
            self._server = make_server(
                "localhost", self.port, self._answer, _ThreadingServer, _QuietHandler
            )
            self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
            self._thread.start()

    def stop(self) -> None:
        """Be away: connections are refused until `start`."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = self._thread = None

    @contextmanager
    def away(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()

    def add_user(self, name: str) -> str:
        """A user with the password `PASSWORD`; his subject is his name. Returns the name."""
        with self._canaille():
            user = models.User(
                user_name=name,
                formatted_name=name,
                family_name=name,
                emails=[f"{name}@example.com"],
                password=PASSWORD,
            )
            self._backend.save(user)
        return name

    @staticmethod
    def subject_of(user: str) -> str:
        """`sub` in the ID tokens of this user."""
        return user

    def allow_redirect(self, uri: str) -> None:
        """Register one more redirect URI of the client, exactly as it will be sent."""
        with self._canaille():
            client = self._backend.get(models.Client, client_id=self.client_id)
            client.redirect_uris = [*client.redirect_uris, uri]
            self._backend.save(client)

    def browser(self, user: str) -> Browser:
        return Browser(self.issuer, user)

    def sign_in(self, authorization_url: str, user: str) -> str:
        """Log in as this user and return the URL of the client that the provider redirects to."""
        with self.browser(user) as browser:
            return browser.open(authorization_url)

    def id_token(self, user: str, nonce: str, **parameters: str) -> str:
        """One that the provider issues itself, through the whole flow with PKCE (RFC 7636)."""
        verifier = secrets.token_urlsafe(32)
        landed = self.sign_in(self.authorization_url(nonce, verifier, **parameters), user)
        answer = parse_qs(urlsplit(landed).query)
        assert "code" in answer, landed
        response = httpx.post(
            f"{self.issuer}/oauth/token",
            data={
                "grant_type": "authorization_code",
                "code": answer["code"][0],
                "redirect_uri": _REDIRECT,
                "client_id": self.client_id,
                "code_verifier": verifier,
            },
        )
        assert response.status_code == 200, response.text
        token: str = response.json()["id_token"]
        return token

    def authorization_url(self, nonce: str, verifier: str, **parameters: str) -> str:
        challenge = _base64url(hashlib.sha256(verifier.encode()).digest())
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": _REDIRECT,
            "scope": "openid",
            "state": secrets.token_urlsafe(16),
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            **parameters,
        }
        return f"{self.issuer}/oauth/authorize?{urlencode(query)}"

    def claims(self, user: str, nonce: str, /, **changes: object) -> dict[str, Any]:
        """Claims of a good token, some changed; `None` leaves one out."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": self.subject_of(user),
            "aud": [self.client_id],
            "iat": now,
            "exp": now + 3600,
            "auth_time": now,
            "nonce": nonce,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def mint(
        self,
        claims: Mapping[str, Any],
        *,
        key: Key | None = None,
        headers: Mapping[str, Any] | None = None,
        alg: str = "RS256",
    ) -> str:
        """A token with any claims, by default signed with the key that the provider signs with.

        `headers` are added to `alg` and `kid`, or replace them; `None` leaves one out.
        """
        signing_key = key or self.key
        header = {"alg": alg, "kid": signing_key.kid, **(headers or {})}
        header = {name: value for name, value in header.items() if value is not None}
        return sign_compact(header, claims, signing_key, alg)

    def rotate_keys(self, *, keep_old: bool = False) -> None:
        """Sign with new keys from now on; the old ones vanish, or stay in the set for a while."""
        old = self._private_keys()
        self.key = RSAKey.generate_key(2048, auto_kid=True)
        self.elliptic_key = ECKey.generate_key("P-256", auto_kid=True)
        self.edwards_key = OKPKey.generate_key("Ed25519", auto_kid=True)
        settings = self._app.config["CANAILLE_OIDC"]
        settings["ACTIVE_JWKS"] = self._private_keys()
        settings["INACTIVE_JWKS"] = old if keep_old else None

    def _private_keys(self) -> list[Any]:
        keys = (self.key, self.elliptic_key, self.edwards_key)
        return [key.as_dict(private=True) for key in keys]

    def _add_client(self) -> None:
        with self._canaille():
            client = models.Client(
                client_id=self.client_id,
                client_name="Groupseal",
                client_id_issued_at=datetime.now(UTC),
                client_uri="https://groupseal.example.com",
                redirect_uris=[_REDIRECT],
                grant_types=["authorization_code"],
                response_types=["code"],
                scope=["openid", "profile", "email"],
                token_endpoint_auth_method="none",
                id_token_signed_response_alg="RS256",
            )
            self._backend.save(client)
            client.audience = [client]
            self._backend.save(client)

    @contextmanager
    def _canaille(self) -> Iterator[None]:
        with _ONE_AT_A_TIME, self._app.app_context():
            Backend._instance = self._backend
            yield

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with _ONE_AT_A_TIME:
            Backend._instance = self._backend
            self.requests.append(environ["PATH_INFO"])
            return list(self._app(environ, start_response))


@pytest.fixture(scope="session")
def identity_provider() -> Iterator[IdentityProvider]:
    """The customer's identity provider; add users of your own."""
    with IdentityProvider() as provider:
        yield provider


def sign_compact(header: Mapping[str, Any], claims: Mapping[str, Any], key: Key, alg: str) -> str:
    """JWS compact serialisation (RFC 7515, section 7.1), whatever header and claims say."""
    message = ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
    return sign_message(message, key, alg)


def sign_message(message: str, key: Key, alg: str) -> str:
    """`message`, which should be encoded header and payload, and its signature."""
    with warnings.catch_warnings():
        # It warns of what the tests are about: old names, and a public key taken for a secret.
        warnings.simplefilter("ignore", SecurityWarning)
        signature = _ALGORITHMS.get_alg(alg).sign(message.encode(), key)
    return f"{message}.{_base64url(signature)}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    # A connection that somebody keeps open without a request does not hold the server.
    daemon_threads = True
    block_on_close = False


class _QuietHandler(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing: standard error belongs to the tests."""


def _configuration(port: int, keys: list[Any]) -> dict[str, Any]:
    return {
        "TESTING": True,
        "ENV_FILE": None,
        "SECRET_KEY": secrets.token_urlsafe(32),
        "WTF_CSRF_ENABLED": False,
        "PREFERRED_URL_SCHEME": "http",
        "SERVER_NAME": f"localhost:{port}",
        "CANAILLE": {
            "DATABASE": "memory",
            "JAVASCRIPT": False,
            "ACL": {"DEFAULT": {"PERMISSIONS": ["use_oidc"]}},
            "LOGGING": {
                "version": 1,
                "disable_existing_loggers": False,
                "handlers": {"canaille": {"class": "logging.NullHandler"}},
                # It would write whole tokens.
                "loggers": {
                    "canaille": {"level": "ERROR", "handlers": ["canaille"], "propagate": False}
                },
            },
        },
        "CANAILLE_OIDC": {"ACTIVE_JWKS": keys},
    }
