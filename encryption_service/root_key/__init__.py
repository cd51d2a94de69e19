"""Providers of the root key, under which the organisation's keyset is sealed.

A provider wraps one 32-byte data key; the keyset itself is sealed under that. It is asked at the
first start, at every start, and never per request.
"""

from typing import Protocol

from encryption_service.secret_bytes import SecretBytes


class RootKeyProvider(Protocol):
    """Symmetric wrapping by a key that the provider does not give away."""

    @property
    def name(self) -> str:
        """Stable name, stored beside what was wrapped."""

    def wrap(self, key: SecretBytes, context: bytes) -> bytes:
        """Wraps a 32-byte key, bound to the context."""

    def unwrap(self, wrapped: bytes, context: bytes) -> SecretBytes:
        """The inverse of `wrap`. Raises RootKeyError for another root key or context."""
