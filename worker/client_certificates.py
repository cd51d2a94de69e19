"""The vendor's authority and the client certificate with which each tenant's worker calls.

A tenant's identity is the URI `spiffe://groupseal/tenant/<tenant id>` in its certificate; the
customer's service allows exactly that one. Certificates are short-lived and renewed on demand.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from worker.errors import AuthorityError

_AUTHORITY_YEARS = timedelta(days=3650)
_TENANT_DAYS = timedelta(days=90)
_RENEW_BEFORE = timedelta(days=30)
# Clocks of vendor and customer may differ a little.
_BACKDATED = timedelta(minutes=5)


def tenant_identity(tenant_id: UUID) -> str:
    """The SAN URI of a tenant's client certificate."""
    return f"spiffe://groupseal/tenant/{tenant_id}"


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What a channel needs to prove who calls; PEM."""

    certificate: bytes
    private_key: bytes = field(repr=False)
    not_after: datetime


class Authority:
    """A folder with `ca.crt`, `ca.key` and `tenants/<tenant id>.crt|.key`.

    A worker may be given certificates without `ca.key`; then somebody else renews them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def create(folder: Path) -> "Authority":
        """Makes a new authority (ECDSA P-256). Raises AuthorityError if there is one already."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = Authority(folder)
        with authority._alone():
            if authority._key_path.exists() or authority._certificate_path.exists():
                raise AuthorityError(f"{folder} holds an authority already; choose another folder")
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = _sign_authority(key)
            _write(authority._key_path, _private_pem(key), 0o600)
            _write(authority._certificate_path, _pem(certificate), 0o644)
        return authority

    def certificate_for(self, tenant_id: UUID) -> ClientCertificate:
        """A tenant's certificate, issued or renewed if need be. Raises AuthorityError."""
        found = self._stored(tenant_id)
        now = datetime.now(UTC)
        if found is not None and now < found.not_after - _RENEW_BEFORE:
            return found
        if self._key_path.exists():
            return self._issue(tenant_id)
        if found is not None and now < found.not_after:
            return found
        raise AuthorityError(
            f"there is no valid client certificate of tenant {tenant_id} in {self._folder}"
            " and no ca.key to issue one; run `groupseal authority create` or bring the files"
        )

    @property
    def _key_path(self) -> Path:
        return self._folder / "ca.key"

    @property
    def _certificate_path(self) -> Path:
        return self._folder / "ca.crt"

    def _paths(self, tenant_id: UUID) -> tuple[Path, Path]:
        folder = self._folder / "tenants"
        return folder / f"{tenant_id}.crt", folder / f"{tenant_id}.key"

    def _stored(self, tenant_id: UUID) -> ClientCertificate | None:
        certificate_path, key_path = self._paths(tenant_id)
        try:
            certificate, key = certificate_path.read_bytes(), key_path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AuthorityError(f"{certificate_path} cannot be read: {error.strerror}") from error
        try:
            parsed = x509.load_pem_x509_certificate(certificate)
        except ValueError as error:
            raise AuthorityError(f"{certificate_path} is damaged; delete it") from error
        return ClientCertificate(certificate, key, parsed.not_valid_after_utc)

    def _issue(self, tenant_id: UUID) -> ClientCertificate:
        with self._alone():
            # Another process may have been faster.
            found = self._stored(tenant_id)
            # Certificates count whole seconds.
            now = datetime.now(UTC).replace(microsecond=0)
            if found is not None and now < found.not_after - _RENEW_BEFORE:
                return found
            ca_key, ca_certificate = self._load()
            key = ec.generate_private_key(ec.SECP256R1())
            not_after = min(now + _TENANT_DAYS, ca_certificate.not_valid_after_utc)
            certificate = _sign_tenant(tenant_id, key, ca_key, ca_certificate, not_after)
            certificate_path, key_path = self._paths(tenant_id)
            certificate_path.parent.mkdir(mode=0o700, exist_ok=True)
            private_pem = _private_pem(key)
            # Readers without the lock must never see a new certificate beside an old key.
            certificate_path.unlink(missing_ok=True)
            _write(key_path, private_pem, 0o600)
            _write(certificate_path, _pem(certificate), 0o644)
            return ClientCertificate(_pem(certificate), private_pem, not_after)

    def _load(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        try:
            key = serialization.load_pem_private_key(self._key_path.read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate(self._certificate_path.read_bytes())
        except (OSError, ValueError, TypeError) as error:
            raise AuthorityError(
                f"the authority in {self._folder} cannot be loaded ({type(error).__name__});"
                " restore ca.key and ca.crt from a backup"
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AuthorityError(f"{self._key_path} is not an ECDSA key")
        return key, certificate

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time writes into the folder."""
        descriptor = os.open(self._folder / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _sign_authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Groupseal vendor authority")])
    now = datetime.now(UTC)
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _AUTHORITY_YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _sign_tenant(
    tenant_id: UUID,
    key: ec.EllipticCurvePrivateKey,
    ca_key: ec.EllipticCurvePrivateKey,
    ca_certificate: x509.Certificate,
    not_after: datetime,
) -> x509.Certificate:
    identity = x509.UniformResourceIdentifier(tenant_identity(tenant_id))
    ca_public = ca_key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(tenant_id))]))
        .issuer_name(ca_certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - _BACKDATED)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([identity]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_public), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Writes a file so that it is there whole or not at all, with its mode from the start."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
