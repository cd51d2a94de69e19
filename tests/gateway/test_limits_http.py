"""What the HTTP server itself refuses, and what never reaches a log: against the real process."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from directory.database import make_engine
from directory.tenants import NewTenant, create_tenant
from directory.unit_of_work import UnitOfWork
from tests.support.gateway_process import GatewayProcess

_ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
_CANARY = "gs_scim_CANARYcanaryCANARYcanaryCANARYcanary"


class Raw:
    """Bytes to the gateway, and what came back."""

    def __init__(self, port: int) -> None:
        self._port = port

    def send(self, *parts: bytes) -> tuple[int, bytes, bytes]:
        """Status, head and body of the answer; the connection is closed after it."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=10) as connection:
            try:
                for part in parts:
                    connection.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has answered and closed before everything was sent
            received = b""
            try:
                while data := connection.recv(65_536):
                    received += data
            except ConnectionResetError:
                pass
        head, _, body = received.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), head, body

    def error(self, *parts: bytes) -> int:
        """The status of an answer that must be an error in SCIM's form."""
        status, head, body = self.send(*parts)
        told = json.loads(body)
        assert b"application/scim+json" in head, head
        assert told["schemas"] == [_ERROR]
        assert told["status"] == str(status)
        assert told["detail"]
        assert _CANARY not in body.decode()
        return status


@pytest.fixture(scope="module")
def tenant(shared_database: str) -> NewTenant:
    """A tenant with a token."""
    engine = make_engine(shared_database)
    with UnitOfWork(engine) as uow:
        made = create_tenant(uow.connection, "raw")
        uow.commit()
    engine.dispose()
    return made


@pytest.fixture(scope="module")
def gateway(
    shared_database: str,
    tenant: NewTenant,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GatewayProcess]:
    """A gateway that logs everything, takes 64 KiB, and has no Redis."""
    log = tmp_path_factory.mktemp("raw") / "gateway.log"
    with GatewayProcess(
        shared_database,
        "redis://127.0.0.1:1/0",
        log,
        gateway_max_body="65536",
        gateway_rate_failures_per_minute="0",
        log_level="DEBUG",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def raw(gateway: GatewayProcess) -> Raw:
    """Bytes to that gateway."""
    return Raw(gateway.port)


def _head(line: str, token: str = _CANARY, **headers: str) -> bytes:
    fields = {
        "Host": "scim.example.com",
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/scim+json",
        "Connection": "close",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [line, *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (_head(f"GET /scim/v2/Users?filter={'a' * 9000} HTTP/1.1"), 414),
        (_head("GET /scim/v2/Users HTTP/1.1", X_Long="a" * 9000), 431),
        (_head("GET /scim/v2/Users HTTP/1.1", **{f"X-{n}": "a" for n in range(110)}), 431),
        (f"GET /{_CANARY}\r\n\r\n".encode(), 400),
        (f"{_CANARY} nonsense\r\n\r\n".encode(), 400),
        (_head("GET /scim/v2/Users HTTP/9.9"), 400),
        (_head("GET /scim/v2/Users HTTP/1.1", **{f"X {_CANARY}": "a"}), 400),
        (f"GET / HTTP/1.1\r\nAuthorization : Bearer {_CANARY}\r\n\r\n".encode(), 400),
        (f"GET / HTTP/1.1\r\nHost: a\r\nX: \x00{_CANARY}\r\n\r\n".encode(), 400),
        (_head("POST /scim/v2/Users HTTP/1.1", Transfer_Encoding="riddles, chunked"), 501),
        (_head("POST /scim/v2/Users HTTP/1.1", Content_Length="-1"), 400),
        (_head("POST /scim/v2/Users HTTP/1.1", Content_Length="5, 6"), 400),
        (_head("POST /scim/v2/Users HTTP/1.1", Expect="miracles"), 417),
        (_head(f"GET /{_CANARY}%0AERROR%20forged HTTP/1.1"), 404),
        (_head(f"DELETE /scim/v2/Users?x={_CANARY} HTTP/1.1"), 405),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
def test_what_is_no_usable_http(raw: Raw, sent: bytes, status: int) -> None:
    """A SCIM error on every path, also where the application is never asked."""
    assert raw.error(sent) == status


def test_bodies_in_chunks(raw: Raw, tenant: NewTenant) -> None:
    """Taken up to the limit; broken ones are refused."""
    head = _head("POST /scim/v2/Users HTTP/1.1", tenant.scim_token, Transfer_Encoding="chunked")
    user = b'{"userName": "chunks@example.com"}'
    chunk = f"{len(user):x}\r\n".encode() + user + b"\r\n"
    status, _, body = raw.send(head, chunk, b"0\r\n\r\n")
    assert status == 201, body
    assert raw.error(head, b"10000\r\n" + b" " * 65_536 + b"\r\n", chunk, b"0\r\n\r\n") == 413
    assert raw.error(head, b"zz\r\n{}\r\n0\r\n\r\n") == 400
    assert raw.error(head, chunk.replace(b"{", b"[", 1), b"0\r\n\r\n") == 400


def test_a_body_that_is_too_large(raw: Raw, tenant: NewTenant) -> None:
    """Refused by its length, before it is read; the limit and its setting are named."""
    head = _head("POST /scim/v2/Users HTTP/1.1", tenant.scim_token, Content_Length="65537")
    status, _, body = raw.send(head, b" " * 65_537)
    assert status == 413
    assert "65536" in json.loads(body)["detail"]
    assert "GROUPSEAL_GATEWAY_MAX_BODY" in json.loads(body)["detail"]


def test_a_body_that_ends_early(raw: Raw, tenant: NewTenant) -> None:
    """A client that hangs up in the middle has changed nothing."""
    head = _head("POST /scim/v2/Users HTTP/1.1", tenant.scim_token, Content_Length="500")
    with socket.create_connection(("127.0.0.1", raw._port), timeout=10) as connection:
        connection.sendall(head + b'{"userName": "half@example.com"')
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65_536)
    assert not answer or answer.split(b" ")[1] == b"400"


def test_no_log_holds_what_was_sent(
    gateway: GatewayProcess, raw: Raw, tenant: NewTenant, tmp_path: Path
) -> None:
    """Tokens in any place of a failing request; line breaks; at level DEBUG, all tests' requests.

    This one runs last in its file and reads what the others have caused, too.
    """
    name = f"{_CANARY}\\nERROR forged"
    body = json.dumps({"userName": name, "active": {"x": _CANARY}}).encode()
    length = str(len(body))
    for line in (
        f"POST /scim/v2/Users?token={_CANARY} HTTP/1.1",
        f"PUT /scim/v2/Users/{_CANARY}%0d%0aERROR%20forged HTTP/1.1",
        f"PATCH /scim/v2/Groups/{_CANARY}?filter=%0AERROR%20forged HTTP/1.1",
    ):
        head = _head(line, tenant.scim_token, Content_Length=length)
        assert 400 <= raw.error(head, body) < 500
    for authorization in (_CANARY, f"Basic {_CANARY}", f"Bearer {_CANARY} {_CANARY}"):
        head = _head("GET /scim/v2/Users HTTP/1.1", Authorization=authorization)
        assert raw.error(head) == 401
    assert "redis is not reachable" in gateway.log
    for secret in ("CANARY", "forged", tenant.scim_token, "Traceback"):
        assert secret not in gateway.log
