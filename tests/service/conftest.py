"""One running service for each test module, and a vendor that reads its ledger from the start."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Shared by a module: its tests use groups and members of their own."""
    with ServiceProcess(tmp_path_factory.mktemp("service")) as running:
        yield running
        found = running.run("fsck", check=False)
        assert found.returncode == 0, found.stdout + found.stderr


@pytest.fixture(scope="module")
def channel(service: ServiceProcess) -> Iterator[grpc.Channel]:
    with service.channel() as channel:
        yield channel


@pytest.fixture
def vendor(channel: grpc.Channel) -> Vendor:
    return Vendor(channel).read()


@pytest.fixture
def own_service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service of the test's own, started by the fixture."""
    with ServiceProcess(tmp_path / "own") as running:
        yield running
