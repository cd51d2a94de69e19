"""HPKE suites (RFC 9180) of member and group keys. There is no negotiation and no other suite."""

from enum import IntEnum

from groupseal.errors import MalformedError

SIGNING_KEY_LENGTH = 32
SIGNATURE_LENGTH = 64


class Suite(IntEnum):
    """KEM / HKDF-SHA256 / AES-256-GCM, base mode."""

    # MLKEM768-X25519 as in draft-connolly-cfrg-xwing-kem: stays closed to a quantum computer.
    XWING = 1
    # For clients that have nothing else, by policy.
    X25519 = 2

    @property
    def public_key_length(self) -> int:
        """Bytes: X-Wing 1184 (ML-KEM-768) + 32 (X25519), or 32."""
        return 1216 if self is Suite.XWING else 32

    @property
    def encapsulation_length(self) -> int:
        """Bytes of `enc`, which precedes the ciphertext."""
        return 1120 if self is Suite.XWING else 32

    def sealed_length(self, plaintext_length: int) -> int:
        """Bytes of enc, ciphertext and the 16-byte tag."""
        return self.encapsulation_length + plaintext_length + 16


def suite_from(number: int) -> Suite:
    """Raises MalformedError for a number that names no suite."""
    try:
        return Suite(number)
    except ValueError as error:
        raise MalformedError(f"no suite has the number {number}") from error
