"""The service's own certificates over time: a clock that the test sets, a real TLS server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from embedded.ports import free_port
from encryption_service.certificate_watch import CertificateWatch, days_left
from encryption_service.errors import CertificateError
from encryption_service.keyset import Keyset, make_keyset
from encryption_service.server_credentials import server_credentials
from encryption_service.server_identity import CertificateSource, server_name
from encryption_service.settings import ServiceSettings
from encryption_service.wiring import system_clock
from tests.support.authority import VendorAuthority
from tests.support.service import CLIENT_IDENTITY

_DAY_MS = 24 * 3600 * 1000
ORGANISATION = bytes(range(16))


class SetClock:
    """Days from now, as the test says."""

    def __init__(self, days: float = 0.0) -> None:
        self.days = days

    def __call__(self) -> int:
        return system_clock() + int(self.days * _DAY_MS)


class Served:
    """A source of certificates and what it needs."""

    def __init__(self, folder: Path, clock: SetClock, authority: VendorAuthority) -> None:
        self.clock, self.authority = clock, authority
        self.vendor_ca = folder / "vendor-ca.crt"
        self.vendor_ca.write_bytes(authority.certificate)
        self.settings = ServiceSettings(
            data_dir=folder,
            root_key_file=folder / "root.key",
            vendor_ca_file=self.vendor_ca,
            allowed_client_identities=(CLIENT_IDENTITY,),
        )
        self.keyset: Keyset = make_keyset(ORGANISATION, system_clock() - 365 * _DAY_MS)
        self.source = CertificateSource(self.settings, self.keyset, clock)

    @contextmanager
    def listening(self) -> Iterator[str]:
        """A gRPC server with nothing but the health service; its address."""
        server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
        servicer = health.HealthServicer()
        servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        address = f"127.0.0.1:{free_port()}"
        server.add_secure_port(address, server_credentials(self.source))
        server.start()
        try:
            yield address
        finally:
            server.stop(None).wait()

    def accepts(self, address: str) -> bool:
        """Whether a client that trusts the service's own authority gets an answer."""
        key, certificate = self.authority.issue_uri(CLIENT_IDENTITY)
        credentials = grpc.ssl_channel_credentials(
            self.keyset.authority_certificate.encode(), key, certificate
        )
        name = server_name(self.settings, ORGANISATION)
        options = [("grpc.ssl_target_name_override", name), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel(address, credentials, options) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its stubs name no methods
            try:
                stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.RpcError as error:
                return bool(error.code() is not grpc.StatusCode.UNAVAILABLE)
            return True


@pytest.fixture(scope="module")
def authority() -> VendorAuthority:
    return VendorAuthority()


@pytest.fixture
def served(tmp_path: Path, authority: VendorAuthority) -> Served:
    return Served(tmp_path, SetClock(), authority)


def test_an_own_certificate_that_has_ended_is_refused_until_it_is_renewed(
    tmp_path: Path, authority: VendorAuthority
) -> None:
    """A service whose clock stood still shows an old certificate, which its clients refuse; once
    the clock is right, the next connection meets a new one."""
    clock = SetClock(days=-40)
    served = Served(tmp_path, clock, authority)
    with served.listening() as address:
        assert not served.accepts(address)
        clock.days = 0
        assert served.source.fault == "the server's certificate has ended: renew it"
        assert served.accepts(address)
        assert served.source.fault == ""


def test_an_own_certificate_is_renewed_after_half_its_life(served: Served) -> None:
    """30 days: as it is for the first 14, another one from the 16th on, with another key."""
    first = served.source.current
    served.clock.days = 14
    assert served.source.refresh().certificate == first
    served.clock.days = 16
    second = served.source.refresh().certificate
    assert second.private_key != first.private_key
    assert days_left(second.not_after_ms, served.clock()) in {29, 30}


def test_a_private_key_is_in_no_representation(served: Served) -> None:
    """Not of the certificate, nor of what is presented."""
    presented = served.source.presented
    key = presented.certificate.private_key.reveal().decode()
    assert key.splitlines()[1] not in repr(presented)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no certificate in PEM"),
        (VendorAuthority().issue_uri(CLIENT_IDENTITY)[1], "is not an authority's"),
        (None, "cannot be read"),
    ],
)
def test_the_first_vendor_file_must_be_usable(
    tmp_path: Path, authority: VendorAuthority, content: bytes | None, said: str
) -> None:
    """There is no last good one at the start: the text names the variable and the remedy."""
    served = Served(tmp_path, SetClock(), authority)
    if content is None:
        served.vendor_ca.unlink()
    else:
        served.vendor_ca.write_bytes(content)
    with pytest.raises(CertificateError, match=f"GROUPSEAL_SERVICE_VENDOR_CA_FILE.*{said}"):
        CertificateSource(served.settings, served.keyset, served.clock)


def test_what_ends_soon_is_logged_once_a_day(served: Served) -> None:
    """The vendor's authority here ends within a day; the own certificate does not."""
    watch = CertificateWatch(served.source, served.clock)
    with structlog.testing.capture_logs() as logs:
        watch.look()
        watch.look()
    assert [(log["event"], log["which"]) for log in logs] == [
        ("certificate_ends_soon", "vendor_ca")
    ]
    assert logs[0]["days_left"] == 0
    served.clock.days = 1.5
    with structlog.testing.capture_logs() as logs:
        watch.look()
    assert [log["event"] for log in logs] == ["certificate_fault", "certificate_ends_soon"]


def test_a_fault_is_logged_when_it_comes_and_when_it_goes(served: Served) -> None:
    """Not with every look in between."""
    watch = CertificateWatch(served.source, served.clock)
    watch.look()
    good = served.vendor_ca.read_bytes()
    with structlog.testing.capture_logs() as logs:
        served.vendor_ca.write_bytes(b"")
        watch.look()
        watch.look()
        served.vendor_ca.write_bytes(good)
        watch.look()
    assert [log["event"] for log in logs] == ["certificate_fault", "certificate_fault_over"]
    assert "GROUPSEAL_SERVICE_VENDOR_CA_FILE" in logs[0]["fault"]
