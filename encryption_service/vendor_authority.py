"""The authority (or several, while one replaces another) of the vendor's client certificates."""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from encryption_service.errors import CertificateError

_SETTING = "GROUPSEAL_SERVICE_VENDOR_CA_FILE"


@dataclass(frozen=True, slots=True)
class VendorAuthority:
    """Certificates in PEM, and when the last of them ends."""

    pem: bytes
    not_after_ms: int


def read_vendor_authority(path: Path) -> VendorAuthority:
    """Raises CertificateError for a file that would let nobody in."""
    try:
        pem = path.read_bytes()
    except OSError as error:
        raise CertificateError(
            f"{_SETTING} names {path}, which cannot be read ({error.strerror})"
        ) from error
    try:
        authorities = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateError(
            f"{_SETTING} names {path}, which holds no certificate in PEM: put the vendor's ca.crt "
            "there"
        ) from error
    for certificate in authorities:
        if not _may_issue(certificate):
            raise CertificateError(
                f"{_SETTING} names {path}, where the certificate of "
                f"{certificate.subject.rfc4514_string()!r} is not an authority's: put the vendor's "
                "ca.crt there, not a client's certificate"
            )
    last = max(certificate.not_valid_after_utc for certificate in authorities)
    return VendorAuthority(pem, int(last.timestamp() * 1000))


def _may_issue(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    return constraints.ca
