"""Mutual TLS that lives: certificates of both sides are renewed while the service serves."""

import datetime
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from embedded.ports import free_port
from encryption_api import encryption_pb2 as pb
from encryption_api import encryption_pb2_grpc as pb_grpc
from tests.support.authority import VendorAuthority
from tests.support.metrics import Scraped, scrape
from tests.support.service import CLIENT_IDENTITY, ServiceProcess
from tests.support.waiting import wait_for

SERVER_NAME = "sealing.example.com"
DNS_CLIENT = "worker.example.com"
EXPIRY = "groupseal_service_certificate_expiry_timestamp_seconds"
FAULT = "groupseal_service_certificate_fault"
AN_HOUR = datetime.timedelta(hours=1)

Client = tuple[bytes, bytes]


class Files:
    """A service whose certificates are files, and what a test puts into them."""

    def __init__(self, folder: Path) -> None:
        self.authority = VendorAuthority("server authority")
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        authority_file = folder / "server-ca.crt"
        authority_file.write_bytes(self.authority.certificate)
        self.issue()
        self.metrics_port = free_port()
        self.service = ServiceProcess(
            folder / "service",
            environment={
                "GROUPSEAL_SERVICE_SERVER_CERTIFICATE_FILE": str(self.certificate),
                "GROUPSEAL_SERVICE_SERVER_KEY_FILE": str(self.key),
                "GROUPSEAL_SERVICE_SERVER_CA_FILE": str(authority_file),
                "GROUPSEAL_SERVICE_SERVER_NAME": SERVER_NAME,
                "GROUPSEAL_SERVICE_METRICS_LISTEN": f"127.0.0.1:{self.metrics_port}",
                "GROUPSEAL_SERVICE_ALLOWED_CLIENT_IDENTITIES": (
                    f"{CLIENT_IDENTITY},dns:{DNS_CLIENT}"
                ),
            },
        )
        self.vendor_ca = folder / "service" / "vendor-ca.crt"

    def issue(self, lifetime: datetime.timedelta = AN_HOUR) -> int:
        """Puts a new server certificate into place; its serial number."""
        key, certificate = self.authority.issue(
            x509.DNSName(SERVER_NAME), lifetime=lifetime, usage=ExtendedKeyUsageOID.SERVER_AUTH
        )
        self.key.write_bytes(key)
        self.certificate.write_bytes(certificate)
        return x509.load_pem_x509_certificate(certificate).serial_number

    def scrape(self) -> Scraped:
        return scrape(self.metrics_port)

    def shown(self) -> int:
        """Serial number of the certificate that a new connection is shown."""
        context = ssl.create_default_context(cadata=self.authority.certificate.decode())
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", self.service.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=SERVER_NAME) as tls,
        ):
            der = tls.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der).serial_number


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    made = Files(tmp_path_factory.mktemp("files"))
    with made.service:
        yield made


@pytest.fixture(autouse=True)
def good_files(files: Files) -> Iterator[None]:
    """Each test leaves files behind that serve."""
    yield
    files.issue()
    files.vendor_ca.write_bytes(files.service.authority.certificate)
    assert files.scrape().value(FAULT) == 0


def status(service: ServiceProcess, client: Client) -> grpc.StatusCode:
    """How the simplest call of a new connection ends."""
    with service.channel(client) as channel:
        try:
            pb_grpc.EncryptionServiceStub(channel).GetOrganisation(
                pb.GetOrganisationRequest(), timeout=5
            )
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        return grpc.StatusCode.OK


def test_a_renewed_server_certificate_is_shown_without_a_restart(files: Files) -> None:
    """The next connection meets the new one; one that exists goes on as it was."""
    process = files.service.pid
    with files.service.channel() as channel:
        stub = files.service.stub(channel)
        stub.GetOrganisation(pb.GetOrganisationRequest(), timeout=5)
        before = files.shown()
        renewed = files.issue(lifetime=2 * AN_HOUR)
        assert files.shown() == renewed != before
        described = stub.GetOrganisation(pb.GetOrganisationRequest(), timeout=5)
    expiry = files.scrape().value(EXPIRY, which="server")
    in_file = x509.load_pem_x509_certificate(files.certificate.read_bytes()).not_valid_after_utc
    assert expiry == described.certificate_not_after == in_file.timestamp()
    assert files.service.pid == process


def other_key(files: Files) -> None:
    files.key.write_bytes(VendorAuthority().issue(x509.DNSName(SERVER_NAME))[0])


def other_name(files: Files) -> None:
    key, certificate = files.authority.issue(x509.DNSName("other.example.com"))
    files.key.write_bytes(key)
    files.certificate.write_bytes(certificate)


def other_authority(files: Files) -> None:
    issuer = VendorAuthority("server authority")
    key, certificate = issuer.issue(x509.DNSName(SERVER_NAME))
    files.key.write_bytes(key)
    files.certificate.write_bytes(certificate)


def ended(files: Files) -> None:
    files.issue(lifetime=-AN_HOUR)


def broken_chain(files: Files) -> None:
    damaged = files.certificate.read_bytes().replace(b"MII", b"MIJ")
    files.certificate.write_bytes(files.certificate.read_bytes() + damaged)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda files: files.certificate.write_bytes(b""),
        lambda files: files.certificate.unlink(),
        lambda files: files.key.write_bytes(b"no key"),
        broken_chain,
        other_key,
        other_name,
        other_authority,
        ended,
    ],
    ids=[
        "an empty certificate",
        "no certificate",
        "no key",
        "a damaged certificate in the chain",
        "the key of another certificate",
        "another name",
        "another authority",
        "one that has ended",
    ],
)
def test_server_files_that_cannot_be_used_change_nothing(files: Files, spoil: object) -> None:
    """The last good certificate is served on, and the fault is shown until the files are well."""
    before = files.shown()
    assert files.scrape().value(FAULT) == 0
    assert callable(spoil)
    spoil(files)
    assert files.shown() == before
    assert files.scrape().value(FAULT) == 1
    mended = files.issue()
    assert files.shown() == mended
    assert files.scrape().value(FAULT) == 0


def test_a_replaced_vendor_authority_counts_for_new_connections(files: Files) -> None:
    """A client of the new authority gets in, one of the old no longer does; both while both are
    in the file."""
    service, new = files.service, VendorAuthority("the vendor's next authority")
    old_client = service.authority.issue_uri(CLIENT_IDENTITY)
    new_client = new.issue_uri(CLIENT_IDENTITY)
    assert status(service, old_client) is grpc.StatusCode.OK
    assert status(service, new_client) is grpc.StatusCode.UNAVAILABLE

    files.vendor_ca.write_bytes(service.authority.certificate + new.certificate)
    assert status(service, old_client) is grpc.StatusCode.OK
    assert status(service, new_client) is grpc.StatusCode.OK

    files.vendor_ca.write_bytes(new.certificate)
    assert status(service, old_client) is grpc.StatusCode.UNAVAILABLE
    assert status(service, new_client) is grpc.StatusCode.OK
    in_file = x509.load_pem_x509_certificate(new.certificate).not_valid_after_utc
    assert files.scrape().value(EXPIRY, which="vendor_ca") == in_file.timestamp()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        VendorAuthority().issue_uri(CLIENT_IDENTITY)[1],
        VendorAuthority(lifetime=-AN_HOUR).certificate,
        None,
    ],
    ids=["nothing", "no certificate", "a client's certificate", "one that has ended", "no file"],
)
def test_a_vendor_file_that_cannot_be_used_changes_nothing(
    files: Files, content: bytes | None
) -> None:
    """The last good authority is kept, and the fault is shown."""
    if content is None:
        files.vendor_ca.unlink()
    else:
        files.vendor_ca.write_bytes(content)
    client = files.service.authority.issue_uri(CLIENT_IDENTITY)
    assert status(files.service, client) is grpc.StatusCode.OK
    assert files.scrape().value(FAULT) == 1


def test_a_client_certificate_that_has_ended_is_refused(files: Files) -> None:
    """In the handshake: the right name and authority do not help."""
    issue = files.service.authority.issue
    name = x509.UniformResourceIdentifier(CLIENT_IDENTITY)
    assert status(files.service, issue(name)) is grpc.StatusCode.OK
    assert status(files.service, issue(name, lifetime=-AN_HOUR)) is grpc.StatusCode.UNAVAILABLE


def test_a_server_certificate_is_no_client_certificate(files: Files) -> None:
    """Its extended key usage says what it is for (RFC 5280, section 4.2.1.12)."""
    name = x509.UniformResourceIdentifier(CLIENT_IDENTITY)
    client = files.service.authority.issue(name, usage=ExtendedKeyUsageOID.SERVER_AUTH)
    assert status(files.service, client) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((x509.DNSName(DNS_CLIENT),), grpc.StatusCode.OK),
        ((x509.DNSName("*.example.com"),), grpc.StatusCode.PERMISSION_DENIED),
        (
            (x509.UniformResourceIdentifier(f"dns:{DNS_CLIENT}"),),
            grpc.StatusCode.PERMISSION_DENIED,
        ),
        ((), grpc.StatusCode.PERMISSION_DENIED),
    ],
    ids=["the DNS name", "a wildcard", "the DNS entry as a URI", "a common name alone"],
)
def test_a_client_may_be_pinned_by_dns_name(
    files: Files, names: tuple[x509.GeneralName, ...], expected: grpc.StatusCode
) -> None:
    """Of the certificate's own subject alternative names, to the letter."""
    client = files.service.authority.issue(*names, common_name=DNS_CLIENT)
    assert status(files.service, client) is expected


def test_a_vendor_authority_that_has_ended_lets_nobody_in(tmp_path: Path) -> None:
    """The service starts, says what is wrong, and is mended by a file, without a restart."""
    ended_authority = VendorAuthority(lifetime=-AN_HOUR)
    port = free_port()
    with ServiceProcess(
        tmp_path,
        vendor_ca=ended_authority.certificate,
        environment={"GROUPSEAL_SERVICE_METRICS_LISTEN": f"127.0.0.1:{port}"},
    ) as service:
        assert scrape(port).value(FAULT) == 1
        client = ended_authority.issue_uri(CLIENT_IDENTITY)
        assert status(service, client) is grpc.StatusCode.UNAVAILABLE
        wait_for(lambda: "certificate_fault" in service.log, 10, "the fault in the log")
        (tmp_path / "vendor-ca.crt").write_bytes(service.authority.certificate)
        client = service.authority.issue_uri(CLIENT_IDENTITY)
        assert status(service, client) is grpc.StatusCode.OK
        assert scrape(port).value(FAULT) == 0
