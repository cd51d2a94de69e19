"""Files that only their owner may read, written so that a crash leaves old or new, never half."""

import os
import secrets
import tempfile
from pathlib import Path

from embedded.errors import EmbeddedError

_PASSWORD_BYTES = 24


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` atomically (temporary file, fsync, rename) with mode 0600."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def password_kept_in(path: Path) -> str:
    """Return the password in `path`; make one (192 random bits, URL-safe) at the first call.

    Raises EmbeddedError if the file is there but empty.
    """
    try:
        password = path.read_text("ascii").strip()
    except FileNotFoundError:
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        write_private(path, password.encode("ascii"))
    if not password:
        raise EmbeddedError(
            f"The password file {path} is empty. Restore it from a backup of the data folder."
        )
    return password


def make_private_folder(folder: Path) -> None:
    """Create `folder` with its parents; the folder itself is 0700 if it is new."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
