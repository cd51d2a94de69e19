"""The policy file: looked at by content each second, and the last good one kept.

The content is compared, not the file's date or number: a mounted ConfigMap is a chain of symbolic
links of which one is swapped, and an editor may write in place. A new content counts once two looks
in a row found it, so that a file that is being written is not taken for a shorter, weaker policy.
"""

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from encryption_service.errors import SettingsError
from encryption_service.policy.errors import PolicyError
from encryption_service.policy.parse import parse_policy
from encryption_service.policy.policy import DEFAULT_POLICY, Policy
from encryption_service.policy.yaml_document import MAX_BYTES

_LOOK_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class PolicyFile:
    """`current` is in force; `fault` says why what is in the file now is not, or is empty.

    `path` None: the default policy, for ever. `on_change` is called from the thread that looks,
    once a new policy is `current`; while it raises, it is called again with each look.
    """

    def __init__(
        self,
        path: Path | None,
        on_change: Callable[[Policy], None],
        *,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._path = path
        self._on_change = on_change
        self._look_seconds = look_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="policy", daemon=True)
        self._taken = b""
        self._seen: bytes | None = None
        self._refused: bytes | None = None
        self._refusal = ""
        self._told = DEFAULT_POLICY.digest
        self.current = DEFAULT_POLICY
        self.fault = ""

    @property
    def path(self) -> Path | None:
        return self._path

    def load(self) -> Policy:
        """Reads the file at the start, when there is no last good one. Raises SettingsError."""
        if self._path is not None:
            try:
                data = read_policy_file(self._path)
                self.current = parse_policy(data)
            except PolicyError as error:
                raise SettingsError(
                    f"the policy {self._path} (GROUPSEAL_SERVICE_POLICY_FILE) is not usable:\n"
                    f"{error}\nCorrect it; `encryption-service policy check` tells when it is well."
                ) from error
            self._taken = self._seen = data
            self._told = self.current.digest
        return self.current

    def start(self) -> None:
        """Begins to look."""
        if self._path is not None:
            self._thread.start()

    def stop(self) -> None:
        """Returns once the thread has ended."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._look_seconds):
            self.look()

    def look(self) -> None:
        """One look at the file; the thread does this each second."""
        if self._path is None:
            return
        try:
            self._take(read_policy_file(self._path))
        except PolicyError as error:
            self._seen = None
            self._set_fault(str(error))
        if self._told != self.current.digest:
            self._tell()

    def _take(self, data: bytes) -> None:
        is_steady, self._seen = data == self._seen, data
        if data == self._taken:
            self._set_fault("")
        elif data == self._refused:
            self._set_fault(self._refusal)
        elif is_steady:
            self._parse(data)
        # What was wrong stays the fault until it is known what replaces it.

    def _parse(self, data: bytes) -> None:
        try:
            self.current = parse_policy(data)
        except PolicyError as error:
            # Kept, so that a wrong content is not taken apart again with each look.
            self._refused, self._refusal = data, str(error)
            self._set_fault(self._refusal)
        else:
            self._taken = data
            self._set_fault("")

    def _tell(self) -> None:
        policy = self.current
        try:
            self._on_change(policy)
        except Exception as error:  # noqa: BLE001 # whatever it was, the next look tries again
            _log.error("policy_not_applied", error=repr(error))
        else:
            self._told = policy.digest

    def _set_fault(self, fault: str) -> None:
        if fault:
            fault = f"{self._path} is not in force, the last good policy is: {fault}"
        if fault and fault != self.fault:
            _log.error("policy_not_usable", fault=fault)
        elif self.fault and not fault:
            _log.info("policy_usable_again")
        self.fault = fault


def read_policy_file(path: Path) -> bytes:
    """The content of a regular file, bounded. Raises PolicyError."""
    try:
        # O_NONBLOCK: a named pipe would otherwise hold the thread for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise PolicyError.of("it is no regular file")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise PolicyError.of(f"it cannot be read ({error.strerror}): put the file there") from error
