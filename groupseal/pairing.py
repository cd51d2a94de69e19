"""The service's identity document: what the vendor pins when a tenant is connected.

It ties the certificate authority of the service's TLS certificates to the organisation's signing
key, whose fingerprint people compare. The document itself needs no trust: a changed one has
another fingerprint or no valid signature.
"""

import base64
import binascii
import json
from dataclasses import dataclass

from groupseal.bindings import verify_signature
from groupseal.encoding import Writer
from groupseal.errors import MalformedError
from groupseal.identifiers import fingerprint, identifier_from_text, identifier_to_text
from groupseal.labels import Label
from groupseal.suites import SIGNING_KEY_LENGTH

_FIELDS = {"organisation_id", "signing_public_key", "server_ca", "server_name", "signature"}


@dataclass(frozen=True, slots=True)
class ServiceIdentity:
    """Organisation, signing key, PEM of the server's CA and the name its certificate bears."""

    organisation: bytes
    signing_public_key: bytes
    server_ca: str
    server_name: str
    signature: bytes = b""

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.signing_public_key)

    def message(self) -> bytes:
        """The bytes that the organisation's signing key signs."""
        writer = Writer(Label.SERVER_IDENTITY).identifier(self.organisation)
        writer.fixed(self.signing_public_key, SIGNING_KEY_LENGTH)
        return writer.text(self.server_ca).text(self.server_name).bytes()

    def to_json(self) -> str:
        return json.dumps(
            {
                "organisation_id": identifier_to_text(self.organisation),
                "signing_public_key": base64.b64encode(self.signing_public_key).decode(),
                "server_ca": self.server_ca,
                "server_name": self.server_name,
                "signature": base64.b64encode(self.signature).decode(),
            },
            indent=2,
        )


def open_identity(document: str) -> ServiceIdentity:
    """Parses an identity document and verifies that it signed itself.

    The caller compares the fingerprint. Raises MalformedError or SignatureError.
    """
    try:
        fields = json.loads(document)
    except ValueError as error:
        raise MalformedError("the identity document is not JSON") from error
    if not isinstance(fields, dict) or set(fields) != _FIELDS:
        raise MalformedError(f"the identity document has exactly the fields {sorted(_FIELDS)}")
    if not all(isinstance(value, str) for value in fields.values()):
        raise MalformedError("every field of the identity document is a string")
    try:
        signing_public_key = base64.b64decode(fields["signing_public_key"], validate=True)
        signature = base64.b64decode(fields["signature"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedError("a key or signature in the identity document is not base64") from error
    if len(signing_public_key) != SIGNING_KEY_LENGTH:
        raise MalformedError(f"signing_public_key has {SIGNING_KEY_LENGTH} bytes")
    identity = ServiceIdentity(
        identifier_from_text(fields["organisation_id"]),
        signing_public_key,
        fields["server_ca"],
        fields["server_name"],
        signature,
    )
    verify_signature(signing_public_key, signature, identity.message())
    return identity
