"""Which user a program that refuses to run as root runs as.

PostgreSQL does not start as root. Where the kernel allows it, it then runs in a user namespace of
its own, in which root's own user appears under an ordinary number: no file changes its owner, no
folder its mode, and the server has none of root's capabilities. Where user namespaces are not
allowed (some containers), it runs as an unprivileged user who owns the database folder only; the
data folder around it lets him pass, and all folders above must: checked, never widened.
"""

import functools
import os
import pwd
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import EmbeddedError

LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True)
class Identity:
    """Who a child process is: `kind` is same, namespace or user (see launcher.py)."""

    kind: str = "same"
    uid: int = 0
    gid: int = 0

    def as_argument(self) -> str:
        """Return the launcher's form of it."""
        return self.kind if self.kind == "same" else f"{self.kind}:{self.uid}:{self.gid}"

    def own(self, path: Path) -> None:
        """Give `path` to this user, if it is not our own one."""
        if self.kind == "user":
            os.chown(path, self.uid, self.gid)

    def let_pass(self, folder: Path) -> None:
        """Let this user traverse (not list) a folder of ours, if he is not our own one."""
        status = folder.stat()
        if self.kind == "user" and status.st_uid == os.geteuid():
            folder.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)

    def demand_reach(self, path: Path) -> None:
        """Raise EmbeddedError naming the first folder above `path` this user cannot pass."""
        if self.kind != "user":
            return
        for folder in reversed(path.resolve().parents):
            if not self._may_traverse(folder.stat()):
                raise EmbeddedError(
                    f"PostgreSQL does not run as root, and the user it runs as instead (uid "
                    f"{self.uid}) cannot pass the folder {folder} on the way to {path}. Run the "
                    f"command as an ordinary user, or choose a place below folders that others "
                    f"may traverse (chmod o+x {folder})."
                )

    def _may_traverse(self, status: os.stat_result) -> bool:
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def identity_for_non_root(owner_uid: int | None = None) -> Identity:
    """Return the identity for a program that refuses to run as root.

    `owner_uid` is the owner of the files that exist already, None if there are none yet.
    Raises EmbeddedError if the machine offers no way.
    """
    if os.geteuid() != 0:
        return Identity()
    if owner_uid is not None and owner_uid != 0:
        return Identity("user", owner_uid, _group_of(owner_uid))
    # A name is all that is needed inside; `nobody` is the number of unmapped files, hence last.
    inside = _first_account("postgres", "daemon", "nobody")
    namespace = Identity("namespace", inside.pw_uid, inside.pw_gid)
    if _works(namespace):
        return namespace
    if owner_uid == 0:
        raise EmbeddedError(
            "The database folder belongs to root, but this kernel does not allow root a user "
            "namespace to run PostgreSQL in. Allow user namespaces, or run as an ordinary user "
            "with a data folder of its own."
        )
    outside = _first_account("postgres", "nobody")
    return Identity("user", outside.pw_uid, outside.pw_gid)


@functools.cache
def _works(identity: Identity) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    command = launcher_command(identity, "true", death_signal=0)
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def launcher_command(identity: Identity, *command: str, death_signal: int) -> list[str]:
    """Return the command line that runs `command` through the launcher as our child."""
    python = [sys.executable, "-I", "-S", str(LAUNCHER)]
    return [*python, str(os.getpid()), str(death_signal), identity.as_argument(), *command]


def _first_account(*names: str) -> pwd.struct_passwd:
    for name in names:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedError(
        f"This machine has no user named {' or '.join(names)} to run PostgreSQL as in place of "
        "root. Create one, or run the command as an ordinary user."
    )


def _group_of(uid: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError as error:
        raise EmbeddedError(
            f"The database folder belongs to uid {uid}, which has no account on this machine. "
            "Change the owner of the folder, or create the account."
        ) from error
