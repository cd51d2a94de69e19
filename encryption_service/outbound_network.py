"""The network under `outbound_http`: addresses checked, every wait cut off at the deadline."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ssl import SSLCertVerificationError, SSLContext
from typing import Any

import httpcore

from encryption_service.outbound_addresses import Address, AddressRule, Resolver


class AddressRefusedError(httpcore.NetworkError):
    """The name resolves to addresses that are not allowed alone."""


class NameUnknownError(httpcore.NetworkError):
    """The name does not resolve."""


class CertificateRefusedError(httpcore.ConnectError):
    """The server's certificate is for another name, expired, or of an unknown authority."""


class Deadline:
    """When the request that this thread is about ends; each operation gets what is left.

    httpcore's timeouts are per operation: a server that sends a byte now and then would never
    reach them.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._of_thread = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        self._of_thread.ends = self._monotonic() + seconds
        try:
            yield
        finally:
            del self._of_thread.ends

    def left(self, error: type[httpcore.TimeoutException], at_most: float | None = None) -> float:
        """Seconds left, more than 0. Raises `error` if there are none."""
        left: float = self._of_thread.ends - self._monotonic()
        if left <= 0:
            raise error("the deadline has passed")
        return left if at_most is None else min(left, at_most)


class CheckedBackend(httpcore.NetworkBackend):
    """Resolves a name, drops the addresses that the rule refuses, and connects to the others."""

    def __init__(self, rule: AddressRule, resolver: Resolver, deadline: Deadline) -> None:
        self._rule = rule
        self._resolver = resolver
        self._deadline = deadline
        self._system = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = AddressRefusedError("no address of this name is allowed")
        for address in self._allowed(host, port):
            left = self._deadline.left(httpcore.ConnectTimeout, timeout)
            try:
                # A literal: nothing is resolved a second time.
                stream = self._system.connect_tcp(
                    str(address), port, left, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return BoundedStream(stream, self._deadline)
        raise failure

    def _allowed(self, host: str, port: int) -> list[Address]:
        try:
            addresses = self._resolver(host, port)
        except (OSError, ValueError) as error:  # ValueError: not an IDNA name
            raise NameUnknownError("the name does not resolve") from error
        return [address for address in dict.fromkeys(addresses) if self._rule(address)]


class BoundedStream(httpcore.NetworkStream):
    """A connection whose every operation ends when the request's deadline does."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(httpcore.ReadTimeout, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(httpcore.WriteTimeout, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(httpcore.ConnectTimeout, timeout)
        try:
            stream = self._stream.start_tls(ssl_context, server_hostname, left)
        except httpcore.ConnectError as error:
            # Told apart here: the pool raises it again without its cause.
            if isinstance(error.__cause__, SSLCertVerificationError):
                raise CertificateRefusedError("the certificate is not trusted") from error
            raise
        return BoundedStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
