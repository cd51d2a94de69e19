"""The server's certificate and the identity document that the vendor pins.

Certificates come from the service's own authority, and are renewed while it serves; or from
files, which are read again when they change, as the vendor's authority is.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from encryption_service.errors import CertificateError
from encryption_service.keyset import Keyset
from encryption_service.ledger_store import Clock
from encryption_service.secret_bytes import SecretBytes
from encryption_service.server_authority import make_server_certificate
from encryption_service.settings import ServiceSettings, StoreSettings
from encryption_service.vendor_authority import VendorAuthority, read_vendor_authority
from groupseal.identifiers import identifier_to_text
from groupseal.pairing import ServiceIdentity

_Renewable = TypeVar("_Renewable", "ServerCertificate", VendorAuthority)


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Private key and certificate chain in PEM, and the leaf's validity."""

    private_key: SecretBytes
    chain: bytes
    not_before_ms: int
    not_after_ms: int


def server_name(settings: StoreSettings, organisation: bytes) -> str:
    """DNS name in the certificate."""
    default = f"{identifier_to_text(organisation)}.encryption-service.groupseal"
    return settings.server_name or default


def identity_document(settings: StoreSettings, keyset: Keyset) -> ServiceIdentity:
    """The signed identity document. Raises CertificateError."""
    authority = keyset.authority_certificate
    if settings.server_ca_file:
        authority = _read(settings.server_ca_file, "SERVER_CA_FILE").decode()
    unsigned = ServiceIdentity(
        keyset.organisation,
        keyset.signing_public_key,
        authority,
        server_name(settings, keyset.organisation),
    )
    return ServiceIdentity(
        unsigned.organisation,
        unsigned.signing_public_key,
        unsigned.server_ca,
        unsigned.server_name,
        keyset.signing_key.sign(unsigned.message()),
    )


@dataclass(frozen=True, slots=True)
class Presented:
    """What a new connection meets: the server's certificate, and who may issue the client's."""

    certificate: ServerCertificate
    vendor_authority: VendorAuthority


class CertificateSource:
    """The certificates to serve with, now. May be asked from any thread."""

    def __init__(self, settings: ServiceSettings, keyset: Keyset, clock: Clock) -> None:
        """Raises CertificateError."""
        self._settings = settings
        self._keyset = keyset
        self._name = server_name(settings, keyset.organisation)
        self._clock = clock
        self._lock = threading.Lock()
        self._presented = Presented(self._make(), read_vendor_authority(settings.vendor_ca_file))
        self._file_faults: tuple[str, ...] = ()

    @property
    def presented(self) -> Presented:
        """As of the last look."""
        return self._presented

    @property
    def current(self) -> ServerCertificate:
        return self._presented.certificate

    @property
    def fault(self) -> str:
        """Why newer files are not in force, or that a certificate in force has ended; or empty."""
        now_ms, presented = self._clock(), self._presented
        ended = [
            f"the {what} has ended: renew it"
            for what, not_after_ms in (
                ("server's certificate", presented.certificate.not_after_ms),
                ("vendor's authority", presented.vendor_authority.not_after_ms),
            )
            if not_after_ms <= now_ms
        ]
        return "; ".join([*self._file_faults, *ended])

    def refresh(self) -> Presented:
        """Looks at the files, and whether an own certificate is due; for each connection.

        An own certificate is replaced after half its life, one from files when they differ. Files
        that cannot be used leave what is in force in place, and are a `fault`.
        """
        with self._lock:
            faults: list[str] = []
            present = self._presented
            certificate = self._refreshed(self._newer_certificate, present.certificate, faults)
            authority = self._refreshed(
                lambda: read_vendor_authority(self._settings.vendor_ca_file),
                present.vendor_authority,
                faults,
            )
            self._file_faults = tuple(faults)
            if (certificate, authority) != (present.certificate, present.vendor_authority):
                self._presented = Presented(certificate, authority)
            return self._presented

    def _refreshed(
        self, read: Callable[[], _Renewable], kept: _Renewable, faults: list[str]
    ) -> _Renewable:
        try:
            found = read()
        except CertificateError as error:
            faults.append(f"{error}; the last good one is kept")
            return kept
        if found.not_after_ms <= self._clock() < kept.not_after_ms:
            faults.append(
                "a certificate that was put into place has ended already; the last good one is kept"
            )
            return kept
        return found

    def _newer_certificate(self) -> ServerCertificate:
        """Of files always as they are; an own one only when half of its life is over."""
        current = self._presented.certificate
        half_ms = (current.not_before_ms + current.not_after_ms) // 2
        if not self._settings.server_certificate_file and self._clock() < half_ms:
            return current
        return self._make()

    def _make(self) -> ServerCertificate:
        if self._settings.server_certificate_file and self._settings.server_key_file:
            key = _read(self._settings.server_key_file, "SERVER_KEY_FILE")
            chain = _read(self._settings.server_certificate_file, "SERVER_CERTIFICATE_FILE")
            certificate = _leaf(chain)
            self._check(certificate, key)
            return _with_validity(SecretBytes(key), chain, certificate)
        private_key, chain = make_server_certificate(
            self._keyset.authority_key,
            self._keyset.authority_certificate,
            self._name,
            self._clock(),
        )
        return _with_validity(private_key, chain, _leaf(chain))

    def _check(self, certificate: x509.Certificate, key: bytes) -> None:
        """Refuses what every client would refuse later, with less to say about it."""
        try:
            names = certificate.extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            ).value.get_values_for_type(x509.DNSName)
        except x509.ExtensionNotFound:
            names = []
        if self._name not in names:
            raise CertificateError(
                f"the certificate in GROUPSEAL_SERVICE_SERVER_CERTIFICATE_FILE does not bear the "
                f"DNS name {self._name} (GROUPSEAL_SERVICE_SERVER_NAME); it bears {names}"
            )
        try:
            public = serialization.load_pem_private_key(key, None).public_key()
        except (ValueError, TypeError) as error:
            raise CertificateError(
                "GROUPSEAL_SERVICE_SERVER_KEY_FILE holds no unencrypted private key in PEM"
            ) from error
        if public != certificate.public_key():
            raise CertificateError(
                "GROUPSEAL_SERVICE_SERVER_KEY_FILE is not the key of the certificate in "
                "GROUPSEAL_SERVICE_SERVER_CERTIFICATE_FILE"
            )
        if self._settings.server_ca_file:
            self._check_issuer(certificate, self._settings.server_ca_file)

    @staticmethod
    def _check_issuer(certificate: x509.Certificate, authority_file: Path) -> None:
        authority = _leaf(_read(authority_file, "SERVER_CA_FILE"))
        if certificate.issuer != authority.subject:
            return  # an intermediate authority in between; the client checks the chain
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise CertificateError(
                "the certificate in GROUPSEAL_SERVICE_SERVER_CERTIFICATE_FILE was not issued by "
                "the authority in GROUPSEAL_SERVICE_SERVER_CA_FILE"
            ) from error


def _with_validity(
    private_key: SecretBytes, chain: bytes, certificate: x509.Certificate
) -> ServerCertificate:
    return ServerCertificate(
        private_key,
        chain,
        int(certificate.not_valid_before_utc.timestamp() * 1000),
        int(certificate.not_valid_after_utc.timestamp() * 1000),
    )


def _leaf(chain: bytes) -> x509.Certificate:
    try:
        # All of them, so that a broken one further down is noticed here and not by gRPC.
        return x509.load_pem_x509_certificates(chain)[0]
    except ValueError as error:
        raise CertificateError(
            "one of GROUPSEAL_SERVICE_SERVER_CERTIFICATE_FILE and GROUPSEAL_SERVICE_SERVER_CA_FILE "
            "holds no certificate in PEM"
        ) from error


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(
            f"GROUPSEAL_SERVICE_{setting} names {path}, which cannot be read ({error.strerror})"
        ) from error
