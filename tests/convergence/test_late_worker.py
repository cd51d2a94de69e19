"""A worker that was overtaken does no harm with what it knows (I9, I10)."""

import pytest

from tests.convergence.machine import LATE_STEPS, TenantMachine


@pytest.mark.parametrize("adds", [True, False], ids=["adds", "removes"])
@pytest.mark.parametrize("step", LATE_STEPS)
def test_an_overtaken_worker_brings_nobody_back(
    machine: type[TenantMachine], step: str, adds: bool
) -> None:
    """Its command is for another base by then, and its chunk for another copy.

    One who has been taken out again meanwhile is granted nothing; one who has been let in stays.
    """
    run = machine()
    try:
        run.begin(low_limits=False, users=4, keyless=set(), outside={3})
        run.worker_is_late(step=step, group=0, members={3}, adds=adds, listed=True)
    finally:
        run.teardown()
