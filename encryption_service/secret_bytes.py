"""The one type in which secrets live (I14).

It shows nothing, is never pickled, compares in constant time, and gives its bytes away through
`reveal` alone: whoever looks for the places where secrets are used searches for that word.
"""

import hmac
import secrets
from typing import NoReturn


class SecretBytes:
    """Secret bytes behind a handle."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    @staticmethod
    def random(length: int = 32) -> "SecretBytes":
        return SecretBytes(secrets.token_bytes(length))

    def reveal(self) -> bytes:
        """The bytes themselves. Never log, raise or store what this returns."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretBytes):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment] # a secret is never a key of a mapping

    def __repr__(self) -> str:
        return "SecretBytes(…)"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised; use reveal() where it must be")
