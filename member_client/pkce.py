"""Proof Key for Code Exchange (RFC 7636), method S256."""

import base64
import hashlib
import os

from member_client.secret import Secret

_ENTROPY = 32
VERIFIER_LENGTH = 43


class CodeVerifier(Secret):
    """Code verifier (section 4.1): 43 characters of base64url over 32 random bytes."""

    @staticmethod
    def make() -> "CodeVerifier":
        return CodeVerifier(base64url(os.urandom(_ENTROPY)).encode(), VERIFIER_LENGTH)

    def challenge(self) -> str:
        """Code challenge (section 4.2): BASE64URL(SHA256(ASCII(code_verifier)))."""
        return base64url(hashlib.sha256(self.reveal()).digest())


def base64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
