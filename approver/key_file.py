"""The approver's Ed25519 key (RFC 8032) in a file of its own: PKCS #8 in PEM (RFC 5958, 7468).

Whoever reads the file can approve. It is not sealed under a passphrase: keep it on a disk that is
encrypted, or on a medium that is locked away.
"""

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from approver.errors import ApproverError

_MAX_BYTES = 4096


def create_key(path: Path) -> Ed25519PrivateKey:
    """Makes a key in a new file that its owner alone may read. Raises ApproverError."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        write_new(path, pem, mode=0o600)
    except FileExistsError:
        raise ApproverError(f"{path} is there already: a key is never overwritten") from None
    except OSError as error:
        raise ApproverError(f"{path} cannot be made ({error.strerror})") from error
    return key


def write_new(path: Path, data: bytes, *, mode: int) -> None:
    """Writes a file that was not there. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_key(path: Path) -> Ed25519PrivateKey:
    """Raises ApproverError, also where others may read or change the file."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(_MAX_BYTES)
    except OSError as error:
        raise ApproverError(f"{path} cannot be read ({error.strerror})") from error
    if status.st_uid not in {0, os.geteuid()}:
        raise ApproverError(f"{path} belongs to another user: use a key of your own")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ApproverError(f"others may read or change {path}: `chmod 600 {path}`")
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ApproverError(f"{path} is no key that `groupseal approver create` made")
    return key
