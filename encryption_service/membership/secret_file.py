"""A mounted secret, read again whenever its file changes."""

import os
import threading
from pathlib import Path

from encryption_service.membership.source import SourceUnavailableError
from encryption_service.secret_bytes import SecretBytes

_MAX_LENGTH = 64 * 1024


class SecretFile:
    """One secret in one file. A ConfigMap's or Secret's symlink swap counts as a change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._signature: tuple[int, int, int] | None = None
        self._value = SecretBytes(b"")
        # Grows with each content seen, so that whoever derived something from it can tell.
        self.version = 0

    def read(self) -> SecretBytes:
        """The content without surrounding blanks.

        Raises SourceUnavailableError for a file that is missing, unreadable, empty or too long.
        """
        with self._lock:
            try:
                status = os.stat(self.path)
                signature = (status.st_ino, status.st_size, status.st_mtime_ns)
                if signature != self._signature:
                    self._load()
                    self._signature = signature
            except OSError as error:
                raise SourceUnavailableError(
                    f"{self.path} cannot be read ({error.strerror}): mount the credential there"
                ) from error
            return self._value

    def _load(self) -> None:
        with self.path.open("rb") as file:
            content = file.read(_MAX_LENGTH + 1)
        if len(content) > _MAX_LENGTH or not content.strip():
            raise SourceUnavailableError(
                f"{self.path} is empty or longer than {_MAX_LENGTH} bytes: it holds one credential"
            )
        value = SecretBytes(content.strip())
        if value != self._value:
            self._value = value
            self.version += 1
