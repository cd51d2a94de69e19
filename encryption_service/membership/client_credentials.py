"""OAuth 2.0 client credentials (RFC 6749 section 4.4): a short-lived token, renewed in time."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

from encryption_service.membership.rate_limits import (
    TOO_MANY_REQUESTS,
    RateGovernor,
)
from encryption_service.membership.secret_file import SecretFile
from encryption_service.membership.source import Clock, SourceUnavailableError
from encryption_service.membership.source_client import Http, parse, readable
from encryption_service.outbound_http import Answer, OutboundError
from encryption_service.secret_bytes import SecretBytes
from groupseal.reasons import Reason

_KIND = "token"
_RENEWED_BEFORE_MS = 60_000
_LONGEST_LIFE_SECONDS = 24 * 3600

# Fields of the form that prove who is asking, made from the secret.
Proof = Callable[[SecretBytes], Mapping[str, str]]


class HasRemedy(Protocol):
    def __call__(self, error_code: str) -> str: ...


class ClientCredentials:
    """Bearer tokens from a token endpoint; a changed secret file makes a new one at once."""

    def __init__(
        self,
        http: Http,
        token_url: str,
        secret: SecretFile,
        *,
        proof: Proof,
        governor: RateGovernor,
        clock: Clock,
        scope: str,
        remedy: HasRemedy,
    ) -> None:
        self._http, self._token_url, self._secret = http, token_url, secret
        self._proof, self._governor, self._clock = proof, governor, clock
        self._scope, self._remedy = scope, remedy
        self._lock = threading.Lock()
        self._token: SecretBytes | None = None
        self._renew_at_ms = 0
        self._version = 0

    def authorization(self) -> str:
        """Raises SourceUnavailableError. One caller renews, the others wait for it."""
        with self._lock:
            secret = self._secret.read()
            due = self._clock() >= self._renew_at_ms or self._version != self._secret.version
            if self._token is None or due:
                self._version = self._secret.version
                self._renew(secret)
            token = self._token
        return f"Bearer {token.reveal().decode('ascii')}" if token else ""

    def rejected(self) -> None:
        with self._lock:
            self._token = None

    def _renew(self, secret: SecretBytes) -> None:
        self._token = None
        self._governor.admit(_KIND)
        form = {"grant_type": "client_credentials", "scope": self._scope, **self._proof(secret)}
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        try:
            answer = self._http.request(
                "POST", self._token_url, headers=headers, body=urlencode(form).encode("ascii")
            )
        except OutboundError as error:
            raise SourceUnavailableError(str(error)) from error
        self._governor.observe(_KIND, answer.status, answer.headers)
        document = parse(answer.body)
        if answer.status != 200:
            raise self._fault(answer, document)
        self._take(document)

    def _take(self, document: Any) -> None:
        token, life = _token(document)
        now = self._clock()
        self._token = SecretBytes(token.encode("ascii"))
        self._renew_at_ms = now + life * 1000 - min(_RENEWED_BEFORE_MS, life * 250)

    def _fault(self, answer: Answer, document: Any) -> SourceUnavailableError:
        code = readable(document.get("error") if isinstance(document, dict) else None)
        text = f"the token endpoint answers {answer.status}{f' ({code})' if code else ''}"
        if answer.status == TOO_MANY_REQUESTS:
            return SourceUnavailableError(
                text,
                reason=Reason.MEMBERSHIP_SOURCE_LIMITED,
                retry_after_seconds=self._governor.wait_seconds(_KIND),
            )
        remedy = self._remedy(code)
        return SourceUnavailableError(f"{text}: {remedy}" if remedy else text)


def _token(document: Any) -> tuple[str, int]:
    """Access token and its life in seconds. Raises SourceUnavailableError."""
    fields = document if isinstance(document, dict) else {}
    token, kind = fields.get("access_token"), fields.get("token_type")
    life = fields.get("expires_in")
    # RFC 6750 section 2.1: anything else would break out of the header.
    usable = isinstance(token, str) and token.isascii() and token.isprintable() and " " not in token
    if not usable or not token or not isinstance(kind, str) or kind.lower() != "bearer":
        raise SourceUnavailableError("the token endpoint's answer holds no bearer token")
    if isinstance(life, bool) or not isinstance(life, int) or life <= 0:
        raise SourceUnavailableError("the token endpoint does not say how long its token lives")
    return token, min(life, _LONGEST_LIFE_SECONDS)
