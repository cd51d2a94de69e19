"""Pinned names: exact, kind by kind, and nothing that only looks like one."""

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from encryption_service.client_identities import ClientIdentities
from encryption_service.errors import SettingsError
from encryption_service.settings import PREFIX, ServiceSettings, load
from tests.support.authority import VendorAuthority

URI = "spiffe://groupseal/tenant/11111111-2222-4333-8444-555555555555"
OTHER_TENANT = "spiffe://groupseal/tenant/99999999-2222-4333-8444-555555555555"
NAME = "worker.example.com"
PINNED = ClientIdentities.parse([URI, f"dns:{NAME}"])
AUTHORITY = VendorAuthority()

uri, dns = x509.UniformResourceIdentifier, x509.DNSName


def is_pinned(*names: x509.GeneralName, common_name: str = "client") -> bool:
    _, certificate = AUTHORITY.issue(*names, common_name=common_name)
    return PINNED.shares_one_with(ClientIdentities.of_certificate(certificate))


@pytest.mark.parametrize(
    "names",
    [
        (uri(URI),),
        (dns(NAME),),
        (dns("other.example.com"), dns(NAME)),
        (uri(OTHER_TENANT), dns(NAME)),
    ],
    ids=["the URI", "the DNS name", "the DNS name among others", "one of two kinds"],
)
def test_a_pinned_name_is_known(names: tuple[x509.GeneralName, ...]) -> None:
    """One pinned name among the certificate's is enough."""
    assert is_pinned(*names)


@pytest.mark.parametrize(
    "names",
    [
        (uri(OTHER_TENANT),),
        (uri(f"{URI}/"),),
        (uri(URI.upper()),),
        (uri(URI[:-1]),),
        (uri(f"dns:{NAME}"),),
        (uri(NAME),),
        (dns(URI),),
        (dns(f"dns:{NAME}"),),
        (dns("*.example.com"),),
        (dns("example.com"),),
        (dns(f"a.{NAME}"),),
        (dns(f"{NAME}."),),
        (dns("Worker.Example.com"),),
        (x509.RFC822Name(f"worker@{NAME}"),),
        (x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])),),
    ],
    ids=[
        "another tenant's URI",
        "a longer URI",
        "a URI in upper case",
        "a shorter URI",
        "the DNS entry as a URI",
        "the DNS name as a URI",
        "the URI as a DNS name",
        "the DNS entry as a DNS name",
        "a wildcard",
        "the domain above",
        "a name below",
        "an absolute name",
        "another case",
        "an e-mail address",
        "a directory name",
    ],
)
def test_any_other_name_is_unknown(names: tuple[x509.GeneralName, ...]) -> None:
    """Names are compared to the letter, each kind with its own."""
    assert not is_pinned(*names)


@pytest.mark.parametrize("common_name", [URI[:64], NAME, f"dns:{NAME}"])
def test_a_common_name_is_no_identity(common_name: str) -> None:
    """A certificate without alternative names has no identity at all."""
    assert not is_pinned(common_name=common_name)


def test_what_is_no_certificate_has_no_identity() -> None:
    """Whatever TLS hands over, nothing is pinned by accident."""
    assert ClientIdentities.of_certificate(b"") == ClientIdentities()
    assert not PINNED.shares_one_with(ClientIdentities())
    assert not ClientIdentities().shares_one_with(ClientIdentities())


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    pem = b"-----BEGIN CERTIFICATE-----\n" + data + b"\n-----END CERTIFICATE-----\n"
    assert ClientIdentities.of_certificate(pem) == ClientIdentities()


@pytest.mark.parametrize(
    "entry",
    [
        "worker",
        NAME,
        "dns:",
        "dns:Worker.example.com",
        "dns:*.example.com",
        "dns:worker..example.com",
        "dns:worker.example.com.",
        "dns:-worker.example.com",
        f"dns:{'a' * 64}.example.com",
        f"dns:{'a.' * 127}",
        "dns:worker example.com",
        "spiffe://groupseal/tenant/*",
        "spiffe:groupseal",
        "spiffe://",
    ],
)
def test_an_entry_that_could_never_match_is_refused(
    entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text names the variable and the entry."""
    for name, value in {
        "DATA_DIR": "/data",
        "ROOT_KEY_FILE": "/root.key",
        "VENDOR_CA_FILE": "/ca.crt",
        "ALLOWED_CLIENT_IDENTITIES": f"{URI},{entry}",
    }.items():
        monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as refused:
        load(ServiceSettings)
    assert f"{PREFIX}ALLOWED_CLIENT_IDENTITIES" in str(refused.value)
    assert repr(entry) in str(refused.value)


def test_entries_are_written_as_they_are_read() -> None:
    """The log of a refused client shows names as the setting would name them."""
    assert PINNED.texts() == sorted([URI, f"dns:{NAME}"])
    assert ClientIdentities.parse(PINNED.texts()) == PINNED
