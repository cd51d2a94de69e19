"""What the stand-ins for identity providers' APIs share: an HTTP server with faults to order."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    # Decoded segments of the path.
    segments: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))


@dataclass
class Reply:
    status: int
    document: Any
    headers: dict[str, str] = field(default_factory=dict)


class StandInServer:
    """Serves on loopback, in threads, until the end of the `with` block.

    Faults are plain attributes and hold for all requests but those to `except_paths`:
    `silent` takes requests and never answers, `delay_seconds` answers late, `failing` answers with
    that status, `wrong_json` with 200 and a web page, as a captive portal does.
    """

    def __init__(self) -> None:
        self.silent = False
        self.delay_seconds = 0.0
        self.failing: int | None = None
        self.wrong_json = False
        # Answers that are good before the fault `failing` begins; counts down.
        self.failing_after = 0
        self.requests: list[Request] = []
        # Called before each answer, to change the state between two pages.
        self.before_reply: Callable[[Request], None] | None = None
        self.lock = threading.RLock()
        self._closing = threading.Event()
        self._connections: set[socket.socket] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="stand-in", daemon=True
        ).start()
        return self

    def stop(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        # Connections that clients keep alive would be answered on and on.
        for connection in self._connections.copy():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def reply(self, request: Request) -> Reply:
        """What the API answers; called under the lock."""
        raise NotImplementedError

    def paths(self) -> list[str]:
        """Paths of the requests so far."""
        with self.lock:
            return [request.path for request in self.requests]

    def answer(self, request: Request) -> Reply | None:
        """None: never."""
        if self.delay_seconds:
            self._closing.wait(self.delay_seconds)
        with self.lock:
            self.requests.append(request)
            if self.silent:
                return None
            if self.failing is not None:
                if self.failing_after <= 0:
                    return Reply(self.failing, {"fault": "as ordered"})
                self.failing_after -= 1
            if self.wrong_json:
                return Reply(200, None)
            if self.before_reply is not None:
                self.before_reply(request)
            return self.reply(request)

    def wait_for_the_end(self) -> None:
        """Holds a connection until its client gives up, the silence ends or the server stops."""
        while self.silent and not self._closing.wait(0.05):
            pass

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body leave in one piece.
            wbufsize = -1

            def _take(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                url = urlsplit(self.path)
                reply = stand_in.answer(
                    Request(
                        self.command,
                        url.path,
                        tuple(unquote(s) for s in url.path.split("/") if s),
                        dict(parse_qsl(url.query, keep_blank_values=True)),
                        {name.lower(): value for name, value in self.headers.items()},
                        self.rfile.read(length),
                    )
                )
                if reply is None:
                    stand_in.wait_for_the_end()
                    self.close_connection = True
                    return
                page = b"<html>Sign in to the network</html>"
                body = page if reply.document is None else json.dumps(reply.document).encode()
                self.send_response_only(reply.status)
                for name, value in {"Date": self.date_time_string(), **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()

            do_GET = do_POST = _take  # noqa: N815 # the names http.server looks for

            def log_message(self, *_: object) -> None:
                """The test says what happened."""

            def handle(self) -> None:
                stand_in._connections.add(self.connection)
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True
                finally:
                    stand_in._connections.discard(self.connection)

        return Handler
