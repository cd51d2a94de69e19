"""Who gets an answer at all: the pinned client over mutual TLS 1.3, and nobody else."""

import socket
import ssl
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from encryption_api import encryption_pb2 as pb
from encryption_api import encryption_pb2_grpc as pb_grpc
from encryption_service.server import SERVICE_NAME
from tests.support.authority import VendorAuthority
from tests.support.service import CLIENT_IDENTITY, ServiceProcess

OTHER_TENANT = "spiffe://groupseal/tenant/99999999-2222-4333-8444-555555555555"


def ask(channel: grpc.Channel) -> grpc.StatusCode:
    """The status of the simplest call."""
    stub = pb_grpc.EncryptionServiceStub(channel)
    with pytest.raises(grpc.RpcError) as failed:
        stub.GetOrganisation(pb.GetOrganisationRequest(), timeout=5)
    code: grpc.StatusCode = failed.value.code()
    return code


def health(channel: grpc.Channel) -> Any:  # its stubs name no methods
    return health_pb2_grpc.HealthStub(channel)


def test_the_identity_document_is_what_the_server_shows(
    service: ServiceProcess, channel: grpc.Channel
) -> None:
    """The document's authority, name and signing key are those of the running server."""
    identity = service.identity()
    described = service.stub(channel).GetOrganisation(pb.GetOrganisationRequest(), timeout=5)
    assert described.organisation_id == identity.organisation
    assert described.signing_public_key == identity.signing_public_key
    assert (
        described.fingerprint == identity.fingerprint == service.run("fingerprint").stdout.strip()
    )
    assert described.trust_mode == pb.TRUST_MODE_PIN
    assert described.halted_reason == ""


def test_a_client_without_tls_gets_nothing(service: ServiceProcess) -> None:
    """Plain text is not answered."""
    with grpc.insecure_channel(service.address) as channel:
        assert ask(channel) is grpc.StatusCode.UNAVAILABLE


def test_a_client_without_a_certificate_gets_nothing(service: ServiceProcess) -> None:
    """TLS alone is not enough."""
    identity = service.identity()
    credentials = grpc.ssl_channel_credentials(identity.server_ca.encode())
    options = [("grpc.ssl_target_name_override", identity.server_name)]
    with grpc.secure_channel(service.address, credentials, options) as channel:
        assert ask(channel) is grpc.StatusCode.UNAVAILABLE


def test_a_certificate_of_another_authority_gets_nothing(service: ServiceProcess) -> None:
    """The right name from the wrong authority does not get through TLS."""
    with service.channel(VendorAuthority().issue_uri(CLIENT_IDENTITY)) as channel:
        assert ask(channel) is grpc.StatusCode.UNAVAILABLE


def test_another_tenants_certificate_opens_nothing(service: ServiceProcess) -> None:
    """The same authority's certificate for another tenant is denied, health included."""
    with service.channel(service.authority.issue_uri(OTHER_TENANT)) as channel:
        assert ask(channel) is grpc.StatusCode.PERMISSION_DENIED
        with pytest.raises(grpc.RpcError) as failed:
            health(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert failed.value.code() is grpc.StatusCode.PERMISSION_DENIED
        stub = pb_grpc.EncryptionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as failed:
            list(stub.ReadLedger(pb.ReadLedgerRequest(), timeout=5))
        assert failed.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_name_of_another_kind_does_not_count(service: ServiceProcess) -> None:
    """The pinned URI as an e-mail address or DNS name is no identity."""
    names = (x509.DNSName(CLIENT_IDENTITY), x509.UniformResourceIdentifier(OTHER_TENANT))
    with service.channel(service.authority.issue(*names)) as channel:
        assert ask(channel) is grpc.StatusCode.PERMISSION_DENIED


def test_tls_1_2_is_not_spoken(service: ServiceProcess, tmp_path: Path) -> None:
    """A client that can do no better than TLS 1.2 fails in the handshake; one with 1.3 does not."""
    key, certificate = service.authority.issue_uri(CLIENT_IDENTITY)
    (tmp_path / "client.pem").write_bytes(key + certificate)
    identity = service.identity()
    for newest, works in ((ssl.TLSVersion.TLSv1_2, False), (ssl.TLSVersion.TLSv1_3, True)):
        context = ssl.create_default_context(cadata=identity.server_ca)
        context.load_cert_chain(tmp_path / "client.pem")
        context.set_alpn_protocols(["h2"])
        context.maximum_version = newest
        with socket.create_connection(("127.0.0.1", service.port), timeout=5) as plain:
            try:
                with context.wrap_socket(plain, server_hostname=identity.server_name) as tls:
                    assert tls.version() == "TLSv1.3"
                spoken = True
            except ssl.SSLError:
                spoken = False
        assert spoken is works


def test_health_and_reflection_answer_the_pinned_client(channel: grpc.Channel) -> None:
    """The standard services are there for whoever is pinned."""
    request = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
    answer = health(channel).Check(request, timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([asked]), timeout=5)
    assert SERVICE_NAME in {found.name for found in answer.list_services_response.service}


def test_probes(service: ServiceProcess) -> None:
    """Plain HTTP answers the two probes and nothing else."""
    assert [service.probe(path) for path in ("/livez", "/readyz", "/")] == [200, 200, 404]
