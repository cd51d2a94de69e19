"""Who a member is, sealed for the ledger: the vendor keeps it as a backup and cannot read it."""

import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from encryption_service.errors import RootKeyError
from encryption_service.secret_bytes import SecretBytes
from groupseal.encoding import Reader, Writer
from groupseal.evidence import Subject, sealed_subject_context

_NONCE_LENGTH = 12


class SubjectVault:
    """AES-256-GCM under the organisation's newest key-encryption key, bound to the member."""

    def __init__(self, organisation: bytes, keys: Mapping[int, SecretBytes]) -> None:
        self._organisation = organisation
        self._keys = keys
        self._version = max(keys)

    def seal(self, subject: Subject, member: bytes) -> bytes:
        """Key version (u32), nonce (12) ‖ ciphertext."""
        nonce = os.urandom(_NONCE_LENGTH)
        context = sealed_subject_context(self._organisation, member)
        key = AESGCM(self._keys[self._version].reveal())
        sealed = nonce + key.encrypt(nonce, subject.to_bytes(), context)
        return Writer().u32(self._version).var(sealed).bytes()

    def unseal(self, sealed: bytes, member: bytes) -> Subject:
        """Raises RootKeyError or MalformedError."""
        reader = Reader(sealed)
        version, body = reader.u32(), reader.var()
        reader.end()
        if version not in self._keys:
            raise RootKeyError(f"a subject is sealed under key version {version}, which is gone")
        context = sealed_subject_context(self._organisation, member)
        try:
            opened = AESGCM(self._keys[version].reveal()).decrypt(
                body[:_NONCE_LENGTH], body[_NONCE_LENGTH:], context
            )
        except (InvalidTag, ValueError) as error:
            raise RootKeyError("a sealed subject does not open: restore the volume") from error
        return Subject.from_bytes(opened)
