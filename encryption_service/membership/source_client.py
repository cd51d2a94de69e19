"""One request to an identity provider's API: limits before, credential with it, errors after.

What is absent and what went wrong are kept apart here, because somebody's removal hangs on it:
only an answer in the source's own form says that something is not there. A proxy's 404 page, a
login page with 200 or a link to another host is a fault.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from encryption_service.membership.rate_limits import TOO_MANY_REQUESTS, RateGovernor
from encryption_service.membership.source import SourceRefusedError, SourceUnavailableError
from encryption_service.outbound_http import Answer, OutboundError
from groupseal.reasons import Reason

_MAX_CODE_LENGTH = 64


class Http(Protocol):
    """What of `OutboundHttp` is used here."""

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] = ..., body: bytes | None = ...
    ) -> Answer: ...


class Credential(Protocol):
    """Proves to the source who is asking. Thread-safe."""

    def authorization(self) -> str:
        """The header's value. Raises SourceUnavailableError. Never log what this returns."""

    def rejected(self) -> None:
        """The source did not accept it: get another one, if that is possible."""


class ErrorForm(Protocol):
    """How a source's errors look."""

    def code(self, document: Any) -> str | None:
        """The error's code; None if this is not an error of this source."""

    def is_absent(self, code: str) -> bool:
        """Whether a 404 with this code says that the thing asked for does not exist."""


@dataclass(frozen=True, slots=True)
class Page:
    """A document and the headers that came with it."""

    document: Any
    headers: Mapping[str, str]


class SourceClient:
    """Asks one source, at one base URL. Thread-safe."""

    def __init__(
        self,
        http: Http,
        base_url: str,
        credential: Credential,
        governor: RateGovernor,
        errors: ErrorForm,
    ) -> None:
        self._http, self._credential = http, credential
        self._governor, self._errors = governor, errors
        self.base_url = base_url.rstrip("/")

    def get(self, kind: str, url: str, headers: Mapping[str, str] | None = None) -> Page | None:
        """The answer; None if the source says that there is no such thing.

        `kind` names the rate limit that the request counts towards. Raises SourceUnavailableError.
        """
        answer = self._ask(kind, url, headers or {})
        if answer.status == 401:
            # A token that was revoked or rotated a moment ago: once more with another one.
            self._credential.rejected()
            answer = self._ask(kind, url, headers or {})
        return self._page(kind, answer)

    def follow(self, link: str) -> str:
        """A link to the next page, if it stays where the credential may go.

        Raises SourceUnavailableError for one that leads elsewhere.
        """
        if not _is_under(link, self.base_url):
            raise SourceUnavailableError(
                f"a link to the next page leaves {urlsplit(self.base_url).hostname}: set the URL "
                "under which the API itself answers"
            )
        return link

    def _ask(self, kind: str, url: str, headers: Mapping[str, str]) -> Answer:
        self._governor.admit(kind)
        sent = {
            "Authorization": self._credential.authorization(),
            "Accept": "application/json",
            "User-Agent": "groupseal-encryption-service",
            **headers,
        }
        try:
            answer = self._http.request("GET", url, headers=sent)
        except OutboundError as error:
            raise SourceUnavailableError(
                str(error), retry_after_seconds=error.retry_after_seconds or 0.0
            ) from error
        self._governor.observe(kind, answer.status, answer.headers)
        return answer

    def _page(self, kind: str, answer: Answer) -> Page | None:
        document = parse(answer.body)
        if answer.status == 200:
            if document is None:
                raise SourceUnavailableError("the membership source's answer is not JSON")
            return Page(document, answer.headers)
        code = readable(self._errors.code(document))
        if answer.status == 404 and code and self._errors.is_absent(code):
            return None
        raise self._fault(kind, answer.status, code)

    def _fault(self, kind: str, status: int, code: str) -> SourceUnavailableError:
        said = f"the membership source answers {status}{f' ({code})' if code else ''} for `{kind}`"
        if status == TOO_MANY_REQUESTS:
            return SourceUnavailableError(
                said,
                reason=Reason.MEMBERSHIP_SOURCE_LIMITED,
                retry_after_seconds=self._governor.wait_seconds(kind),
            )
        if status == 401:
            return SourceUnavailableError(f"{said}: renew the credential in its file")
        if status == 403:
            return SourceRefusedError(f"{said}: the credential lacks the right to read this")
        if 400 <= status < 500 and code:
            return SourceRefusedError(said)
        return SourceUnavailableError(said)


def parse(body: bytes) -> Any:
    """The JSON document, or None."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def readable(code: object) -> str:
    """An error code that is fit for a log: letters, digits and a few signs; empty otherwise."""
    if not isinstance(code, str) or len(code) > _MAX_CODE_LENGTH or not code.isascii():
        return ""
    return code if all(c.isalnum() or c in "_-." for c in code) else ""


def _is_under(link: str, base_url: str) -> bool:
    try:
        to, base = urlsplit(link), urlsplit(base_url)
        same = (to.scheme, to.hostname, to.port, to.username) == (
            base.scheme,
            base.hostname,
            base.port,
            None,
        )
    except ValueError:
        return False
    return same and to.path.startswith(base.path.rstrip("/") + "/") and "/.." not in to.path
