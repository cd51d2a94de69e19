"""How near the encryption service comes to the speed of its primitive, over mutual TLS.

*Bare* is what nobody can beat on these cores: load each X-Wing key from its bytes and seal 32
bytes to it, in as many processes as the service uses. Both are measured in turns in one run,
because the machine's speed drifts.
"""

import os
import statistics
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Report
from encryption_api import encryption_pb2 as pb
from encryption_service.sealing import seal_xwing
from tests.support.devices import Device
from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor, some_id

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

LARGE = 10_000
ROUNDS = 3
SMALL_GROUPS, SMALL_SIZE = 1_000, 5


def processes() -> int:
    """As many as there are cores for this process."""
    return len(os.sched_getaffinity(0))


def run(report: Report) -> None:
    """Seals 10,000 members into one group, rotates it, and serves many small groups."""
    count = processes()
    environment = {
        "GROUPSEAL_SERVICE_WRAP_PROCESSES": str(count),
        "GROUPSEAL_SERVICE_OPENING_DELAY_MAX_SECONDS": "0",
    }
    with tempfile.TemporaryDirectory() as folder:
        service = ServiceProcess(Path(folder), environment=environment)
        with service, service.channel() as channel, Bare(count) as bare:
            vendor = Vendor(channel)
            begin = time.perf_counter()
            devices = [Device(vendor.organisation) for _ in range(LARGE)]
            made = time.perf_counter()
            vendor.bind(*(device.binding() for device in devices))
            seconds = time.perf_counter() - made
            report.add(f"make {LARGE} devices", f"{made - begin:.2f} s")
            report.add(f"bind {LARGE} keys", f"{seconds:.2f} s, {LARGE / seconds:.0f}/s")
            bare.load([device.hpke_public_key for device in devices])
            _one_large_group(report, vendor, devices, bare)
            _small_groups(report, vendor, devices)
            report.add("memory of the service's main process", f"{_peak_mb(service.pid)} MB")


def _one_large_group(report: Report, vendor: Vendor, devices: list[Device], bare: "Bare") -> None:
    members = [device.member for device in devices]
    ratios, rotations = [], []
    for _ in range(ROUNDS):
        limit = bare.seal()
        group = some_id()
        seconds = _timed(vendor, pb.GroupCommand(group_id=group, added=members))
        vendor.read()  # after its answer the service tidies up, which must not slow bare sealing
        limit = (limit + bare.seal()) / 2
        ratios.append(limit / seconds)
        report.add(f"{LARGE} members into one group", f"{seconds:.3f} s; bare {limit:.3f} s")
        seconds = _timed(vendor, vendor.command(group, removed=members[:1]))
        rotations.append(limit / seconds)
        report.add("... and one of them removed", f"{seconds:.3f} s")
        vendor.read()
    report.ratio("share of bare sealing, group made", statistics.median(ratios), at_least=0.7)
    report.add("share of bare sealing, group rotated", f"{statistics.median(rotations):.2f} x")


def _small_groups(report: Report, vendor: Vendor, devices: list[Device]) -> None:
    members = [device.member for device in devices[:SMALL_SIZE]]
    commands = [pb.GroupCommand(group_id=some_id(), added=members) for _ in range(SMALL_GROUPS)]
    seconds = _timed(vendor, *commands)
    what = f"groups of {SMALL_SIZE}, {SMALL_GROUPS} in one stream"
    report.limit(what, SMALL_GROUPS / seconds, "groups/s", at_least=400)


def _timed(vendor: Vendor, *commands: pb.GroupCommand) -> float:
    begin = time.perf_counter()
    answers = vendor.reconcile(*commands, timeout=120)
    seconds = time.perf_counter() - begin
    assert {answer.outcome for answer in answers} == {pb.OUTCOME_DONE}, answers[:3]
    return seconds


def _peak_mb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024
    return 0


class Bare:
    """Processes that do nothing but load keys and seal."""

    def __init__(self, processes: int) -> None:
        context = get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_seal_all, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> "Bare":
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join()

    def load(self, keys: list[bytes]) -> None:
        """Gives each process its share of the keys' bytes."""
        for number, pipe in enumerate(self._pipes):
            pipe.send_bytes(b"".join(keys[number :: len(self._pipes)]))
            pipe.recv_bytes()

    def seal(self) -> float:
        """Seconds that sealing to every key takes, all processes at once."""
        begin = time.perf_counter()
        for pipe in self._pipes:
            pipe.send_bytes(b"go")
        for pipe in self._pipes:
            pipe.recv_bytes()
        return time.perf_counter() - begin


def _seal_all(pipe: "Connection") -> None:
    length = 1216
    blob = pipe.recv_bytes()
    keys = [blob[at : at + length] for at in range(0, len(blob), length)]
    pipe.send_bytes(b"ready")
    secret, info = os.urandom(32), os.urandom(110)
    while True:
        try:
            pipe.recv_bytes()
        except EOFError:
            return
        for key in keys:
            seal_xwing(secret, key, info)
        pipe.send_bytes(b"done")
