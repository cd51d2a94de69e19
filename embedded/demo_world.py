"""The demo's world: the running stack, the people, their devices, and what they learned."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from embedded.demo_members import Member, Opened, all_at_once
from embedded.demo_operator import Operator
from embedded.demo_programs import DemoError, DemoStack, wait_until
from embedded.demo_secrets import of_epoch
from embedded.okta_player import OktaPlayer, Person, PushedGroup
from embedded.secret_search import Secret
from groupseal.identifiers import identifier_from_text
from groupseal.pairing import open_identity

SOON = 30.0
"""Seconds within which the product must have done what it was told; usually it takes one."""

_BETWEEN_LOOKS = 0.3


@dataclass
class World:
    """Everything by name: people and members by first name, groups by display name.

    `opened` is what each member's client last said of each group. `secrets` collects what the
    vendor must not hold, each value once.
    """

    stack: DemoStack
    people: dict[str, Person] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    groups: dict[str, PushedGroup] = field(default_factory=dict)
    opened: dict[tuple[str, str], Opened] = field(default_factory=dict)
    secrets: dict[bytes, Secret] = field(default_factory=dict, repr=False)

    def connect(self) -> None:
        """Get ready to talk to the stack, once it serves."""
        ready = self.stack.ready
        self.okta = OktaPlayer(ready.scim_base_url, ready.scim_token)
        self.operator = Operator(self.stack)
        identity = open_identity(self.stack.data.service_identity.read_text())
        self._organisation = identity.organisation
        self.keep(Secret("the SCIM token", ready.scim_token.encode()))

    def keep(self, *secrets: Secret) -> None:
        """Note what the vendor must not hold."""
        for secret in secrets:
            self.secrets.setdefault(secret.value, secret)

    def enrol(self, *names: str) -> None:
        """Give each of these people a device, with a one-time code from the tenant's admin."""
        homes = self.stack.folder / "members"
        homes.mkdir(mode=0o700, exist_ok=True)
        ready = self.stack.ready

        def one(name: str) -> Member:
            member = Member(self.people[name], homes / name.lower())
            code = self.operator.enrolment_code(member.person)
            self.keep(Secret(f"{name}'s enrolment code", code.encode()))
            member.enrol(ready.member_api_url, code, ready.fingerprint)
            self.keep(*member.secrets())
            return member

        for member in all_at_once(one, names):
            self.members[member.name] = member

    def open(self, *pairs: tuple[str, str]) -> None:
        """Let members open groups: (member, group). All who hold one epoch hold the same key."""

        def one(pair: tuple[str, str]) -> Opened:
            name, group = pair
            return self.members[name].open(self.groups[group])

        for (name, group), opened in zip(pairs, all_at_once(one, pairs), strict=True):
            self.opened[name, group] = opened
            group_id = identifier_from_text(self.groups[group].id)
            self.keep(*of_epoch(group, opened.secret, self._organisation, group_id, opened.epoch))
        self._compare({group for _, group in pairs})

    def await_members(self, expected: Mapping[str, Mapping[str, int]], what: str) -> None:
        """Wait until groups have open epochs and these many members in each state."""

        def reached() -> bool:
            groups = self.operator.groups()
            return all(
                groups[name].members == counts and groups[name].open
                for name, counts in expected.items()
            )

        # Each look is a process of its own: in between, leave the cores to the product.
        wait_until(reached, SOON, what, every=_BETWEEN_LOOKS)

    def _compare(self, groups: Iterable[str]) -> None:
        for group in groups:
            newest = max(o.epoch for (_, other), o in self.opened.items() if other == group)
            holders = [
                opened
                for (_, other), opened in self.opened.items()
                if other == group and opened.epoch == newest
            ]
            if any(holder != holders[0] for holder in holders):
                raise DemoError(f"Members of {group} hold different keys for epoch {newest}.")
