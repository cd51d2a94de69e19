"""A service process that asks the stand-in for Okta, and a vendor that says something else.

Trust mode `pin`, so that the vendor says which user of Okta's a member is; with evidence, the
identity provider does.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from encryption_api import encryption_pb2 as pb
from groupseal.entries import GroupNamed
from groupseal.parts import GroupNamePart, PartKind
from tests.support.devices import Device
from tests.support.okta_api import OktaApi
from tests.support.service import ServiceProcess
from tests.support.vendor import Vendor, some_id
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def shared_okta() -> Iterator[OktaApi]:
    with OktaApi() as running:
        running.limit = None
        yield running


@pytest.fixture(scope="module")
def asking_service(
    tmp_path_factory: pytest.TempPathFactory, shared_okta: OktaApi
) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("asking")
    token_file = folder / "okta-token"
    token_file.write_text(shared_okta.api_token)
    values = {
        "MEMBERSHIP_SOURCE": "okta",
        "OKTA_URL": shared_okta.url,
        "OKTA_TOKEN_FILE": str(token_file),
        "MEMBERSHIP_CACHE_SECONDS": "1",
        "MEMBERSHIP_RECHECK_SECONDS": "0.3",
        "MEMBERSHIP_AUDIT_SECONDS": "1",
        "OUTBOUND_ALLOW_PRIVATE": "true",
    }
    environment = {f"GROUPSEAL_SERVICE_{name}": value for name, value in values.items()}
    with ServiceProcess(folder, environment=environment) as running:
        yield running
        assert shared_okta.api_token not in running.log


@pytest.fixture
def okta(shared_okta: OktaApi) -> Iterator[OktaApi]:
    """Each test has groups and people of its own, and leaves no fault behind."""
    yield shared_okta
    shared_okta.failing, shared_okta.limit, shared_okta.window_seconds = None, None, 60
    shared_okta.silent = False
    shared_okta.refill_limits()


@pytest.fixture
def vendor(asking_service: ServiceProcess) -> Iterator[Vendor]:
    with asking_service.channel() as channel:
        yield Vendor(channel).read()


@dataclass
class Person:
    """A user of Okta's and the member who is that user, with a bound key."""

    user_id: str
    device: Device

    @property
    def member(self) -> bytes:
        return self.device.member


@dataclass
class Finance:
    """A group at Okta, its twin here, and people who are in it and granted."""

    source_id: str
    group: bytes
    name: pb.GroupName
    people: list[Person]

    @property
    def members(self) -> set[bytes]:
        return {person.member for person in self.people}


def person(okta: OktaApi, vendor: Vendor) -> Person:
    user_id, device = okta.add_user(), Device(vendor.organisation)
    binding = device.binding(external_id=user_id, user_name=f"{user_id}@example.com")
    [answer] = vendor.bind(binding)
    assert answer.outcome == pb.BINDING_OUTCOME_BOUND
    return Person(user_id, device)


def unique_name() -> pb.GroupName:
    return pb.GroupName(display_name=f"Finance {some_id().hex()}")


@pytest.fixture
def finance(okta: OktaApi, vendor: Vendor) -> Finance:
    people, name, group = [person(okta, vendor) for _ in range(2)], unique_name(), some_id()
    source_id = okta.add_group(name.display_name, [p.user_id for p in people])
    vendor.change(group, [p.member for p in people], name=name)
    vendor.read_until_granted(group, {p.member for p in people})
    return Finance(source_id, group, name, people)


def test_a_ghost_of_the_vendor_s_waits_until_okta_knows_it(
    okta: OktaApi, vendor: Vendor, finance: Finance
) -> None:
    """In the vendor's roster and not in Okta's group: never granted, and the reason is told. The
    grant follows by itself when Okta says yes."""
    ghost = person(okta, vendor)
    vendor.change(finance.group, [ghost.member])
    vendor.wait_for_hold(finance.group, ghost.member, "not_in_source_group")
    assert vendor.read().granted(finance.group) == finance.members
    okta.join(finance.source_id, ghost.user_id)
    vendor.read_until_granted(finance.group, finance.members | {ghost.member})
    vendor.wait_for_hold(finance.group, ghost.member, None)


def test_who_leaves_at_okta_only_is_rotated_out_by_the_next_audit(
    okta: OktaApi, vendor: Vendor, finance: Finance
) -> None:
    ada, bob = finance.people
    epoch = vendor.group(finance.group).state.epoch
    okta.leave(finance.source_id, bob.user_id)
    vendor.read_until_granted(finance.group, {ada.member})
    assert vendor.group(finance.group).state.epoch == epoch + 1


@pytest.mark.parametrize("fault", ["failing", pytest.param("silent", marks=pytest.mark.slow)])
def test_while_okta_does_not_answer_additions_wait_and_removals_do_not(
    okta: OktaApi, vendor: Vendor, finance: Finance, fault: str
) -> None:
    """It answers with errors, or takes the requests and says nothing."""
    (ada, bob), cem = finance.people, person(okta, vendor)
    okta.join(finance.source_id, cem.user_id)
    okta.failing, okta.silent = 503, fault == "silent"
    vendor.change(finance.group, [cem.member])
    if fault == "failing":
        vendor.wait_for_hold(finance.group, cem.member, "membership_source_unavailable")
    base = vendor.read().group(finance.group).state.last_position
    answer = vendor.change(finance.group, removed=[bob.member], base=base)
    assert answer.outcome == pb.OUTCOME_DONE
    assert vendor.read().granted(finance.group) == {ada.member}
    vendor.wait_for_hold(finance.group, cem.member, "membership_source_unavailable")
    okta.failing, okta.silent = None, False
    vendor.read_until_granted(finance.group, {ada.member, cem.member}, within=40)


def test_a_used_up_limit_is_told_apart(okta: OktaApi, vendor: Vendor, finance: Finance) -> None:
    bob = person(okta, vendor)
    okta.join(finance.source_id, bob.user_id)
    okta.window_seconds, okta.limit = 3, 600
    okta.use_up_limits()
    vendor.change(finance.group, [bob.member])
    vendor.wait_for_hold(finance.group, bob.member, "membership_source_limited")
    vendor.read_until_granted(finance.group, finance.members | {bob.member})


def test_a_group_is_called_what_okta_calls_it(
    okta: OktaApi, vendor: Vendor, finance: Finance
) -> None:
    """Its id at Okta is pinned: who takes over the name does not take over the group."""
    ghost, new_name = person(okta, vendor), unique_name().display_name
    okta.rename(finance.source_id, new_name)
    okta.add_group(finance.name.display_name, [ghost.user_id])

    def name() -> str:
        entries = vendor.read().entries_of(finance.group)
        named = [e for e in entries if isinstance(e.entry.body, GroupNamed)]
        return GroupNamePart.from_bytes(named[-1].parts[PartKind.GROUP_NAME]).display_name

    wait_for(lambda: name() == new_name, 20, "the new name")
    vendor.change(finance.group, [ghost.member], name=finance.name)
    vendor.wait_for_hold(finance.group, ghost.member, "not_in_source_group")
    assert vendor.read().granted(finance.group) == finance.members


def test_two_groups_of_one_name_let_nobody_in(okta: OktaApi, vendor: Vendor) -> None:
    ada, group, name = person(okta, vendor), some_id(), unique_name()
    for _ in range(2):
        okta.add_group(name.display_name, [ada.user_id])
    vendor.change(group, [ada.member], name=name)
    vendor.wait_for_hold(group, ada.member, "group_ambiguous")


def test_a_group_that_is_made_later_is_found_by_itself(okta: OktaApi, vendor: Vendor) -> None:
    ada, group, name = person(okta, vendor), some_id(), unique_name()
    vendor.change(group, [ada.member], name=name)
    vendor.wait_for_hold(group, ada.member, "group_not_at_source")
    okta.add_group(name.display_name, [ada.user_id])
    vendor.read_until_granted(group, {ada.member})


def test_a_group_that_is_deleted_at_okta_takes_nobody_with_it(
    okta: OktaApi, vendor: Vendor, finance: Finance
) -> None:
    cem, kept = person(okta, vendor), okta.groups[finance.source_id]
    okta.delete_group(finance.source_id)
    vendor.change(finance.group, [cem.member])
    vendor.wait_for_hold(finance.group, cem.member, "group_not_at_source")
    assert vendor.read().granted(finance.group) == finance.members
    kept.members[cem.user_id] = None
    with okta.lock:
        okta.groups[finance.source_id] = kept
    vendor.read_until_granted(finance.group, finance.members | {cem.member})


def test_a_large_push_is_checked_by_reading_the_group(okta: OktaApi, vendor: Vendor) -> None:
    people, name, group = [person(okta, vendor) for _ in range(12)], unique_name(), some_id()
    source_id = okta.add_group(name.display_name, [p.user_id for p in people[1:]])
    asked = len(okta.requests)
    vendor.change(group, [p.member for p in people], name=name)
    vendor.read_until_granted(group, {p.member for p in people[1:]})
    paths = okta.paths()[asked:]
    assert f"/api/v1/groups/{source_id}/users" in paths
    assert not any(path.endswith(f"/users/{people[5].user_id}/groups") for path in paths)
    vendor.wait_for_hold(group, people[0].member, "not_in_source_group")
