"""Root key in a file, as a Kubernetes Secret mounts it: 32 bytes, raw or in base64."""

import base64
import binascii
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from encryption_service.errors import RootKeyError
from encryption_service.secret_bytes import SecretBytes

_KEY_LENGTH = 32
_NONCE_LENGTH = 12
_VARIABLE = "GROUPSEAL_SERVICE_ROOT_KEY_FILE"


class FileRootKey:
    """AES-256-GCM under the key in the file."""

    name = "file"

    def __init__(self, path: Path) -> None:
        """Reads the file. Raises RootKeyError."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise RootKeyError(
                f"{_VARIABLE} names {path}, which cannot be read ({error.strerror}). Make a root "
                "key with `encryption-service root-key create --out FILE`, or correct the path."
            ) from error
        self._key = _parse(content, path)

    def wrap(self, key: SecretBytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE_LENGTH)
        return nonce + AESGCM(self._key.reveal()).encrypt(nonce, key.reveal(), context)

    def unwrap(self, wrapped: bytes, context: bytes) -> SecretBytes:
        nonce, ciphertext = wrapped[:_NONCE_LENGTH], wrapped[_NONCE_LENGTH:]
        try:
            return SecretBytes(AESGCM(self._key.reveal()).decrypt(nonce, ciphertext, context))
        except (InvalidTag, ValueError) as error:
            raise RootKeyError(
                f"the root key in {_VARIABLE} is not the one that sealed this organisation's "
                "keyset. Start the service with the root key that it was first started with."
            ) from error


def create_root_key(path: Path) -> None:
    """Writes a new root key in base64, readable by its owner alone. Never overwrites."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise RootKeyError(
            f"{path} exists already and is not overwritten: a lost root key cannot be replaced. "
            "Choose another path."
        ) from error
    except OSError as error:
        raise RootKeyError(f"{path} cannot be written ({error.strerror})") from error
    with os.fdopen(handle, "wb") as file:
        file.write(base64.b64encode(os.urandom(_KEY_LENGTH)) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _parse(content: bytes, path: Path) -> SecretBytes:
    if len(content) == _KEY_LENGTH:
        return SecretBytes(content)
    try:
        key = base64.b64decode(content.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_LENGTH:
        raise RootKeyError(
            f"{path} ({_VARIABLE}) holds no root key: it must be 32 bytes, raw or in base64. "
            "Make one with `encryption-service root-key create --out FILE`."
        )
    return SecretBytes(key)
