"""Outlive a killed supervisor just long enough to end what it left. Run by path, imports nothing.

The kernel's death signal reaches the supervisor's children, not their children (a server's worker
processes). The supervisor alone holds the other end of our standard input and says which process
groups are its own: `+PID SIGNAL` and `-PID`, a line each. The end of the input means that the
supervisor is gone: every group left gets its signal.
"""

import os
import signal
import sys


def main() -> None:
    """Keep the list until the input ends, then send the signals."""
    for request in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(request, signal.SIG_IGN)  # only the end of the supervisor ends us
    groups: dict[int, int] = {}
    for line in sys.stdin:
        if line.startswith("+"):
            pid, number = line[1:].split()
            groups[int(pid)] = int(number)
        else:
            groups.pop(int(line[1:]), None)
    for pid, number in groups.items():
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    main()
