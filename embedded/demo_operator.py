"""What the vendor's operator sees and does on the command line."""

from dataclasses import dataclass
from typing import Any

from embedded.demo_programs import DemoError, DemoStack
from embedded.okta_player import Person

_SETTLED_OR_PENDING = {0, 1}


@dataclass(frozen=True)
class GroupState:
    """A group as `groupseal status` shows it.

    `members` counts memberships by state (committed, waiting, …), `waiting` those that wait, by
    reason. `epoch` is 0 before the first key, and is `open` unless it is about to be replaced.
    """

    members: dict[str, int]
    waiting: dict[str, int]
    epoch: int
    open: bool


class Operator:
    """The vendor's operator at the command line of one tenant."""

    def __init__(self, stack: DemoStack) -> None:
        self._stack = stack

    def fingerprint(self) -> str:
        """Return the fingerprint of the organisation that the tenant is connected with."""
        return str(self._tenant()["fingerprint"])

    def groups(self) -> dict[str, GroupState]:
        """Return every group by name."""
        return {
            group["display_name"]: GroupState(
                group["memberships"], group["waiting"], group["epoch"], group["epoch_open"]
            )
            for group in self._tenant()["groups"]
        }

    def enrolment_code(self, person: Person) -> str:
        """Make a one-time code for a device of this person."""
        tenant = self._stack.ready.tenant_id
        command = ("enrolment-code", "create", "--tenant", tenant, "--user", person.user_name)
        return str(self._ask(*command, accepted={0})["code"])

    def _tenant(self) -> Any:
        command = ("status", "--all", "--tenant", self._stack.ready.tenant_id)
        return self._ask(*command, accepted=_SETTLED_OR_PENDING)["tenants"][0]

    def _ask(self, *arguments: str, accepted: set[int]) -> Any:
        answer = self._stack.operator(*arguments, "--json")
        if answer.status not in accepted or answer.content is None:
            raise DemoError(
                f"`groupseal {arguments[0]}` ended with status {answer.status}: "
                f"{answer.errors or answer.content}"
            )
        return answer.content
