"""What may be granted, whatever vendor, members, source, approvers and crashes do in what order.

Each step is done to the service's core and to a model in plain Python that shares no code with it;
after each step the ledger is verified, and what it grants and what is held are compared.
"""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from groupseal.trust import MembershipCheck, TrustMode
from tests.support.trust_machine import TrustMachine


def _machine(mode_: TrustMode, check_: MembershipCheck) -> type[TrustMachine]:
    class Machine(TrustMachine):
        mode = mode_
        check = check_

    Machine.__name__ = f"{mode_.name}_{check_.name}"
    return Machine


MACHINES = [
    _machine(TrustMode.PIN, MembershipCheck.OFF),
    _machine(TrustMode.APPROVE, MembershipCheck.OFF),
    _machine(TrustMode.APPROVE, MembershipCheck.ENFORCE),
    _machine(TrustMode.OIDC, MembershipCheck.OFF),
    _machine(TrustMode.OIDC, MembershipCheck.ENFORCE),
]
_PROFILE = settings(
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
each_machine = pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.__name__.lower())


@each_machine
def test_only_what_is_allowed_is_granted_and_the_rest_is_held(machine: type[TrustMachine]) -> None:
    """A few examples, for every run of the tests."""
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    profile = settings(_PROFILE, max_examples=8, stateful_step_count=25, phases=phases)
    run_state_machine_as_test(machine, settings=profile)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@each_machine
def test_the_same_of_very_many_interleavings(machine: type[TrustMachine]) -> None:
    profile = settings(_PROFILE, max_examples=150, stateful_step_count=40)
    run_state_machine_as_test(machine, settings=profile)
