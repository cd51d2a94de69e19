"""Where the browser comes back to: one address on this machine's loopback (RFC 8252, section 7.3).

It answers one request, the one that carries the `state` of this sign-in; everything else is
answered with 404. Only 127.0.0.1 is listened on, so nobody else on the network reaches it, and a
program on this machine that does neither knows `state` nor, for a code it got hold of, the verifier
of RFC 7636.
"""

import hmac
import threading
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from member_client.errors import SignInError, UsageError, WaitingError

CALLBACK_PATH = "/callback"
_HOST = "127.0.0.1"
# Seconds for one request: a connection that a browser opens and does not use stops nobody.
_REQUEST_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Callback:
    """What the provider sent along, by parameter (RFC 6749, section 4.1.2). Holds the code."""

    parameters: dict[str, str] = field(repr=False)


class Loopback:
    """Listens for the answer to one authorisation request."""

    def __init__(self, state: str, port: int = 0) -> None:
        """`port` 0: a free one. Raises UsageError where the port is taken."""
        self._state = state
        self._lock = threading.Lock()
        self._arrived = threading.Event()
        self._callback: Callback | None = None
        try:
            self._server = _Server((_HOST, port), _handler(self))
        except OSError as error:
            raise UsageError(
                f"port {port} of this machine cannot be listened on: {error.strerror}"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def redirect_uri(self) -> str:
        return f"http://{self.authority}{CALLBACK_PATH}"

    @property
    def authority(self) -> str:
        return f"{_HOST}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self.close()

    def close(self) -> None:
        """Gives the port back."""
        self._server.server_close()

    def wait(self, seconds: float) -> Callback:
        """The answer, as soon as it arrives. Raises WaitingError after so many seconds."""
        self._arrived.wait(seconds)
        if self._callback is None:
            raise WaitingError(
                "sign_in_unfinished",
                "you did not finish signing in: run the same command again",
            )
        return self._callback

    def take(self, host: str, target: str) -> tuple[int, str]:
        """HTTP status and text for a request; keeps the first one that belongs to the sign-in."""
        parts = urlsplit(target)
        # Another name that was made to point here (DNS rebinding) is another site.
        if host != self.authority or parts.path != CALLBACK_PATH:
            return 404, "There is nothing here."
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=20)
        parameters = dict(pairs)
        state = parameters.get("state", "").encode()
        if len(parameters) != len(pairs) or not hmac.compare_digest(state, self._state.encode()):
            return 404, "This belongs to no sign-in that is going on."
        with self._lock:
            if self._callback is not None:
                return 404, "This sign-in is over."
            self._callback = Callback(parameters)
        if "error" in parameters:
            why = parameters.get("error_description") or parameters["error"]
            return 200, f"The sign-in was refused: {why}"
        return 200, "Signed in. You may close this window and go back to the command line."

    def answered(self) -> None:
        """The browser has its answer: whoever waits may go on, and close the address."""
        if self._callback is not None:
            self._arrived.set()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # Otherwise another program could listen on the same address beside this one.
    allow_reuse_address = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is nobody's concern."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _REQUEST_SECONDS
    # Set in the subclass of each listener.
    loopback: Loopback

    def do_GET(self) -> None:
        try:
            status, text = self.loopback.take(self.headers.get("Host", ""), self.path)
        except ValueError:
            status, text = 404, "There is nothing here."
        try:
            self._answer(status, _page(text))
        finally:
            # Even where the browser did not wait for the page.
            self.loopback.answered()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        for name, value in _HEADERS:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the base class's name
        """Says nothing: the address holds the code."""


_HEADERS = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'"),
    # The address holds the code.
    ("Referrer-Policy", "no-referrer"),
    ("Connection", "close"),
)


def _page(text: str) -> bytes:
    title = "<!doctype html><meta charset=utf-8><title>Groupseal</title>"
    return f"{title}<p>{escape(text)}</p>\n".encode()


def _handler(loopback: Loopback) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"loopback": loopback})


def code_of(callback: Callback, issuer: str) -> str:
    """The authorisation code. Raises SignInError for a refusal, or another provider's answer."""
    parameters = callback.parameters
    # RFC 9207: an answer that names its issuer names this one, or two providers were mixed up.
    if parameters.get("iss", issuer) != issuer:
        raise SignInError("the answer to the sign-in came from another identity provider")
    if "error" in parameters:
        why = ": ".join(
            parameters[name] for name in ("error", "error_description") if parameters.get(name)
        )
        raise SignInError(f"the identity provider refused the sign-in: {why or 'without a reason'}")
    code = parameters.get("code", "")
    if not code:
        raise SignInError("the identity provider's answer holds no code")
    return code
