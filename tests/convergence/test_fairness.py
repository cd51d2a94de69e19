"""One tenant's work, or one tenant's broken service, is nobody else's delay (I10).

Whole stacks of processes with two workers.
"""

import os
import signal
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.folders import server_folder
from tests.support.stack import Stack
from tests.support.tenants import PairedTenant, paired_tenant
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# From the SCIM answer to the commit.
WITHIN_SECONDS = 2.0
GROUPS, GROUP_SIZE = 5_000, 5
# The deadline of a call is five seconds: several of them are waited for.
HANGING_SECONDS = 16.0


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with server_folder("fairness") as folder:
        yield folder


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    with Stack(folder, "--workers", "2") as stack:
        yield stack


@pytest.fixture(scope="module")
def busy(stack: Stack, folder: Path) -> Iterator[PairedTenant]:
    """The tenant with much work, or with a service that hangs."""
    with paired_tenant(stack, folder, "busy") as tenant:
        yield tenant


@pytest.fixture(scope="module")
def quiet(stack: Stack, folder: Path) -> Iterator["Quiet"]:
    """Another tenant, with a member and a group that he goes in and out of."""
    with paired_tenant(stack, folder, "quiet") as tenant:
        yield Quiet(tenant)


class Quiet:
    """A tenant that pushes one change at a time."""

    def __init__(self, tenant: PairedTenant) -> None:
        self.tenant = tenant
        self._stays, self._member = tenant.add_members(2)
        self._group = tenant.okta.create_group("Finance", [self._stays])
        wait_for(lambda: tenant.is_committed(self._group, self._stays), 30, "the first commit")

    def push(self) -> float:
        """Seconds from the SCIM answer to the commit of one member; then the member is out."""
        okta, tenant = self.tenant.okta, self.tenant
        okta.patch_group(self._group, "Finance", add=[self._member])
        begin = time.monotonic()
        wait_for(
            lambda: tenant.is_committed(self._group, self._member), 30, "the commit", every=0.005
        )
        taken = time.monotonic() - begin
        okta.patch_group(self._group, "Finance", remove=[self._member])
        wait_for(lambda: tenant.dirty_groups() == 0, 30, "the removal", every=0.01)
        return taken


@contextmanager
def standing_still(pids: list[int]) -> Iterator[None]:
    """Processes that neither end nor go on."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def insert_groups(tenant: PairedTenant, members: list[str]) -> None:
    """Groups of five, as 5,000 pushes leave them in the database."""
    groups = [uuid4() for _ in range(GROUPS)]
    with tenant.database.transaction(), tenant.database.cursor() as cursor:
        columns = "tenant_id, id, display_name, display_name_key"
        with cursor.copy(f"COPY groups ({columns}) FROM STDIN") as copy:
            for number, group in enumerate(groups):
                copy.write_row((tenant.id, group, f"Team {number}", f"team {number}"))
        columns = "tenant_id, group_id, user_id, desired, wanted, desired_version"
        with cursor.copy(f"COPY memberships ({columns}) FROM STDIN") as copy:
            for number, group in enumerate(groups):
                for place in range(GROUP_SIZE):
                    user = members[(number * GROUP_SIZE + place) % len(members)]
                    copy.write_row((tenant.id, group, user, True, True, 1))


Hanging = Callable[[PairedTenant], AbstractContextManager[None]]


def told(times: list[float]) -> str:
    return (
        f"{len(times)} pushes, slowest {max(times) * 1000:.0f} ms,"
        f" median {statistics.median(times) * 1000:.0f} ms"
    )


def test_a_tenant_with_5000_dirty_groups_delays_nobody_else(
    stack: Stack, busy: PairedTenant, quiet: Quiet
) -> None:
    """Another tenant's push is committed within two seconds, whenever it comes."""
    members = busy.add_members(200)
    with standing_still(stack.pids("worker")):
        insert_groups(busy, members)
        assert busy.dirty_groups() >= GROUPS
    wait_for(lambda: busy.dirty_groups() < GROUPS, 30, "the first of 5,000", every=0.01)
    times, left = [], []
    while (dirty := busy.dirty_groups()) > 0:
        left.append(dirty)
        times.append(quiet.push())
    during = [taken for taken, dirty in zip(times, left, strict=True) if dirty > GROUPS // 10]
    assert len(during) >= 3, f"the work was over too soon to tell: {left}"
    assert max(times) < WITHIN_SECONDS, f"{told(times)} beside {GROUPS} groups"


@contextmanager
def stopped_service(tenant: PairedTenant) -> Iterator[None]:
    """Connections are accepted by the kernel; nobody reads what comes."""
    with standing_still([tenant.service.pid]):
        yield


@contextmanager
def black_hole(tenant: PairedTenant) -> Iterator[None]:
    """The address leads to something that accepts and never says a word."""
    move = "UPDATE tenants SET service_address = %s WHERE id = %s"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        tenant.database.execute(move, (f"{host}:{port}", tenant.id))
        try:
            yield
        finally:
            tenant.database.execute(move, (tenant.service.address, tenant.id))


@pytest.mark.parametrize("hanging", [stopped_service, black_hole], ids=["stopped", "black hole"])
def test_a_tenant_whose_service_hangs_delays_nobody_else(
    busy: PairedTenant, quiet: Quiet, hanging: Hanging
) -> None:
    """While calls to it wait for their deadline, again and again, others commit in two seconds."""
    (member,) = busy.add_members(1)
    times: list[float] = []
    with hanging(busy):
        group = busy.okta.create_group(f"Waiting {uuid4()}", [member])
        until = time.monotonic() + HANGING_SECONDS
        while time.monotonic() < until:
            times.append(quiet.push())
        reason = busy.value("SELECT service_reason FROM tenants WHERE id = %s")
        failures = busy.value("SELECT service_failures FROM tenants WHERE id = %s")
    assert reason == "service_timeout", reason
    assert failures >= 2, f"{failures} calls were waited for"
    assert len(times) >= 5, told(times)
    assert max(times) < WITHIN_SECONDS, f"{told(times)} with {failures} calls that hung"
    # What waited is done as soon as the service answers again, at the next try.
    wait_for(lambda: busy.is_committed(group, member), 90, "the commit of what waited")
