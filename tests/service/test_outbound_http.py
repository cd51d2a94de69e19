"""What the service asks the outside: only addresses that may be asked, bounded in size and time."""

import ipaddress
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encryption_service.errors import SettingsError
from encryption_service.outbound_addresses import Address
from encryption_service.outbound_http import OutboundError, OutboundHttp
from tests.support.tls_server import Page, WebAuthority, WebServer

HOST = "identity.example.com"
_LOOPBACK = [ipaddress.ip_address("127.0.0.1")]


def to_loopback(host: str, port: int) -> Sequence[Address]:
    return _LOOPBACK


# Names without an address.
_NOWHERE = OutboundHttp(resolver=lambda *_: [])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> WebAuthority:
    return WebAuthority(tmp_path_factory.mktemp("web-authority"))


@pytest.fixture
def server(authority: WebAuthority) -> Iterator[WebServer]:
    with WebServer(authority.server_context(HOST)) as server:
        yield server


@pytest.fixture
def http(authority: WebAuthority) -> Iterator[OutboundHttp]:
    """Trusts the test's authority; every name is this machine; patient for a second."""
    http = OutboundHttp(
        allow_private_addresses=True,
        ca_file=authority.file,
        timeout=1.0,
        max_body=1000,
        resolver=to_loopback,
    )
    yield http
    http.close()


class TestAnswers:
    def test_an_answer_comes_whole_whatever_its_status(
        self, http: OutboundHttp, server: WebServer
    ) -> None:
        server.pages["/token?x=1"] = Page(b'{"a":1}', 429, (("Retry-After", "7"),))
        answer = http.request(
            "POST", server.url("/token?x=1", HOST), headers={"Authorization": "SSWS x"}, body=b"q=1"
        )
        assert (answer.status, answer.body) == (429, b'{"a":1}')
        assert answer.headers["retry-after"] == "7"
        method, path, headers, body = server.requests[0]
        assert (method, path, body) == ("POST", "/token?x=1", b"q=1")
        assert headers["host"] == f"{HOST}:{server.port}"
        assert headers["authorization"] == "SSWS x"

    def test_repeated_headers_are_joined(self, http: OutboundHttp, server: WebServer) -> None:
        """As Okta's `Link` headers are, one for each page."""
        server.pages["/"] = Page(headers=(("Link", "<a>"), ("Link", "<b>")))
        assert http.request("GET", server.url("/", HOST)).headers["link"] == "<a>, <b>"

    def test_connections_are_kept(self, http: OutboundHttp, server: WebServer) -> None:
        server.pages["/"] = Page()
        for _ in range(3):
            http.request("GET", server.url("/", HOST))
        assert server.connections == 1

    def test_a_redirect_is_an_answer_and_is_not_followed(
        self, http: OutboundHttp, server: WebServer
    ) -> None:
        server.pages["/"] = Page(b"", 302, (("Location", "/elsewhere"),))
        assert http.request("GET", server.url("/", HOST)).status == 302
        assert [path for _, path, _, _ in server.requests] == ["/"]


class TestBounds:
    @pytest.mark.parametrize("length", [True, False])
    def test_a_body_that_is_too_large_is_given_up(
        self, http: OutboundHttp, server: WebServer, length: bool
    ) -> None:
        """Whether or not the server says how long it is."""
        server.pages["/"] = Page(b"a" * 1_000_000, length=length)
        with pytest.raises(OutboundError, match="longer than 1000 bytes"):
            http.request("GET", server.url("/", HOST))

    def test_the_largest_body_allowed_is_read(self, http: OutboundHttp, server: WebServer) -> None:
        server.pages["/"] = Page(b"a" * 1000)
        assert len(http.request("GET", server.url("/", HOST)).body) == 1000

    @pytest.mark.parametrize("where", ["headers", "body"])
    def test_a_server_that_trickles_holds_a_thread_until_the_deadline_alone(
        self, authority: WebAuthority, server: WebServer, where: str
    ) -> None:
        """Each byte comes in time; the answer as a whole does not."""
        http = OutboundHttp(
            allow_private_addresses=True,
            ca_file=authority.file,
            timeout=0.3,
            resolver=to_loopback,
        )
        server.trickling = where
        began = time.monotonic()
        with pytest.raises(OutboundError, match=r"no whole answer within 0\.3 s"):
            http.request("GET", server.url("/", HOST))
        assert time.monotonic() - began < 5
        server.trickling = ""
        http.close()

    def test_a_server_that_says_nothing_is_given_up(self, http: OutboundHttp) -> None:
        """Not even its part of the TLS handshake."""
        with WebServer() as plain, pytest.raises(OutboundError):
            http.request("GET", f"https://{HOST}:{plain.port}/")

    def test_after_a_failure_the_next_request_works(
        self, http: OutboundHttp, server: WebServer
    ) -> None:
        server.pages["/large"] = Page(b"a" * 5000)
        server.pages["/"] = Page()
        for _ in range(3):
            with pytest.raises(OutboundError):
                http.request("GET", server.url("/large", HOST))
            assert http.request("GET", server.url("/", HOST)).status == 200


class TestIdentity:
    def test_a_certificate_for_another_name_is_refused(
        self, http: OutboundHttp, authority: WebAuthority
    ) -> None:
        with WebServer(authority.server_context("other.example.com")) as server:
            with pytest.raises(OutboundError, match="not trusted for this name"):
                http.request("GET", server.url("/", HOST))
            assert not server.requests

    def test_a_certificate_of_an_unknown_authority_is_refused(self, server: WebServer) -> None:
        http = OutboundHttp(allow_private_addresses=True, resolver=to_loopback)
        with pytest.raises(OutboundError, match="GROUPSEAL_SERVICE_OUTBOUND_CA_FILE"):
            http.request("GET", server.url("/", HOST))
        http.close()

    def test_an_authority_file_without_certificates_is_named_at_the_start(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "ca.crt").write_text("nothing")
        for file in (tmp_path / "ca.crt", tmp_path / "absent.crt"):
            with pytest.raises(SettingsError, match=file.name):
                OutboundHttp(ca_file=file)


class TestAddresses:
    def test_a_name_that_resolves_to_a_private_address_is_not_connected_to(
        self, authority: WebAuthority, server: WebServer
    ) -> None:
        http = OutboundHttp(ca_file=authority.file, resolver=to_loopback)
        with pytest.raises(OutboundError, match="private or reserved addresses only"):
            http.request("GET", server.url("/", HOST))
        assert server.connections == 0
        http.close()

    def test_the_address_that_was_checked_is_the_one_connected_to(
        self, authority: WebAuthority, server: WebServer
    ) -> None:
        """A name that answers differently the second time (rebinding) is not asked twice.

        The system knows no address of this name: nothing but the checked answer leads there.
        """
        asked: list[str] = []

        def rebinding(host: str, port: int) -> Sequence[Address]:
            asked.append(host)
            return _LOOPBACK if len(asked) == 1 else [ipaddress.ip_address("127.0.0.2")]

        http = OutboundHttp(
            allow_private_addresses=True, ca_file=authority.file, timeout=2, resolver=rebinding
        )
        server.pages["/"] = Page()
        assert http.request("GET", server.url("/", HOST)).status == 200
        assert asked == [HOST]
        http.close()

    def test_each_new_connection_is_checked_again(
        self, authority: WebAuthority, server: WebServer
    ) -> None:
        answers = [_LOOPBACK, [ipaddress.ip_address("169.254.169.254")]]
        http = OutboundHttp(
            allow_private_addresses=True,
            ca_file=authority.file,
            timeout=2,
            resolver=lambda *_: answers.pop(0),
        )
        server.pages["/"] = Page(length=False)
        assert http.request("GET", server.url("/", HOST)).status == 200
        with pytest.raises(OutboundError, match="private or reserved"):
            http.request("GET", server.url("/", HOST))
        http.close()

    def test_allowed_addresses_of_a_name_are_used_and_the_others_left_out(
        self, authority: WebAuthority, server: WebServer
    ) -> None:
        mixed = [ipaddress.ip_address("169.254.169.254"), *_LOOPBACK]
        http = OutboundHttp(
            allow_private_addresses=True,
            ca_file=authority.file,
            timeout=2,
            resolver=lambda *_: mixed,
        )
        server.pages["/"] = Page()
        began = time.monotonic()
        assert http.request("GET", server.url("/", HOST)).status == 200
        assert time.monotonic() - began < 2
        http.close()


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            "https://ada:secret@identity.example.com/",
            "https://ada@identity.example.com/",
            "ftp://identity.example.com/",
            "file:///etc/passwd",
            "//identity.example.com/",
            "identity.example.com",
            "https://",
            "https:///path",
            "https://identity.example.com/#part",
            "https://identity.example.com:0/",
            "https://identity.example.com:70000/",
            "https://identity.example.com:x/",
            "https://identity.example.com\\@127.0.0.1/",
            "https://identity.example.com/ x",
            "https://identity.example.com/\r\nX: y",
            "https://id\u00e9ntity.example.com/",
            "https://[::1/",
            "https://identity.example.com/" + "a" * 5000,
            "",
        ],
    )
    def test_is_refused_before_anything_is_resolved(self, url: str) -> None:
        def nothing(host: str, port: int) -> Sequence[Address]:
            raise AssertionError(f"{host} was resolved")

        http = OutboundHttp(allow_private_addresses=True, resolver=nothing)
        with pytest.raises(OutboundError) as refused:
            http.request("GET", url)
        assert "secret" not in str(refused.value)

    def test_http_is_for_this_machine_and_only_if_private_addresses_are_allowed(self) -> None:
        with WebServer() as server:
            server.pages["/"] = Page()
            allowed = OutboundHttp(allow_private_addresses=True)
            assert allowed.request("GET", server.url()).status == 200
            with pytest.raises(OutboundError, match="use an https URL"):
                OutboundHttp().request("GET", server.url())
            elsewhere = OutboundHttp(
                allow_private_addresses=True,
                resolver=lambda *_: [ipaddress.ip_address("10.0.0.1")],
            )
            with pytest.raises(OutboundError, match="private or reserved"):
                elsewhere.request("GET", f"http://{HOST}:{server.port}/")
            allowed.close()

    def test_a_name_that_does_not_resolve_is_said(self) -> None:
        def unknown(host: str, port: int) -> Sequence[Address]:
            raise OSError("no such name")

        with pytest.raises(OutboundError, match=f"{HOST}: its name does not resolve"):
            OutboundHttp(resolver=unknown).request("GET", f"https://{HOST}/")

    @given(st.text(max_size=60))
    @settings(deadline=None)
    def test_no_text_raises_anything_else(self, url: str) -> None:
        for text in (url, f"https://{url}"):
            with pytest.raises(OutboundError):
                _NOWHERE.request("GET", text)
