"""What a server's processes ever held in memory."""

from pathlib import Path

from tests.support.process_memory import descendants


def peak_mib(pid: int) -> float:
    """The most that one of the processes held at a time (VmHWM)."""
    return max(_peak_mib(one) for one in descendants(pid))


def _peak_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0
