"""Crashes, restarts, old copies of the volume: nothing is lost, forked or done twice."""

import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from encryption_api import encryption_pb2 as pb
from groupseal.entries import EpochClosed, GroupReconciled
from groupseal.reasons import Reason
from tests.service.test_ledger import refusal
from tests.support.devices import Device
from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor, some_id
from tests.support.waiting import wait_for

LARGE = 80  # more than a small group: closing and opening are two transactions


def test_a_restart_keeps_everything(own_service: ServiceProcess) -> None:
    """After SIGTERM and a new start the ledger goes on where it was."""
    with own_service.channel() as channel:
        vendor, group = Vendor(channel), some_id()
        devices = vendor.bound_devices(2)
        vendor.change(group, [devices[0].member])
        vendor.read()
    assert own_service.stop() == 0
    own_service.start()
    with own_service.channel() as channel:
        vendor.stub = Vendor(channel).stub
        vendor.change(group, [devices[1].member])
        vendor.read()
        assert vendor.open(devices[0], group) == vendor.open(devices[1], group)
    own_service.run("fsck")


@pytest.fixture(scope="module")
def rotatable(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, list[Device]]:
    """A stopped service's folder, with a large group that everyone is granted."""
    folder = tmp_path_factory.mktemp("rotatable") / "service"
    with ServiceProcess(folder) as service:
        with service.channel() as channel:
            vendor, group = Vendor(channel), some_id()
            devices = vendor.bound_devices(LARGE)
            vendor.change(group, [d.member for d in devices])
        service.stop()
    return folder, group, devices


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_every_step_it_ends_in_the_same_state(
    rotatable: tuple[Path, bytes, list[Device]], tmp_path: Path
) -> None:
    """SIGKILL at each step of a rotation in turn; the same command again ends in one new epoch."""
    folder, group, devices = rotatable
    step = 1
    while _rotate(folder, tmp_path / str(step), step, group, devices):
        step += 1
    assert step > 6, "there are more steps than that"


def _rotate(origin: Path, folder: Path, step: int, group: bytes, devices: list[Device]) -> bool:
    """Whether the service got as far as the step and died there."""
    shutil.copytree(origin, folder)
    environment = {"KILL_AT_STEP": str(step)}
    command = (sys.executable, "-m", "tests.service.killed_at_step")
    remaining = {d.member for d in devices[1:]}
    with ServiceProcess(folder, environment=environment, serve_command=command) as service:
        with service.channel() as channel:
            vendor = Vendor(channel)
            died = False
            try:
                vendor.read().change(group, removed=[devices[0].member])
                vendor.read_until_granted(group, remaining)
            except grpc.RpcError:
                died = True
        if died:
            service.wait_until_dead(10)
            service.environment["KILL_AT_STEP"] = "0"
            service.start()
            with service.channel() as channel:
                vendor.stub = service.stub(channel)
                answer = vendor.read().change(group, removed=[devices[0].member])
                assert answer.outcome in {pb.OUTCOME_DONE, pb.OUTCOME_DELAYED}
                vendor.read_until_granted(group, remaining)
        service.run("fsck")
    bodies = [e.entry.body for e in vendor.entries_of(group)]
    assert [b.epoch for b in bodies if isinstance(b, GroupReconciled) and b.opens] == [1, 2]
    assert len([b for b in bodies if isinstance(b, EpochClosed)]) == 1
    assert vendor.open(devices[1], group) == vendor.open(devices[2], group)
    return died


def test_work_that_was_left_is_taken_up_at_the_start(own_service: ServiceProcess) -> None:
    """A closed epoch opens by itself after a crash, without a command."""
    with own_service.channel() as channel:
        vendor, group = Vendor(channel), some_id()
        devices = vendor.bound_devices(LARGE)
        vendor.change(group, [d.member for d in devices])
        vendor.read()
        vendor.change(group, removed=[devices[0].member])
    own_service.kill()
    own_service.start()
    with own_service.channel() as channel:
        vendor.stub = own_service.stub(channel)
        vendor.read_until_granted(group, {d.member for d in devices[1:]})
    own_service.run("fsck")


def test_two_services_never_run_on_one_folder(own_service: ServiceProcess) -> None:
    """The second one says so and ends; the first goes on."""
    ports = {f"GROUPSEAL_SERVICE_{name}": "127.0.0.1:0" for name in ("LISTEN", "HEALTH_LISTEN")}
    own_service.environment |= ports
    second = own_service.run("serve", check=False)
    assert second.returncode == 1
    assert "another encryption service runs" in second.stderr
    assert "Traceback" not in second.stderr
    assert own_service.probe("/readyz") == 200


def test_another_root_key_is_refused(own_service: ServiceProcess) -> None:
    """With a wrong root key the service does not start, and names the variable."""
    own_service.stop()
    own_service.root_key_file.unlink()
    own_service.run("root-key", "create", "--out", str(own_service.root_key_file))
    for command in ("serve", "identity"):
        result = own_service.run(command, check=False)
        assert result.returncode == 1
        assert "GROUPSEAL_SERVICE_ROOT_KEY_FILE" in result.stderr
        assert "Traceback" not in result.stderr


def _old_copy(service: ServiceProcess) -> Vendor:
    """Puts an older copy of the volume under the service; returns what a vendor saw since."""
    with service.channel() as channel:
        vendor = Vendor(channel)
        vendor.change(some_id())
        vendor.read()
    service.stop()
    copy = service.folder / "copy"
    shutil.copytree(service.data_dir, copy)
    service.start()
    with service.channel() as channel:
        vendor.stub = service.stub(channel)
        vendor.change(some_id())
        vendor.read()
    service.stop()
    shutil.rmtree(service.data_dir)
    copy.rename(service.data_dir)
    service.start()
    return vendor


def _is_halted(service: ServiceProcess, vendor: Vendor, reason: Reason) -> None:
    """Every call that reads the ledger or writes is refused, and everyone can see why."""
    expected = (grpc.StatusCode.FAILED_PRECONDITION, reason)
    request = pb.ReadLedgerRequest(from_position=vendor.range.size, known_head=vendor.head)
    assert refusal(lambda: list(vendor.stub.ReadLedger(request, timeout=10))) == expected
    assert refusal(lambda: vendor.change(some_id())) == expected
    vendor.head = ""  # hiding the evidence does not help
    assert refusal(lambda: vendor.change(some_id())) == expected
    described = vendor.stub.GetOrganisation(pb.GetOrganisationRequest(), timeout=10)
    assert described.halted_reason == reason
    status = service.run("status", check=False)
    assert status.returncode == 1
    assert reason in status.stdout
    assert "halted" in service.log
    assert service.probe("/livez") == 200


def test_an_old_copy_of_the_volume_halts(own_service: ServiceProcess) -> None:
    """A head that is ahead of the store halts the service, for good and across restarts."""
    vendor = _old_copy(own_service)
    for _ in range(2):
        with own_service.channel() as channel:
            vendor.stub = own_service.stub(channel)
            head = vendor.head
            _is_halted(own_service, vendor, Reason.LEDGER_BEHIND)
            vendor.head = head
        own_service.stop()
        own_service.start()


def test_two_histories_halt(own_service: ServiceProcess) -> None:
    """An old copy that has gone on by itself is found out by its root."""
    vendor = _old_copy(own_service)
    with own_service.channel() as channel:
        unaware = Vendor(channel)
        for _ in range(3):
            unaware.change(some_id())
        vendor.stub = own_service.stub(channel)
        _is_halted(own_service, vendor, Reason.LEDGER_FORKED)


def test_sealing_processes_are_replaced(own_service: ServiceProcess) -> None:
    """Killing the children costs nothing but time."""
    with own_service.channel() as channel:
        vendor, group = Vendor(channel), some_id()
        devices = vendor.bound_devices(20)
        children = Path(f"/proc/{own_service.pid}/task/{own_service.pid}/children")
        for pid in children.read_text().split():
            if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        vendor.change(group, [d.member for d in devices])
        vendor.read_until_granted(group, {d.member for d in devices})


def test_no_process_outlives_the_service(own_service: ServiceProcess) -> None:
    """After SIGKILL of the service its children end by themselves."""
    children = Path(f"/proc/{own_service.pid}/task/{own_service.pid}/children").read_text().split()
    assert len(children) >= 2
    own_service.kill()

    def gone() -> bool:
        return not any(_runs(pid) for pid in children)

    wait_for(gone, 10, "the children's end")


def _runs(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
