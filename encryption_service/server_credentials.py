"""Mutual TLS whose certificates are renewed while the server serves. It imports gRPC."""

from typing import Any

import grpc

from encryption_service.server_identity import CertificateSource, Presented


def server_credentials(source: CertificateSource) -> grpc.ServerCredentials:
    """Demands a client certificate of the vendor's authority.

    gRPC asks for each new connection whether the configuration is another one; connections that
    exist go on with what they were made with.
    """
    given = source.presented

    def renewed() -> Any:  # its stubs forget that None means `as before`
        nonlocal given
        found = source.refresh()
        if found == given:
            return None
        given = found
        return _configuration(found)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(given), renewed, require_client_authentication=True
    )


def _configuration(presented: Presented) -> grpc.ServerCertificateConfiguration:
    certificate = presented.certificate
    return grpc.ssl_server_certificate_configuration(
        [(certificate.private_key.reveal(), certificate.chain)],
        root_certificates=presented.vendor_authority.pem,
    )
