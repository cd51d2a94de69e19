"""Small JSON documents of other parties than the vendor: bounded in size and time."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from member_client.addresses import is_loopback, secure_address
from member_client.errors import UnreachableError

_TIMEOUT = httpx.Timeout(10.0)
_DEADLINE_SECONDS = 30.0
_MAX_BYTES = 256 * 1024
_MAX_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class Document:
    """An answer: HTTP status and the JSON object in it, {} where there is none."""

    status: int
    fields: Mapping[str, Any] = field(repr=False)


def fetch(url: str, *, form: Mapping[str, str] | None = None) -> Document:
    """GET, or POST of a form. Follows no redirect. Raises UnreachableError."""
    return _fetch(url, form)[0]


def fetch_following(url: str) -> Document:
    """GET that follows redirects within the same scheme, host and port, and no other.

    Raises UnreachableError.
    """
    start = urlsplit(url)
    for _ in range(_MAX_REDIRECTS + 1):
        document, location = _fetch(url, None)
        if location is None:
            return document
        url = urljoin(url, location)
        target = urlsplit(url)
        if (target.scheme, target.netloc) != (start.scheme, start.netloc):
            raise UnreachableError(
                f"{start.netloc} sends this client to another place ({target.netloc}), which is"
                " not what you named: name that one, if your organisation says so"
            )
    raise UnreachableError(f"{start.netloc} sends this client from page to page: tell its owner")


def _fetch(url: str, form: Mapping[str, str] | None) -> tuple[Document, str | None]:
    """The document, and where a redirect leads."""
    host = urlsplit(url).hostname
    if secure_address(url) is None:
        raise UnreachableError(f"{url} is no address that can be trusted: it must be https")
    try:
        # On this machine a proxy that the environment names would only be in the way.
        with (
            httpx.Client(timeout=_TIMEOUT, trust_env=not is_loopback(host) or _is_tls(url)) as http,
            http.stream("GET" if form is None else "POST", url, data=form) as answer,
        ):
            body = _body(answer, host)
    except httpx.HTTPError as error:
        raise UnreachableError(
            f"{host} does not answer ({type(error).__name__}): check the address and the network,"
            " then try again"
        ) from error
    if answer.status_code >= 500:
        raise UnreachableError(f"{host} has a fault (HTTP {answer.status_code}): try again later")
    location = answer.headers.get("Location") if answer.is_redirect else None
    return Document(answer.status_code, _fields(body)), location


def _is_tls(url: str) -> bool:
    return urlsplit(url).scheme == "https"


def _body(answer: httpx.Response, host: str | None) -> bytes:
    body, until = bytearray(), time.monotonic() + _DEADLINE_SECONDS
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > _MAX_BYTES:
            raise UnreachableError(f"{host} answers with more than {_MAX_BYTES} bytes")
        if time.monotonic() > until:
            raise UnreachableError(f"{host} answers too slowly: try again later")
    return bytes(body)


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
