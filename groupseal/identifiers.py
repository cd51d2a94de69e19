"""Identifiers and fingerprints.

Organisation, group and member ids are UUIDs, 16 bytes on the wire. A member key's id is a hash
over everything that the key is. A fingerprint is what people compare.
"""

import hashlib
from uuid import UUID

from groupseal.encoding import ID_LENGTH, Writer
from groupseal.errors import MalformedError
from groupseal.labels import Label
from groupseal.suites import SIGNING_KEY_LENGTH, Suite

FINGERPRINT_GROUPS = 8
_FINGERPRINT_GROUP_LENGTH = 5
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U


def identifier_from_text(text: str) -> bytes:
    """The 16 bytes of a UUID in its canonical text form. Raises MalformedError."""
    try:
        value = UUID(text)
    except (ValueError, AttributeError, TypeError) as error:
        raise MalformedError("an identifier is a UUID") from error
    if str(value) != text:
        raise MalformedError("an identifier is a UUID in lower case with hyphens")
    return value.bytes


def identifier_to_text(value: bytes) -> str:
    """Canonical text form of a 16-byte identifier. Raises MalformedError for another length."""
    if len(value) != ID_LENGTH:
        raise MalformedError(f"an identifier has {ID_LENGTH} bytes, not {len(value)}")
    return str(UUID(bytes=value))


def member_key_id(suite: Suite, hpke_public_key: bytes, signing_public_key: bytes) -> bytes:
    """SHA-256 over suite and both public keys (32 bytes)."""
    writer = Writer(Label.KEY_ID).u16(suite)
    writer.fixed(hpke_public_key, suite.public_key_length)
    writer.fixed(signing_public_key, SIGNING_KEY_LENGTH)
    return hashlib.sha256(writer.bytes()).digest()


def fingerprint(signing_public_key: bytes) -> str:
    """Fingerprint of an organisation's signing key for people to compare.

    The first 200 bits of a labelled SHA-256 in Crockford's base 32: eight groups of five, as in
    `7ZK3M-…`. 200 bits leave no room for a second key with the same fingerprint.
    """
    writer = Writer(Label.FINGERPRINT).fixed(signing_public_key, SIGNING_KEY_LENGTH)
    return _readable(writer.bytes())


def key_fingerprint(key_id: bytes) -> str:
    """Fingerprint of a member's device key for people to compare, in the same form."""
    return _readable(Writer(Label.KEY_FINGERPRINT).hash(key_id).bytes())


def _readable(labelled: bytes) -> str:
    digest = hashlib.sha256(labelled).digest()
    length = FINGERPRINT_GROUPS * _FINGERPRINT_GROUP_LENGTH
    bits = int.from_bytes(digest, "big") >> (256 - 5 * length)
    symbols = "".join(_ALPHABET[(bits >> (5 * i)) & 31] for i in reversed(range(length)))
    step = _FINGERPRINT_GROUP_LENGTH
    return "-".join(symbols[i : i + step] for i in range(0, length, step))


def same_fingerprint(typed: str, actual: str) -> bool:
    """Compares as people type: case, spaces and hyphens do not count."""

    def plain(text: str) -> str:
        return text.upper().replace("-", "").replace(" ", "")

    return plain(typed) == plain(actual)
