"""Copies of either side's state, taken and put back as an operator would."""

import shutil
import sqlite3
from pathlib import Path

from encryption_service.store import Store
from tests.faults.world import VENDOR, World


class VendorBackup:
    """A copy of the vendor's database, taken while nobody writes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._name = f"{world.database}_backup"
        self._copy(world.database, self._name)

    def restore(self) -> None:
        """Puts the copy in the database's place; the vendor's programs start on it."""
        world = self._world
        world.stop(*VENDOR)
        world.bench.engine.dispose()
        world.postgres.drop(world.database)
        world.postgres.create(world.database, template=self._name)
        world.postgres.drop(self._name)
        world.start(*VENDOR)

    def _copy(self, source: str, target: str) -> None:
        world = self._world
        world.stop(*VENDOR)
        world.bench.engine.dispose()
        world.postgres.create(target, template=source)
        world.start(*VENDOR)


class Volumes:
    """Copies of the service's volume; one of them is mounted."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._mounted = world.service_process.data_dir

    def keep(self, name: str) -> None:
        """Keeps a copy of the volume as it is now."""
        self._world.stop("service")
        shutil.copytree(self._mounted, self._path(name))
        self._world.start("service")

    def mount(self, name: str) -> None:
        """Starts the service on a copy; the volume that was mounted is gone."""
        self._world.stop("service")
        shutil.rmtree(self._mounted)
        shutil.copytree(self._path(name), self._mounted)
        self._world.start("service")

    def _path(self, name: str) -> Path:
        return self._mounted.with_name(f"volume-{name}")


def service_entries(world: World) -> list[bytes]:
    """The ledger as it is in the service's store."""
    with Store(world.service_process.data_dir).reader() as connection:
        return [row[0] for row in connection.execute("SELECT entry FROM entries ORDER BY position")]


def kept_envelopes(world: World) -> int:
    """How many entries' envelopes the service still has."""
    with Store(world.service_process.data_dir).reader() as connection:
        return _count(connection, "SELECT count(*) FROM parts WHERE kind = 2")


def _count(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])


def vendor_entries(world: World) -> list[bytes]:
    """The ledger as the vendor has copied it."""
    rows = world.tenant.rows(
        "SELECT entry FROM ledger_entries WHERE tenant_id = %s ORDER BY position"
    )
    return [row[0] for row in rows]
