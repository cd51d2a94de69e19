"""A small authority that issues certificates of clients and servers, as the vendor's does."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_SKEW = datetime.timedelta(minutes=5)
_LIFETIME = datetime.timedelta(days=1)


class VendorAuthority:
    """ECDSA P-256, in memory."""

    def __init__(
        self, name: str = "vendor authority", *, lifetime: datetime.timedelta = _LIFETIME
    ) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        certificate = (
            _builder(self._name, self._name, self._key.public_key(), lifetime)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        *names: x509.GeneralName,
        common_name: str = "client",
        lifetime: datetime.timedelta = _LIFETIME,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    ) -> tuple[bytes, bytes]:
        """Private key and certificate (PEM) with these subject alternative names.

        A negative lifetime makes one that ended so long ago.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(common_name), self._name, key.public_key(), lifetime)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False).sign(
            self._key, hashes.SHA256()
        )
        encoded = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return encoded, certificate.public_bytes(serialization.Encoding.PEM)

    def issue_uri(self, uri: str) -> tuple[bytes, bytes]:
        """A client known by one SAN URI."""
        return self.issue(x509.UniformResourceIdentifier(uri))


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    lifetime: datetime.timedelta,
) -> x509.CertificateBuilder:
    until = datetime.datetime.now(datetime.UTC) + lifetime
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - abs(lifetime) - _SKEW)
        .not_valid_after(until)
    )
