"""The vendor is hostile: whatever it tries, in every trust mode.

It holds the channel that the service pins and sends any message, in any order. Each attack is
stopped, for the reason that is shown, or it is not claimed in that mode: then the test shows that
it succeeds, so that nobody reads a promise into silence. `docs/threat-model.md` has the table.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from encryption_api import encryption_pb2 as pb
from groupseal.entries import GroupNamed
from groupseal.parts import GroupNamePart, PartKind
from groupseal.reasons import Reason
from groupseal.trust import TrustMode
from tests.support.customer import Customer
from tests.support.devices import Device
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_api import OktaApi
from tests.support.policies import Approver
from tests.support.vendor import Vendor, some_id
from tests.support.waiting import wait_for

OIDC_ENFORCE, OIDC_OFF, APPROVE, PIN = "oidc-enforce", "oidc-off", "approve", "pin"
BOUND, REFUSED = pb.BINDING_OUTCOME_BOUND, pb.BINDING_OUTCOME_REFUSED
SECONDS = 20.0


@dataclass
class Target:
    """A customer in one trust mode, and what the attacker may use."""

    name: str
    customer: Customer
    okta: OktaApi | None

    @property
    def vendor(self) -> Vendor:
        return self.customer.vendor

    @property
    def by_evidence(self) -> bool:
        return self.customer.mode is TrustMode.OIDC

    def group_at_source(self, *users: str) -> str:
        """A group's name; at the source, where that is asked, these people are in it."""
        name = f"Group {os.urandom(4).hex()}"
        if self.okta is not None:
            source = self.okta.add_group(name)
            for user in users:
                self.okta.join(source, user)
        return name

    def user(self) -> str:
        """A person of the customer's."""
        user = f"user-{os.urandom(4).hex()}"
        if self.okta is not None:
            self.okta.add_user(user)
        return user

    def leave_at_source(self, name: str, user: str) -> None:
        if self.okta is not None:
            (group,) = (g for g in self.okta.groups.values() if g.name == name)
            self.okta.leave(group.id, user)

    def offered(self, binding: pb.KeyBinding) -> tuple[int, str]:
        (answer,) = self.vendor.bind(binding)
        return answer.outcome, answer.reason

    def is_granted(self, group: bytes, device: Device) -> bool:
        return (group, device.member, device.key_id) in self.vendor.read().envelopes


@pytest.fixture(scope="module", params=[OIDC_ENFORCE, OIDC_OFF, APPROVE, PIN])
def target(
    request: pytest.FixtureRequest,
    identity_provider: IdentityProvider,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Target]:
    """One running customer for each mode; groups called Finance are protected in all of them."""
    name: str = request.param
    ana = Approver("ana")
    policy = {
        "approvers": [ana.entry()],
        "protected": [{"match": [{"name": "Finance*"}], "approvals": 1}],
    }
    mode = {APPROVE: TrustMode.APPROVE, PIN: TrustMode.PIN}.get(name, TrustMode.OIDC)
    with OktaApi() as okta:
        source = okta if name == OIDC_ENFORCE else None
        with Customer(
            tmp_path_factory.mktemp(name),
            mode=mode,
            provider=identity_provider,
            okta=source,
            policy=policy,
        ) as customer:
            yield Target(name, customer, source)


def test_a_ghost_member(target: Target) -> None:
    """An invented person with a key of the vendor's own, put into a real group."""
    user = target.user()
    member = target.customer.enrol(user)
    ghost = target.customer.device()
    outcome, reason = target.offered(ghost.binding(external_id="ghost", user_name="ghost"))
    group = target.customer.group(target.group_at_source(user), member.member, ghost.member)
    if target.name == PIN:
        # Not claimed: the vendor's word decides whose key is whose, and who is in a group.
        assert outcome == BOUND
        target.vendor.read_until_granted(group, {member.member, ghost.member}, SECONDS)
        assert target.vendor.open(ghost, group) == target.vendor.open(member, group)
        return
    waits = Reason.KEY_APPROVAL_NEEDED
    assert reason == (Reason.EVIDENCE_NEEDED if target.by_evidence else waits)
    target.vendor.read_until_granted(group, {member.member}, SECONDS)
    assert not target.is_granted(group, ghost)


def test_a_colleague_who_does_not_belong(target: Target) -> None:
    """A real person with a real key, put into a group that is not theirs; and a protected one."""
    insider, colleague = target.user(), target.user()
    inside, outside = target.customer.enrol(insider), target.customer.enrol(colleague)
    group = target.customer.group(target.group_at_source(insider), inside.member, outside.member)
    if target.name == OIDC_ENFORCE:
        target.vendor.read_until_granted(group, {inside.member}, SECONDS)
        target.vendor.wait_for_hold(group, outside.member, Reason.NOT_IN_SOURCE_GROUP)
        return
    # Not claimed: with the membership check off, the vendor's word decides who is in a group,
    target.vendor.read_until_granted(group, {inside.member, outside.member}, SECONDS)
    # unless the group is protected.
    protected = target.customer.group("Finance", outside.member)
    target.vendor.wait_for_hold(protected, outside.member, Reason.APPROVAL_NEEDED)
    assert not target.is_granted(protected, outside)


def test_an_omitted_removal(target: Target) -> None:
    """The identity provider took somebody out, and the vendor keeps it to itself."""
    stays, leaves = target.user(), target.user()
    staying, leaving = target.customer.enrol(stays), target.customer.enrol(leaves)
    name = target.group_at_source(stays, leaves)
    group = target.customer.group(name, staying.member, leaving.member)
    target.vendor.read_until_granted(group, {staying.member, leaving.member}, SECONDS)
    epoch = target.vendor.group(group).state.epoch
    target.leave_at_source(name, leaves)
    if target.name == OIDC_ENFORCE:
        target.vendor.read_until_granted(group, {staying.member}, SECONDS)
        assert target.vendor.group(group).state.epoch == epoch + 1
        return
    # Not claimed: nobody else could tell, and the settings in the ledger say so.
    assert target.vendor.read().group(group).state.epoch == epoch
    assert target.vendor.projection.trust.membership_source == ""


def test_an_old_roster_as_a_new_one(target: Target) -> None:
    """A command from before a removal is sent again; then its roster is sent as a new command."""
    stays, left = target.user(), target.user()
    staying, leaving = target.customer.enrol(stays), target.customer.enrol(left)
    name = target.group_at_source(stays, left)
    group = target.customer.group(name, staying.member)
    vendor = target.vendor
    vendor.read_until_granted(group, {staying.member}, SECONDS)
    old = vendor.command(group, [leaving.member])
    vendor.reconcile(old)
    vendor.read_until_granted(group, {staying.member, leaving.member}, SECONDS)
    vendor.change(group, removed=[leaving.member])
    target.leave_at_source(name, left)
    vendor.read_until_granted(group, {staying.member}, SECONDS)
    (answer,) = vendor.reconcile(old)
    assert answer.outcome == pb.OUTCOME_BASE_MISMATCH
    assert vendor.read().granted(group) == {staying.member}
    vendor.change(group, [leaving.member])
    if target.name == OIDC_ENFORCE:
        vendor.wait_for_hold(group, leaving.member, Reason.NOT_IN_SOURCE_GROUP)
        assert vendor.read().granted(group) == {staying.member}
        return
    # Not claimed: a new command by the vendor is the vendor's word.
    vendor.read_until_granted(group, {staying.member, leaving.member}, SECONDS)


def test_a_swapped_key(target: Target) -> None:
    """A key of the vendor's own in the place of a member's, with whatever evidence it has."""
    user = target.user()
    real = target.customer.enrol(user)
    swapped = target.customer.device(real.member)
    bare = target.offered(swapped.binding())[1]
    if target.by_evidence:
        assert bare == Reason.EVIDENCE_NEEDED
        # The member's own token, which the vendor has passed on sealed, and even if it were open.
        salt = os.urandom(32)
        token = target.customer.provider_token(user, target.customer.nonce(real, salt))
        evidence = target.customer.seal(swapped, salt, token)
        binding = swapped.binding(sealed_evidence=evidence)
        assert target.offered(binding) == (REFUSED, Reason.EVIDENCE_FOR_OTHER_KEYS)
    elif target.name == APPROVE:
        assert bare == Reason.KEY_APPROVAL_NEEDED
    else:
        assert bare == Reason.ANOTHER_KEY_IS_BOUND
        # Not claimed: that the first key is the member's own.
        first = target.customer.device()
        assert target.offered(first.binding())[0] == BOUND
    keys = target.vendor.read().projection.keys_of(real.member)
    assert [key.key_id for key in keys] == [real.key_id]


def test_old_evidence(target: Target) -> None:
    """Evidence from before newer evidence, or of a key that was removed, is offered again."""
    user = target.user()
    old = target.customer.device()
    if target.by_evidence:
        old_binding = target.customer.binding(old, user, iat=int(time.time()) - 600)
        newer = target.customer.enrol(user, old.member)
        assert target.offered(old_binding) == (REFUSED, Reason.EVIDENCE_REPLAYED)
        expired = target.customer.device(old.member)
        past = int(time.time()) - 600
        binding = target.customer.binding(expired, user, exp=past)
        assert target.offered(binding) == (REFUSED, Reason.EVIDENCE_EXPIRED)
    else:
        newer = target.customer.enrol(user, old.member)
    again = target.customer.binding(newer, user)
    target.vendor.remove(newer.removal(newer.key_id))
    assert target.offered(again) == (REFUSED, Reason.KEY_WAS_REMOVED)


def test_evidence_from_another_client(target: Target) -> None:
    """A login that the vendor started for a client of its own."""
    assert _with_claims(target, aud="a-client-of-the-vendor") == _unless_evidence_counts(target)
    assert _with_claims(target, azp="a-client-of-the-vendor") == _unless_evidence_counts(target)


def test_evidence_for_several_audiences(target: Target) -> None:
    """A token that the vendor's client may use as well."""
    assert target.customer.provider is not None
    several = [target.customer.provider.client_id, "a-client-of-the-vendor"]
    assert _with_claims(target, aud=several) == _unless_evidence_counts(target)


def _with_claims(target: Target, **changes: Any) -> str:
    """What a new key of a member with another key is answered, with such a token."""
    user = target.user()
    bound = target.customer.enrol(user)
    device = target.customer.device(bound.member)
    evidence = target.customer.evidence(device, user, **changes)
    outcome, reason = target.offered(device.binding(sealed_evidence=evidence))
    assert outcome != BOUND
    assert device.key_id not in target.vendor.read().projection.keys
    return reason


def _unless_evidence_counts(target: Target) -> Reason:
    if target.by_evidence:
        return Reason.EVIDENCE_FOR_ANOTHER_CLIENT
    if target.name == APPROVE:
        return Reason.KEY_APPROVAL_NEEDED
    return Reason.ANOTHER_KEY_IS_BOUND


def test_evidence_of_another_person(target: Target) -> None:
    """A real token of somebody else, whose keys are real too, for another member."""
    victim, accomplice = target.user(), target.user()
    bound = target.customer.enrol(victim)
    device = target.customer.device(bound.member)
    evidence = target.customer.evidence(device, accomplice)
    outcome, reason = target.offered(device.binding(sealed_evidence=evidence))
    assert outcome != BOUND
    if target.by_evidence:
        assert reason == Reason.EVIDENCE_OF_ANOTHER_MEMBER
    else:
        assert reason == _unless_evidence_counts(target)
    assert device.key_id not in target.vendor.read().projection.keys


def test_swapped_group_names(target: Target) -> None:
    """Two groups are shown under each other's names, so that people share to the wrong one."""
    insider, other = target.user(), target.user()
    inside, outside = target.customer.enrol(insider), target.customer.enrol(other)
    board, lunch = target.group_at_source(insider), target.group_at_source(other)
    group = target.customer.group(board, inside.member)
    target.vendor.read_until_granted(group, {inside.member}, SECONDS)
    swapped = target.customer.group(lunch, outside.member)
    target.vendor.read_until_granted(swapped, {outside.member}, SECONDS)
    target.vendor.change(group, name=pb.GroupName(display_name=lunch))
    target.vendor.change(swapped, name=pb.GroupName(display_name=board))
    if target.name == OIDC_ENFORCE:
        assert _names(target.vendor, group) == [board]
        assert _names(target.vendor, swapped) == [lunch]
        return
    # Not claimed: the name is the vendor's word. It is an entry all the same: clients tell members.
    assert _names(target.vendor, group) == [board, lunch]
    assert _names(target.vendor, swapped) == [lunch, board]


def _names(vendor: Vendor, group: bytes) -> list[str]:
    return [
        GroupNamePart.from_bytes(e.parts[PartKind.GROUP_NAME]).display_name
        for e in vendor.read().entries_of(group)
        if isinstance(e.entry.body, GroupNamed)
    ]


def test_a_renamed_protected_group(target: Target) -> None:
    """A protected group gets a harmless name first, and then a member."""
    user = target.user()
    device = target.customer.enrol(user)
    group = some_id()
    if target.okta is not None:
        source = target.okta.add_group(f"Finance {os.urandom(4).hex()}")
        target.okta.join(source, user)
        name = target.okta.groups[source].name
    else:
        name = "Finance"
    target.vendor.change(group, name=pb.GroupName(display_name=name))
    wait_for(lambda: _names(target.vendor, group) == [name], SECONDS, "the name in the ledger")
    target.vendor.change(group, [device.member], name=pb.GroupName(display_name="Lunch"))
    target.vendor.wait_for_hold(group, device.member, Reason.APPROVAL_NEEDED)
    assert not target.is_granted(group, device)


def test_removals_that_are_made_to_wait(target: Target) -> None:
    """Everything at once that holds additions back: the epoch closes and the next one opens."""
    stays, leaves, comes = target.user(), target.user(), target.user()
    staying, leaving, coming = (target.customer.enrol(u) for u in (stays, leaves, comes))
    name = target.group_at_source(stays, leaves, comes)
    group = target.customer.group(name, staying.member, leaving.member)
    vendor = target.vendor
    vendor.read_until_granted(group, {staying.member, leaving.member}, SECONDS)
    target.customer.service.run("freeze", "on")
    if target.okta is not None:
        target.okta.silent = True
    try:
        answer = vendor.change(group, [coming.member], [leaving.member])
        assert answer.outcome == pb.OUTCOME_DONE
        assert [r.reason for r in answer.refusals] == [Reason.FROZEN]
        assert vendor.read().granted(group) == {staying.member}
        assert vendor.group(group).state.epoch == 2
        assert vendor.open(staying, group)
    finally:
        if target.okta is not None:
            target.okta.silent = False
        target.customer.service.run("freeze", "off")
    vendor.read_until_granted(group, {staying.member, coming.member}, SECONDS)
