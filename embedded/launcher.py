"""Become another program that dies with its parent. Run by path, imports nothing of ours.

    python -I -S launcher.py PARENT_PID DEATH_SIGNAL IDENTITY PROGRAM [ARGUMENT ...]

IDENTITY is `same`, `namespace:UID:GID` (a user namespace in which the caller appears as UID) or
`user:UID:GID` (give up root for good). A program of its own rather than a `preexec_fn`, which is
not safe in a process with threads.

Exit status 127: the program could not be started; the reason is on standard error.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000


def die_with_parent(parent: int, signal_number: int) -> None:
    """Have the kernel send `signal_number` when the parent ends (Linux only, see prctl(2))."""
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it ended before the call above
        raise OSError("the parent process has ended")


def appear_as(uid: int, gid: int) -> None:
    """Enter a user namespace that maps our own user to `uid`, and nothing else."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER) failed")
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {outer_uid} 1"),
        ("gid_map", f"{gid} {outer_gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(content)


def become(uid: int, gid: int) -> None:
    """Give up root: no supplementary groups, group, then user."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def main(arguments: list[str]) -> None:
    """Change identity, tie our life to the parent's, and execute the program."""
    parent, death_signal, identity, *command = arguments
    kind, _, numbers = identity.partition(":")
    if kind != "same":
        uid, gid = (int(number) for number in numbers.split(":"))
        if kind == "namespace":
            appear_as(uid, gid)
        elif kind == "user":
            become(uid, gid)
        else:
            raise ValueError(f"unknown identity {kind}: use same, namespace or user")
    # After the change of identity, which clears the death signal.
    die_with_parent(int(parent), int(death_signal))
    os.execvp(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OSError, ValueError) as failure:
        sys.stderr.write(f"cannot start {sys.argv[4:5]}: {failure}\n")
        sys.exit(127)
