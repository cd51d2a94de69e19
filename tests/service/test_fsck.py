"""fsck finds what was changed behind the service's back."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor, some_id


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A store with groups, epochs and keys, and nobody serving it."""
    with ServiceProcess(tmp_path_factory.mktemp("fsck")) as service:
        with service.channel() as channel:
            vendor, group = Vendor(channel), some_id()
            devices = vendor.bound_devices(3)
            vendor.change(group, [d.member for d in devices])
            vendor.read()
            vendor.change(group, removed=[devices[0].member])
        service.stop()
        yield service


def test_a_sound_store_has_no_faults(stopped: ServiceProcess) -> None:
    """Nothing is found, and it says what was looked at."""
    result = stopped.run("fsck")
    assert "no faults" in result.stdout
    assert "2 epochs" in result.stdout


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("UPDATE entries SET entry = zeroblob(length(entry)) WHERE position = 1", "entry 1"),
        ("DELETE FROM entries WHERE position = 2", "entry 3"),
        ("UPDATE entries SET root = zeroblob(32) WHERE position = 2", "stored root"),
        ("UPDATE entries SET time_ms = 5 WHERE position = 2", "stored time"),
        ("UPDATE parts SET body = zeroblob(length(body)) WHERE kind = 2", "entry 4"),
        ("DELETE FROM parts WHERE kind = 2", "before the vendor acknowledged"),
        ("DELETE FROM parts WHERE kind = 4", "sealed_secret is missing"),
        ("UPDATE service SET ledger_range = zeroblob(8)", "Merkle range"),
        ("UPDATE service SET acknowledged_size = 99", "acknowledged"),
        ("UPDATE service SET halted_reason = 'ledger_behind'", "halted"),
        ("UPDATE groups SET epoch = 7", "its row"),
        ("DELETE FROM groups", "not stored"),
        ("DELETE FROM roster", "roster"),
        ("DELETE FROM grants", "grants"),
        ("UPDATE groups SET is_open = 0", "its row"),
        ("DELETE FROM member_keys WHERE id = 1", "bound key"),
        ("UPDATE member_keys SET hpke_public_key = zeroblob(1216)", "bound key"),
        ("INSERT INTO refused_keys VALUES (zeroblob(32), zeroblob(16), 'x', 1)", "refused keys"),
        ("INSERT INTO pending_grants VALUES (1, zeroblob(16), zeroblob(32))", "work left"),
    ],
)
def test_a_planted_fault_is_found(
    stopped: ServiceProcess, tmp_path: Path, fault: str, found: str
) -> None:
    """Each kind of damage is named."""
    folder = tmp_path / "data"
    shutil.copytree(stopped.data_dir, folder)
    connection = sqlite3.connect(folder / "encryption-service.sqlite3")
    with connection:
        connection.execute(fault)
    connection.close()
    original = stopped.environment["GROUPSEAL_SERVICE_DATA_DIR"]
    stopped.environment["GROUPSEAL_SERVICE_DATA_DIR"] = str(folder)
    try:
        result = stopped.run("fsck", check=False)
    finally:
        stopped.environment["GROUPSEAL_SERVICE_DATA_DIR"] = original
    assert result.returncode == 1
    assert found in result.stdout
