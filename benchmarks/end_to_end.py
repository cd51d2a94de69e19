"""From the last SCIM answer to the commit, on a whole stack; and what it costs in memory."""

import os
import signal
import statistics
import tempfile
import time
from pathlib import Path

import psycopg
import redis
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite

from benchmarks.population import add_members, make_public_key
from benchmarks.report import Report
from tests.support.okta import Okta
from tests.support.stack import Stack
from tests.support.waiting import wait_for

LARGE = 10_000
SIZES = (100, 1_000, 10_000)
REPEATS = 3
ADDITIONS = 40
SMALL_GROUPS, SMALL_SIZE = 1_000, 5
_ML_KEM_BYTES = 1184


def bare_sealing_seconds(count: int) -> float:
    """Load a key from its bytes and seal 32 bytes to it, `count` times, on one core."""
    suite = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    keys = [make_public_key() for _ in range(min(count, 1_000))]
    secret, info = os.urandom(32), os.urandom(100)
    begin = time.perf_counter()
    for number in range(count):
        key = keys[number % len(keys)]
        public = MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(key[:_ML_KEM_BYTES]),
            X25519PublicKey.from_public_bytes(key[_ML_KEM_BYTES:]),
        )
        suite.encrypt(secret, public, info=info)
    return time.perf_counter() - begin


class Commits:
    """Watches a tenant's rows in the vendor's database for commits, by their primary key."""

    def __init__(self, connection: psycopg.Connection, tenant_id: str) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    def count(self, group: str) -> int:
        row = self._connection.execute(
            "SELECT count(*) FROM memberships"
            " WHERE tenant_id = %s AND group_id = %s AND grant_key_id IS NOT NULL",
            (self._tenant_id, group),
        ).fetchone()
        return 0 if row is None else int(row[0])

    def wait_for_member(self, group: str, user: str) -> None:
        def committed() -> bool:
            row = self._connection.execute(
                "SELECT grant_key_id IS NOT NULL FROM memberships"
                " WHERE tenant_id = %s AND group_id = %s AND user_id = %s",
                (self._tenant_id, group, user),
            ).fetchone()
            return row is not None and bool(row[0])

        wait_for(committed, 30, "the commit of one member", every=0.002)

    def wait_for_group(self, group: str, count: int) -> None:
        wait_for(lambda: self.count(group) == count, 300, f"{count} commits", every=0.05)

    def dirty(self) -> int:
        row = self._connection.execute(
            "SELECT count(*) FROM groups WHERE desired_version > reconciled_version"
        ).fetchone()
        return -1 if row is None else int(row[0])


def large_groups(report: Report, okta: Okta, commits: Commits, members: list[str]) -> None:
    """Groups of 10,000, pushed whole, against the bare sealing time of one core."""
    taken = []
    before = bare_sealing_seconds(LARGE)
    for number in range(REPEATS):
        name = f"Everybody {number}"
        group = okta.create_group(name, [])
        wait_for(lambda: commits.dirty() == 0, 30, "the empty group's reconcile")
        okta.put_group(group, name, members)
        begin = time.perf_counter()
        commits.wait_for_group(group, len(members))
        taken.append(time.perf_counter() - begin)
    bare = (before + bare_sealing_seconds(LARGE)) / 2
    median = statistics.median(taken)
    each = ", ".join(f"{seconds:.2f}" for seconds in taken)
    report.add("10,000 members committed after the SCIM answer, median", f"{median:.2f} s ({each})")
    report.add("bare load-key-and-seal of 10,000, one core", f"{bare:.2f} s")
    report.ratio("end to end against bare sealing of one core", median / bare, at_most=1.5)


def is_idle(stack: Stack, commits: Commits) -> bool:
    """No group waits and no job runs: a job tidies up for some milliseconds after its commit."""
    with redis.Redis.from_url(stack.ready["redis_url"]) as client:
        running = client.zcard("rq:wip:groupseal")
    return running == 0 and commits.dirty() == 0


def one_member(
    report: Report, okta: Okta, stack: Stack, commits: Commits, members: list[str]
) -> None:
    """One member more, on an idle stack, in groups of three sizes."""
    medians = {}
    for size in SIZES:
        name = f"Group of {size}"
        inside = members[: size - ADDITIONS]
        group = okta.create_group(name, [])
        okta.put_group(group, name, inside)
        commits.wait_for_group(group, len(inside))
        wait_for(lambda: commits.dirty() == 0, 60, "idleness")
        times = []
        for user in members[size - ADDITIONS : size]:
            wait_for(lambda: is_idle(stack, commits), 30, "idleness", every=0.01)
            okta.patch_group(group, name, add=[user])
            begin = time.perf_counter()
            commits.wait_for_member(group, user)
            times.append(time.perf_counter() - begin)
        medians[size] = statistics.median(times) * 1000
        report.limit(
            f"one member more, group of {size:,}: SCIM answer to commit, median",
            medians[size],
            "ms",
            at_most=25,
        )
    flat = max(medians.values()) / min(medians.values())
    report.ratio("slowest of these against the fastest", flat, at_most=1.5)


def small_groups(report: Report, okta: Okta, stack: Stack, members: list[str]) -> None:
    """A thousand groups of five for one worker, which stands still while they are pushed."""
    worker = stack.pids("worker")
    for pid in worker:
        os.kill(pid, signal.SIGSTOP)
    for number in range(SMALL_GROUPS):
        start = (number * SMALL_SIZE) % (len(members) - SMALL_SIZE)
        okta.create_group(f"Team {number}", members[start : start + SMALL_SIZE])
    begin = time.perf_counter()
    for pid in worker:
        os.kill(pid, signal.SIGCONT)
    with stack.database() as connection:
        commits = Commits(connection, stack.ready["tenant_id"])
        wait_for(lambda: commits.dirty() == 0, 120, "a thousand reconciles", every=0.01)
    rate = SMALL_GROUPS / (time.perf_counter() - begin)
    report.limit("groups of five reconciled by one worker", rate, "per second", at_least=200)


def peak_memory(report: Report, stack: Stack) -> None:
    """The most each process ever held (VmHWM), children with their parent."""
    for name, pids in stack.ready["processes"].items():
        peaks = [_peak_mib(pid) for parent in pids for pid in (parent, *_children(parent))]
        report.add(f"peak memory, {name}", f"{max(peaks):.0f} MiB (of {len(peaks)} processes)")


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def _peak_mib(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0.0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


def run(report: Report) -> None:
    """All of it, on one stack with one worker."""
    with tempfile.TemporaryDirectory(prefix="groupseal-bench-") as folder:
        Path(folder).chmod(0o711)
        with Stack(Path(folder), "--workers", "1") as stack:
            ready = stack.ready
            okta = Okta(ready["scim_base_url"], ready["scim_token"])
            members = add_members(stack, LARGE, "bench")
            with stack.database() as connection:
                commits = Commits(connection, ready["tenant_id"])
                large_groups(report, okta, commits, members)
                one_member(report, okta, stack, commits, members)
            small_groups(report, okta, stack, members)
            peak_memory(report, stack)
            okta.close()
