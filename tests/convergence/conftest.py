"""Machines, each of whose runs has a world of its own."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from encryption_service import reconcile, rotation, writer
from tests.convergence.machine import TenantMachine
from tests.support.postgres import RunningPostgres
from tests.support.world import KeptPool, World

Machine = type[TenantMachine]


@pytest.fixture(scope="module")
def pool() -> Iterator[KeptPool]:
    """Sealing processes for every service of the module."""
    with KeptPool(1).running() as pool:
        yield pool


@pytest.fixture
def machine(
    postgres: RunningPostgres, migrated_template: str, pool: KeptPool, tmp_path: Path
) -> Machine:
    """Makes machines, each with a world of its own."""

    def make_world(low_limits: bool) -> tuple[World, Callable[[], None]]:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        database = postgres.create(template=migrated_template)
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, folder)
            stack.callback(postgres.drop, database)
            if low_limits:
                stack.enter_context(_low_limits())
            world = stack.enter_context(
                World(postgres.url(database), folder, pool=pool, opening_delay_max_seconds=0.05)
            )
            return world, stack.pop_all().close

    class Prepared(TenantMachine):
        pass

    Prepared.make_world = staticmethod(make_world)
    return Prepared


@contextmanager
def _low_limits() -> Iterator[None]:
    """What happens to large groups only happens to small ones: closed epochs, many batches."""
    with (
        patch.object(rotation, "SMALL_GROUP", 1),
        patch.object(reconcile, "SMALL_GROUP", 1),
        patch.object(rotation, "_CHEAP_OPENING_MS", 0),
        patch.object(reconcile, "MAX_BATCH", 2),
        patch.object(writer, "MAX_BATCH", 2),
    ):
        yield
