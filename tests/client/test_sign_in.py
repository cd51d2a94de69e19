"""The sign-in itself: one answer on loopback, and providers that are not what they must be."""

import base64
import json
import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from member_client.errors import SignInError, UnreachableError, UsageError, WaitingError
from member_client.loopback import Callback, Loopback, code_of
from member_client.pkce import VERIFIER_LENGTH, CodeVerifier
from member_client.provider import IdToken, discover
from member_client.sign_in import SignInManner, SignInRequest, nonce_of, sign_in
from tests.support.tls_server import Page, WebServer

WELL_KNOWN = "/.well-known/openid-configuration"
STATE = "the state of this sign-in"


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    with Loopback(STATE) as listening:
        yield listening


def callback(loopback: Loopback, **parameters: str) -> str:
    return f"{loopback.redirect_uri}?{urlencode(parameters)}"


def test_the_code_challenge_is_that_of_rfc_7636() -> None:
    """Appendix B."""
    verifier = CodeVerifier(b"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", VERIFIER_LENGTH)
    assert verifier.challenge() == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_every_verifier_is_another_one() -> None:
    assert CodeVerifier.make().challenge() != CodeVerifier.make().challenge()


def test_only_the_answer_with_the_right_state_is_taken(loopback: Loopback) -> None:
    """Everything else is answered with 404, and the sign-in goes on."""
    twice = callback(loopback, code="x", state=STATE) + f"&state={STATE}"
    another_page = loopback.redirect_uri.replace("/callback", "/other")
    for address in (
        callback(loopback, code="stolen", state="guessed"),
        callback(loopback, code="stolen"),
        twice.replace("code=x", "code=a&code=b"),
        f"{another_page}?{urlencode({'code': 'x', 'state': STATE})}",
        loopback.redirect_uri,
    ):
        assert httpx.get(address).status_code == 404, address
    right = callback(loopback, code="the code", state=STATE)
    # A name that somebody has made to point to this machine is another site (DNS rebinding).
    assert httpx.get(right, headers={"Host": "rebound.example.com"}).status_code == 404
    assert httpx.post(right).status_code == 501
    assert httpx.get(right).status_code == 200
    assert loopback.wait(5).parameters["code"] == "the code"


def test_one_answer_is_taken(loopback: Loopback) -> None:
    assert httpx.get(callback(loopback, code="first", state=STATE)).status_code == 200
    assert httpx.get(callback(loopback, code="second", state=STATE)).status_code == 404
    assert loopback.wait(5).parameters["code"] == "first"


def test_a_connection_that_says_nothing_stops_nobody(loopback: Loopback) -> None:
    """Browsers open some ahead of time."""
    host, port = loopback.authority.split(":")
    with socket.create_connection((host, int(port))):
        assert httpx.get(callback(loopback, code="c", state=STATE)).status_code == 200
        assert loopback.wait(5).parameters["code"] == "c"


def test_who_does_not_finish_is_told_to_try_again(loopback: Loopback) -> None:
    with pytest.raises(WaitingError, match="again"):
        loopback.wait(0.05)


def test_a_port_in_use_is_named(loopback: Loopback) -> None:
    """Two programs on one address would share the answers."""
    port = int(loopback.authority.split(":")[1])
    with pytest.raises(UsageError, match=str(port)):
        Loopback(STATE, port)


def test_the_page_shows_a_refusal_and_steers_nothing(loopback: Loopback) -> None:
    """What the provider says is text to the browser; the address, with the code, is not sent on."""
    refused = callback(
        loopback, error="access_denied", error_description="<script>x</script>", state=STATE
    )
    page = httpx.get(refused)
    assert "&lt;script&gt;" in page.text
    assert page.headers["Content-Security-Policy"] == "default-src 'none'"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    with pytest.raises(SignInError, match="access_denied: <script>"):
        code_of(loopback.wait(5), "https://idp.example.com")


def test_an_answer_of_another_provider_is_refused() -> None:
    """RFC 9207: two providers were mixed up."""
    mixed = Callback({"code": "c", "iss": "https://evil.example.com"})
    with pytest.raises(SignInError, match="another"):
        code_of(mixed, "https://idp.example.com")
    with pytest.raises(SignInError, match="no code"):
        code_of(Callback({}), "https://idp.example.com")


def test_secrets_of_the_sign_in_do_not_show_themselves() -> None:
    assert "a.b.c" not in repr(IdToken("a.b.c"))
    assert "the code" not in repr(Callback({"code": "the code"}))
    assert repr(CodeVerifier.make()) == "<CodeVerifier>"


class FakeProvider:
    """One that serves what it is told to, at addresses of this machine."""

    def __init__(self, web: WebServer) -> None:
        self.web = web
        self.issuer = web.url("")
        self.document = {
            "issuer": self.issuer,
            "authorization_endpoint": web.url("/authorize"),
            "token_endpoint": web.url("/token"),
        }
        self.publish()

    def publish(self, **changes: object) -> None:
        document = {**self.document, **changes}
        self.web.pages[WELL_KNOWN] = Page(json.dumps(document).encode())

    def answer_token(self, body: object, status: int = 200) -> None:
        self.web.pages["/token"] = Page(json.dumps(body).encode(), status)

    def sign_in(self, nonce: str = "n") -> IdToken:
        def come_back(address: str) -> None:
            query = dict(httpx.URL(address).params)
            back = urlencode({"code": "c", "state": query["state"]})
            httpx.get(f"{query['redirect_uri']}?{back}")

        return sign_in(SignInRequest(self.issuer, "client", nonce), SignInManner(come_back, 0, 5.0))


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with WebServer() as web:
        yield FakeProvider(web)


def token(**claims: object) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(p).rstrip(b"=").decode() for p in parts), "s"])


def test_the_token_is_asked_for_as_a_public_client_with_the_verifier(
    provider: FakeProvider,
) -> None:
    """RFC 7636, section 4.5; no client secret exists."""
    provider.answer_token({"id_token": token(nonce="n")})
    assert nonce_of(provider.sign_in()) == "n"
    method, path, headers, body = provider.web.requests[-1]
    sent = dict(httpx.QueryParams(body.decode()))
    assert (method, path) == ("POST", "/token")
    assert "authorization" not in headers
    assert sent["grant_type"] == "authorization_code"
    assert len(sent["code_verifier"]) == VERIFIER_LENGTH


@pytest.mark.parametrize(
    "answer",
    [
        {"id_token": token(nonce="of another sign-in")},
        {"id_token": token()},
        {"id_token": "no token"},
        {"id_token": "a.%%%.c"},
        {"id_token": 5},
        {"id_token": "a" * 20_000},
        {"access_token": "x"},
        [],
    ],
)
def test_a_token_of_another_sign_in_or_none_is_refused(
    provider: FakeProvider, answer: object
) -> None:
    provider.answer_token(answer)
    with pytest.raises(SignInError):
        provider.sign_in()


def test_the_providers_refusal_is_shown_and_nothing_else_of_its_answer(
    provider: FakeProvider,
) -> None:
    provider.answer_token({"error": "invalid_grant", "id_token": "a.secret.c"}, 400)
    with pytest.raises(SignInError, match="invalid_grant") as refused:
        provider.sign_in()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://other.example.com"},
        {"issuer": None},
        {"authorization_endpoint": "http://idp.example.com/authorize"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
        {"token_endpoint": "http://idp.example.com/token"},
        {"token_endpoint": "https://user@idp.example.com/token"},
        {"code_challenge_methods_supported": ["plain"]},
    ],
)
def test_a_document_that_would_lead_astray_is_refused(
    provider: FakeProvider, changes: dict[str, object]
) -> None:
    provider.publish(**changes)
    with pytest.raises(SignInError):
        discover(provider.issuer)


def _redirects(web: WebServer) -> None:
    web.pages[WELL_KNOWN] = Page(b"", 302, (("Location", "http://169.254.169.254/"),))


def _is_too_large(web: WebServer) -> None:
    web.pages[WELL_KNOWN] = Page(b" " * 300_000)


def _has_a_fault(web: WebServer) -> None:
    web.pages[WELL_KNOWN] = Page(b"", 502)


@pytest.mark.parametrize("fault", [_redirects, _is_too_large, _has_a_fault])
def test_a_provider_that_is_not_well_is_not_followed(
    provider: FakeProvider, fault: Callable[[WebServer], None]
) -> None:
    fault(provider.web)
    with pytest.raises((SignInError, UnreachableError)):
        discover(provider.issuer)
    assert len(provider.web.requests) == 1


def test_a_provider_without_tls_is_not_asked() -> None:
    with pytest.raises(SignInError, match="https"):
        discover("http://idp.example.com")


@given(st.binary(max_size=60))
def test_no_bytes_in_place_of_a_token_break_the_look_at_its_nonce(payload: bytes) -> None:
    body = base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
    assert nonce_of(IdToken(f"a.{body}.c")) is None or b"nonce" in payload


@given(st.text(max_size=80))
def test_nothing_but_the_state_opens_the_loopback(target: str) -> None:
    """Whatever is asked for, in whatever form."""
    loopback = Loopback(STATE)
    try:
        for asked in (target, f"/callback?{target}", f"/callback?state={target}&code=c"):
            try:
                status, _ = loopback.take(loopback.authority, asked)
            except ValueError:
                continue
            assert status == 404
    finally:
        loopback.close()
