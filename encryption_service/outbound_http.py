"""HTTP to the outside: the identity provider and the membership source, and nothing else.

The addresses that a name resolves to are checked before one of them is connected to, and exactly
that one is connected to, so that a name which answers differently the second time (DNS rebinding)
gains nothing. TLS still asks for the name's certificate. Redirects are never followed: a 3xx is an
answer like any other. Bodies are bounded while they arrive, and a request as a whole has a
deadline, so that a server which trickles bytes holds no thread for ever.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import SplitResult, urlsplit

import httpcore

from encryption_service.errors import ServiceError, SettingsError
from encryption_service.outbound_addresses import (
    Resolver,
    loopback_only,
    private_allowed,
    public_only,
    system_resolver,
)
from encryption_service.outbound_network import (
    AddressRefusedError,
    CertificateRefusedError,
    CheckedBackend,
    Deadline,
    NameUnknownError,
)

_MIB = 1024 * 1024
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_MAX_URL_LENGTH = 4096
_MAX_CONNECTIONS = 32
_KEEP_ALIVE_SECONDS = 60.0
_PORTS = {"https": 443, "http": 80}


class OutboundError(ServiceError):
    """A request got no usable answer; the text names the host, never path, query or body."""

    def __init__(self, text: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side answered, whatever its status."""

    status: int
    # Names in lower case; values of a repeated one joined with ", ".
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class OutboundHttp:
    """Keeps connections alive; may be used from any number of threads.

    https only. With `allow_private_addresses` also http, to loopback alone, and https to private
    networks. `ca_file` holds authorities in PEM that are trusted beside the system's. `timeout` is
    that of a whole request in seconds, without what the system's resolver takes; `max_body` is in
    bytes.
    """

    def __init__(
        self,
        *,
        allow_private_addresses: bool = False,
        ca_file: Path | None = None,
        timeout: float = 10.0,
        max_body: int = 4 * _MIB,
        resolver: Resolver = system_resolver,
    ) -> None:
        """Raises SettingsError for a `ca_file` that cannot be used."""
        self._timeout = timeout
        self._max_body = max_body
        self._deadline = Deadline()
        context = _tls_context(ca_file)
        rule = private_allowed if allow_private_addresses else public_only
        self._pools = {"https": _pool(context, CheckedBackend(rule, resolver, self._deadline))}
        if allow_private_addresses:
            loopback = CheckedBackend(loopback_only, resolver, self._deadline)
            self._pools["http"] = _pool(context, loopback)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        body: bytes | None = None,
    ) -> Answer:
        """Raises OutboundError where there is no whole answer; a status is never an error."""
        parts = _split(url)
        host = parts.hostname or ""
        pool = self._pools.get(parts.scheme)
        if pool is None:
            raise OutboundError(f"{host} is not asked over {parts.scheme}: use an https URL")
        try:
            with self._deadline.within(self._timeout):
                return self._exchange(pool, method, parts, headers, body)
        except _FAILURES as error:
            raise OutboundError(f"{host}: {_explain(error, self._timeout)}") from error

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def _exchange(
        self,
        pool: httpcore.ConnectionPool,
        method: str,
        parts: SplitResult,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Answer:
        target = httpcore.URL(
            scheme=parts.scheme.encode(),
            host=(parts.hostname or "").encode(),
            port=parts.port or _PORTS[parts.scheme],
            target=((parts.path or "/") + (f"?{parts.query}" if parts.query else "")).encode(),
        )
        sent = {"Host": parts.netloc, "Accept-Encoding": "identity", **headers}
        fields = [(name.encode("ascii"), value.encode("ascii")) for name, value in sent.items()]
        # "pool": the wait for a free connection; all other waits end with the deadline.
        extensions = {"timeout": {"pool": self._timeout}}
        with pool.stream(
            method.encode("ascii"), target, headers=fields, content=body, extensions=extensions
        ) as response:
            return Answer(response.status, _headers(response), self._body(response, parts))

    def _body(self, response: httpcore.Response, parts: SplitResult) -> bytes:
        pieces, size = [], 0
        for piece in response.iter_stream():
            size += len(piece)
            if size > self._max_body:
                raise OutboundError(
                    f"{parts.hostname}: the answer is longer than {self._max_body} bytes"
                )
            pieces.append(piece)
        return b"".join(pieces)


def check_url(url: str) -> None:
    """Raises OutboundError for a URL that `request` would not ask, whatever it resolves to."""
    _split(url)


_FAILURES = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.ConnectionNotAvailable,
    UnicodeEncodeError,
    OSError,
)


def _split(url: str) -> SplitResult:
    """Raises OutboundError; the text does not repeat the URL, which may carry a secret."""
    if len(url) > _MAX_URL_LENGTH or not url.isascii() or not url.isprintable():
        raise OutboundError("the URL is too long or has characters that no URL has")
    if " " in url or "\\" in url:
        raise OutboundError("the URL has characters that no URL has")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise OutboundError("the URL is not well formed") from error
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise OutboundError("the URL must be https://host/…")
    if "@" in parts.netloc:
        raise OutboundError(f"the URL of {parts.hostname} carries a name or password: remove it")
    if "#" in url:
        raise OutboundError(f"the URL of {parts.hostname} has a fragment: remove it")
    return parts


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"{ca_file} holds no certificates in PEM that can be read: give the authorities "
                "that outbound connections trust beside the system's"
            ) from error
    return context


def _pool(context: ssl.SSLContext, backend: httpcore.NetworkBackend) -> httpcore.ConnectionPool:
    return httpcore.ConnectionPool(
        ssl_context=context,
        max_connections=_MAX_CONNECTIONS,
        keepalive_expiry=_KEEP_ALIVE_SECONDS,
        network_backend=backend,
    )


def _headers(response: httpcore.Response) -> Mapping[str, str]:
    joined: dict[str, str] = {}
    for raw_name, raw_value in response.headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return MappingProxyType(joined)


def _explain(error: Exception, timeout: float) -> str:
    """A sentence without anything that the other side chose."""
    match error:
        case AddressRefusedError():
            return (
                "its name resolves to private or reserved addresses only. If it is meant, allow "
                "them: GROUPSEAL_SERVICE_OUTBOUND_ALLOW_PRIVATE"
            )
        case NameUnknownError():
            return "its name does not resolve"
        case httpcore.TimeoutException():
            return f"no whole answer within {timeout:g} s"
        case CertificateRefusedError():
            return (
                "its certificate is not trusted for this name. If a private authority issued it: "
                "GROUPSEAL_SERVICE_OUTBOUND_CA_FILE"
            )
        case httpcore.ConnectError():
            return "it does not accept a connection"
        case _:
            return "the connection broke before the answer was whole"
