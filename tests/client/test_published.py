"""What an organisation publishes on its own domain: the member names it, the vendor has no part."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupseal.identifiers import fingerprint
from member_client.client import MemberClient
from member_client.enrolment import Enrolment
from member_client.errors import PinError, UnreachableError, UsageError
from member_client.published import PATH, fetch_published, parse_published
from tests.client.conftest import World
from tests.support.org_maker import OrgMaker, xwing_public_key
from tests.support.signing_in import Person, query_of
from tests.support.tls_server import Page, WebAuthority, WebServer


class Site:
    """The organisation's own web site, over TLS."""

    def __init__(self, web: WebServer) -> None:
        self.web = web
        self.domain = f"localhost:{web.port}"

    def publish(self, **fields: object) -> None:
        self.web.pages[PATH] = Page(json.dumps(fields).encode())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    authority = WebAuthority(tmp_path / "authority")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setenv("NO_PROXY", "localhost")
    with WebServer(authority.server_context("localhost")) as web:
        yield Site(web)


def enrol(world: World, site: Site, person: Person | None = None) -> tuple[MemberClient, Enrolment]:
    client = world.client(world.new_home())
    code = world.vendor.code_for(uuid4().bytes)
    if person is None:
        return client, client.enrol(world.address, code, domain=site.domain)
    return client, client.enrol(world.address, code, domain=site.domain, manner=person.manner)


def test_the_domain_confirms_the_organisation(world: World, site: Site) -> None:
    site.publish(organisation_fingerprint=fingerprint(world.org.public_key))
    client, done = enrol(world, site)
    assert done.organisation.confirmed
    assert client.organisation.domain == site.domain


def test_everything_that_is_published_has_to_agree_with_the_ledger(
    vouched: World, site: Site, ada_at_browser: Person
) -> None:
    """Nothing is signed in for or handed in where one field differs."""
    right = {
        "organisation_fingerprint": fingerprint(vouched.org.public_key),
        "issuer": vouched.org.trust.issuer,
        "client_id": vouched.org.trust.client_id,
        "evidence_key_digest": hashlib.sha256(
            xwing_public_key(vouched.org.evidence_seed)
        ).hexdigest(),
    }
    wrong = {
        "organisation_fingerprint": fingerprint(OrgMaker().public_key),
        "issuer": "https://other.example.com",
        "client_id": "other",
        "evidence_key_digest": "0" * 64,
    }
    for name, value in wrong.items():
        site.publish(**{**right, name: value})
        with pytest.raises(PinError):
            enrol(vouched, site, ada_at_browser)
    assert not ada_at_browser.sent_to
    assert not vouched.vendor.submissions
    site.publish(**right)
    assert enrol(vouched, site, ada_at_browser)[1].device.state == "bound"


def test_the_registered_port_is_used(
    vouched: World, site: Site, ada_at_browser: Person, free_tcp_port: int
) -> None:
    """Some identity providers know redirect addresses with their port only."""
    right = fingerprint(vouched.org.public_key)
    site.publish(organisation_fingerprint=right, redirect_port=free_tcp_port)
    enrol(vouched, site, ada_at_browser)
    redirect = query_of(ada_at_browser.sent_to[0])["redirect_uri"]
    assert redirect == f"http://127.0.0.1:{free_tcp_port}/callback"


@pytest.fixture
def free_tcp_port() -> int:
    with WebServer() as web:
        return web.port


def test_another_host_is_not_followed(site: Site) -> None:
    """A redirect within the host is; elsewhere somebody else may speak."""
    site.web.pages[PATH] = Page(b"", 301, (("Location", "/moved"),))
    site.web.pages["/moved"] = Page(json.dumps({"organisation_fingerprint": "F"}).encode())
    assert fetch_published(site.domain).fingerprint == "F"
    for target in ("https://evil.example.com/", f"http://{site.domain}{PATH}", "//evil/x"):
        site.web.pages[PATH] = Page(b"", 302, (("Location", target),))
        with pytest.raises(UnreachableError, match="another place"):
            fetch_published(site.domain)
    site.web.pages[PATH] = Page(b"", 302, (("Location", PATH),))
    with pytest.raises(UnreachableError, match="page to page"):
        fetch_published(site.domain)


def test_a_site_without_a_trusted_certificate_confirms_nothing(tmp_path: Path) -> None:
    strange = WebAuthority(tmp_path / "strange").server_context("localhost")
    with WebServer(strange) as web, pytest.raises(UnreachableError):
        fetch_published(f"localhost:{web.port}")


def test_a_domain_that_publishes_nothing_says_whom_to_ask(site: Site) -> None:
    with pytest.raises(PinError, match="administrator"):
        fetch_published(site.domain)


@pytest.mark.parametrize(
    "domain",
    ["", "https://example.com", "example.com/path", "user@example.com", "a b", "ex\u00e4mple.com"],
)
def test_what_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(UsageError, match="not a domain"):
        fetch_published(domain)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"organisation_fingerprint": 5},
        {"organisation_fingerprint": "F", "issuer": ["https://idp.example.com"]},
        {"organisation_fingerprint": "F", "client_id": ""},
        {"organisation_fingerprint": "F", "evidence_key_digest": "A" * 64},
        {"organisation_fingerprint": "F", "evidence_key_digest": "0" * 63},
        {"organisation_fingerprint": "F", "redirect_port": True},
        {"organisation_fingerprint": "F", "redirect_port": 65536},
    ],
)
def test_a_field_of_another_form_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(PinError, match="no proper"):
        parse_published("example.com", fields)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(
    [
        "organisation_fingerprint",
        "issuer",
        "client_id",
        "evidence_key_digest",
        "redirect_port",
        "x",
    ]
)


@given(st.dictionaries(NAMES, JSON))
def test_any_document_is_understood_or_refused(fields: dict[str, Any]) -> None:
    try:
        published = parse_published("example.com", fields)
    except PinError:
        return
    assert published.fingerprint == fields["organisation_fingerprint"]
    assert published.redirect_port is None or 0 < published.redirect_port < 65536
