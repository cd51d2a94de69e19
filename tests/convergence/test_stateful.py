"""Any interleaving of pushes, enrolments and failures converges to what was pushed."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.convergence.machine import TenantMachine

_PROFILE = settings(
    deadline=None,
    derandomize=False,
    print_blob=True,
    # Several failures of one interleaving are one failure.
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
Machine = type[TenantMachine]


@pytest.mark.timeout(120)
def test_any_interleaving_converges(machine: Machine) -> None:
    """A few examples, for every run of the tests; making a failing one smaller takes too long."""
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    profile = settings(_PROFILE, max_examples=12, stateful_step_count=25, phases=phases)
    run_state_machine_as_test(machine, settings=profile)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_very_many_interleavings_converge(machine: Machine) -> None:
    """Many more, and longer ones."""
    profile = settings(_PROFILE, max_examples=120, stateful_step_count=40)
    run_state_machine_as_test(machine, settings=profile)
