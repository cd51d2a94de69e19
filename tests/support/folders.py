"""Where the tests' servers keep their data."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def server_folder(name: str) -> Iterator[Path]:
    """Yield a folder for one server, deleted afterwards.

    Below the system's temporary folder and with mode 0711, not below pytest's own folders (0700):
    where root has no user namespaces, PostgreSQL runs as another user, who must pass through.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"groupseal-test-{name}-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
