"""The client's folder: 0700, its files 0600, written whole or not at all."""

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from member_client.errors import HomeError

HOME_VARIABLE = "GROUPSEAL_MEMBER_HOME"
DEFAULT_HOME = Path("~/.groupseal")


def default_home() -> Path:
    """The folder that the environment names, or `~/.groupseal`."""
    return Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).expanduser()


class Home:
    """One member's folder on one computer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HomeError(f"{folder} cannot be made: {error.strerror}") from error
        _require_private(folder, "chmod 700")

    def path(self, name: str) -> Path:
        return self.folder / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time changes the folder."""
        descriptor = os.open(self.path("lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def read(self, name: str) -> bytes | None:
        """A file's bytes, None if there is none. Raises HomeError if others may read it."""
        path = self.path(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HomeError(f"{path} cannot be read: {error.strerror}") from error
        _require_private(path, "chmod 600")
        return data

    def write(self, name: str, data: bytes) -> None:
        """Replaces a file atomically; after a crash it is the old or the new one."""
        path, fresh = self.path(name), self.path(f".{name}.new")
        try:
            fresh.unlink(missing_ok=True)
            write_private(fresh, data)
            fresh.replace(path)
            self.sync_folder()
        except OSError as error:
            raise HomeError(f"{path} cannot be written: {error.strerror}") from error

    def remove(self, name: str) -> None:
        """Removes a file, where there is one."""
        self.path(name).unlink(missing_ok=True)
        self.sync_folder()

    def sync_folder(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """A file's JSON object. Raises HomeError without the file's content in it."""
        data = self.read(name)
        if data is None:
            return None
        try:
            value = json.loads(data)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise HomeError(f"{self.path(name)} is damaged: restore it or enrol in a new folder")
        return value

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        self.write(name, json.dumps(value, indent=2).encode() + b"\n")


def write_private(path: Path, data: bytes) -> None:
    """Makes a new file that its owner alone may read. Raises FileExistsError if there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _require_private(path: Path, remedy: str) -> None:
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise HomeError(f"{path} belongs to another user: use a folder of your own")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise HomeError(f"others may read or change {path}: `{remedy} {path}`")
