"""Audits against a source where everything happens at once, and what must hold whatever it is.

Random people join and leave, groups are renamed, deleted and hidden, limits run out, requests fail
part-way; between them, audits. Nobody who is in the group is ever taken off, and whoever left is
taken off by the next audit that goes through.
"""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from encryption_service.membership.checker import MembershipChecker
from encryption_service.membership.okta import OktaSource
from encryption_service.membership.okta_credentials import ApiToken
from encryption_service.membership.rate_limits import RateGovernor
from encryption_service.membership.secret_file import SecretFile
from encryption_service.outbound_http import OutboundHttp
from tests.service.membership.conftest import AUDIT_MS, CACHE_MS, RECHECK_MS, Time
from tests.support.membership_events import Listener, member_id
from tests.support.okta_api import OktaApi
from tests.support.stand_in_server import Request

PEOPLE = [f"00u{number:03}" for number in range(7)]
GROUPS = {b"finance 16 bytes": "00gfinance", b"legal's 16 bytes": "00glegal"}
people = st.sampled_from(PEOPLE)
groups = st.sampled_from(sorted(GROUPS))


class Check(Listener):
    """Refuses to take off anybody who is in the group at that moment."""

    def __init__(self, okta: OktaApi) -> None:
        super().__init__()
        self.okta = okta

    def left_at_source(self, group: bytes, members: object) -> None:
        assert isinstance(members, list)
        for member in members:
            subject = self.groups[group].granted[member]
            assert not is_in(self.okta, group, subject), f"{subject} is in the group"
        super().left_at_source(group, members)


def is_in(okta: OktaApi, group: bytes, subject: str) -> bool:
    with okta.lock:
        found = okta.groups.get(GROUPS[group])
        user = okta.users.get(subject)
        active = user is not None and user.status not in {"DEPROVISIONED", "SUSPENDED"}
        return found is not None and subject in found.members and active


class Audits(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.okta = OktaApi(page=2).start()
        self.folder = tempfile.TemporaryDirectory()
        file = Path(self.folder.name) / "token"
        file.write_text(self.okta.api_token)
        self.clock = Time()
        self.http = OutboundHttp(allow_private_addresses=True, timeout=2.0)
        governor = RateGovernor("okta", self.clock)
        source = OktaSource(self.http, self.okta.url, ApiToken(SecretFile(file)), governor)
        self.events = Check(self.okta)
        self.checker = MembershipChecker(
            source,
            self.events,
            clock=self.clock,
            cache_ms=CACHE_MS,
            audit_ms=AUDIT_MS,
            recheck_ms=RECHECK_MS,
        )

    @initialize()
    def everybody_is_granted(self) -> None:
        for group, group_id in GROUPS.items():
            self.okta.add_group(group_id[3:], PEOPLE, group_id=group_id)
            self.events.keep(group, group_id, group_id[3:], PEOPLE)

    def teardown(self) -> None:
        self.http.close()
        self.okta.stop()
        self.folder.cleanup()

    # At the source

    @rule(group=groups, person=people)
    def join_and_be_granted(self, group: bytes, person: str) -> None:
        if GROUPS[group] in self.okta.groups:
            self.okta.join(GROUPS[group], person)
            self.events.groups[group].granted[member_id(person)] = person

    @rule(group=groups, person=people)
    def leave(self, group: bytes, person: str) -> None:
        if GROUPS[group] in self.okta.groups:
            self.okta.leave(GROUPS[group], person)

    @rule(person=people, status=st.sampled_from(["SUSPENDED", "DEPROVISIONED", "ACTIVE"]))
    def change_status(self, person: str, status: str) -> None:
        if person in self.okta.users:
            self.okta.set_status(person, status)

    @rule(group=groups, name=st.sampled_from(["finance", "legal", "Other"]))
    def rename(self, group: bytes, name: str) -> None:
        if GROUPS[group] in self.okta.groups:
            self.okta.rename(GROUPS[group], name)

    @rule(group=groups)
    def hide(self, group: bytes) -> None:
        self.okta.visible_groups = set(GROUPS.values()) - {GROUPS[group]}

    @rule(group=groups, person=people)
    def somebody_moves_between_two_requests(self, group: bytes, person: str) -> None:
        """Away while pages are read, back for anything else."""
        if not is_in(self.okta, group, person):
            return

        def move(request: Request) -> None:
            listed = request.path.endswith(f"{GROUPS[group]}/users")
            (self.okta.leave if listed else self.okta.join)(GROUPS[group], person)

        self.okta.before_reply = move

    # What goes wrong

    @rule(status=st.sampled_from([429, 500, 403, 404, 301]), good=st.integers(0, 12))
    def fail(self, status: int, good: int) -> None:
        self.okta.failing, self.okta.failing_after = status, good

    @rule()
    def talk_nonsense(self) -> None:
        self.okta.wrong_json = True

    @rule()
    def use_up_limits(self) -> None:
        self.okta.use_up_limits()

    @rule()
    def revoke_the_token(self) -> None:
        self.okta.api_tokens = set()

    # What is done

    @rule(group=groups, subjects=st.sets(people))
    def ask(self, group: bytes, subjects: set[str]) -> None:
        self.checker.ask(group, GROUPS[group], "any", subjects)
        self.checker.answer_due()

    @rule(seconds=st.integers(1, 100))
    def time_passes(self, seconds: int) -> None:
        self.clock.pass_seconds(seconds)

    @rule()
    def audit(self) -> None:
        self.checker.audit_now()

    @precondition(lambda self: self.events.groups)
    @rule()
    def audit_when_all_is_well(self) -> None:
        """Then whoever is not in the group is granted no longer."""
        okta = self.okta
        okta.failing, okta.wrong_json, okta.visible_groups = None, False, None
        okta.api_tokens = {okta.api_token}
        okta.refill_limits()
        self.clock.pass_seconds(4000)
        result = self.checker.audit_now()
        okta.before_reply = None
        assert result.failed == set()
        for group in GROUPS:
            assert self.events.subjects(group) <= {p for p in PEOPLE if is_in(okta, group, p)}


Audits.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestAudits = Audits.TestCase
