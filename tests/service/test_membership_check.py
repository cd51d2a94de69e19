"""The membership check: the identity provider itself says who is in a group, not the vendor."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from encryption_api import encryption_pb2 as pb
from groupseal.entries import EpochClosed, GroupNamed, GroupReconciled
from groupseal.identifiers import identifier_to_text
from groupseal.parts import GroupNamePart, PartKind
from groupseal.reasons import Reason
from tests.support.customer import Customer
from tests.support.okta_api import OktaApi
from tests.support.vendor import some_id
from tests.support.waiting import wait_for

SECONDS = 20.0


@pytest.fixture
def okta() -> Iterator[OktaApi]:
    with OktaApi() as api:
        yield api


@pytest.fixture
def customer(okta: OktaApi, tmp_path: Path) -> Iterator[Customer]:
    """Mode `pin`, so that what is tested is the check alone; `enforce`."""
    with Customer(tmp_path, okta=okta) as running:
        yield running


def team(okta: OktaApi, name: str, *users: str) -> str:
    """A group at Okta with new users in it."""
    group = okta.add_group(name)
    for user in users:
        okta.add_user(user)
        okta.join(group, user)
    return group


def test_a_member_whom_okta_does_not_know_in_the_group_is_never_granted(
    customer: Customer, okta: OktaApi
) -> None:
    """A ghost on the vendor's roster; the grant follows by itself when Okta says yes."""
    source = team(okta, "Finance", "ada")
    okta.add_user("ghost")
    ada, ghost = customer.enrol("ada"), customer.enrol("ghost")
    group = customer.group("Finance", ada.member, ghost.member)
    vendor = customer.vendor
    vendor.read_until_granted(group, {ada.member}, SECONDS)
    vendor.wait_for_hold(group, ghost.member, Reason.NOT_IN_SOURCE_GROUP)
    # He is on the roster, and no command makes him more.
    answer = vendor.read().change(group, [])
    assert answer.outcome == pb.OUTCOME_DONE
    assert vendor.read().granted(group) == {ada.member}
    okta.join(source, "ghost")
    vendor.read_until_granted(group, {ada.member, ghost.member}, SECONDS)
    assert vendor.holds() == {}


def test_the_first_answer_is_waited_for_and_asked_for_again(
    customer: Customer, okta: OktaApi
) -> None:
    """The worker hears to come back soon; nothing is granted unchecked meanwhile."""
    team(okta, "Finance", "ada")
    ada = customer.enrol("ada")
    group = some_id()
    answer = customer.vendor.change(group, [ada.member], name=pb.GroupName(display_name="Finance"))
    assert answer.outcome == pb.OUTCOME_DELAYED
    assert answer.reason == Reason.MEMBERSHIP_UNCHECKED
    assert 0 < answer.retry_after_ms <= 1000
    customer.vendor.read_until_granted(group, {ada.member}, SECONDS)


def test_one_who_left_at_okta_alone_is_rotated_out(customer: Customer, okta: OktaApi) -> None:
    """The vendor says nothing; the audit closes the epoch. Pushed again, he stays without a key."""
    source = team(okta, "Finance", "ada", "ben")
    ada, ben = customer.enrol("ada"), customer.enrol("ben")
    group = customer.group("Finance", ada.member, ben.member)
    vendor = customer.vendor
    vendor.read_until_granted(group, {ada.member, ben.member}, SECONDS)
    epoch = vendor.group(group).state.epoch
    okta.leave(source, "ben")
    vendor.read_until_granted(group, {ada.member}, SECONDS)
    assert vendor.group(group).state.epoch == epoch + 1
    assert ben.member not in vendor.group(group).roster
    vendor.change(group, [ben.member])
    vendor.wait_for_hold(group, ben.member, Reason.NOT_IN_SOURCE_GROUP)
    assert ben.member in vendor.read().group(group).roster
    assert vendor.granted(group) == {ada.member}


@pytest.mark.slow
def test_nobody_is_taken_off_because_okta_is_silent_or_the_group_is_gone(
    customer: Customer, okta: OktaApi
) -> None:
    """An audit that cannot be made proves nothing; additions wait, with a reason of their own."""
    source = team(okta, "Finance", "ada", "ben")
    ada, ben = customer.enrol("ada"), customer.enrol("ben")
    group = customer.group("Finance", ada.member)
    vendor = customer.vendor
    vendor.read_until_granted(group, {ada.member}, SECONDS)
    okta.api_tokens.clear()
    vendor.change(group, [ben.member])
    vendor.wait_for_hold(group, ben.member, Reason.MEMBERSHIP_SOURCE_UNAVAILABLE)
    okta.api_tokens.add(okta.api_token)
    vendor.read_until_granted(group, {ada.member, ben.member}, SECONDS)
    asked = len(okta.paths())
    okta.delete_group(source)
    wait_for(lambda: len(okta.paths()) > asked + 4, SECONDS, "further audits")
    assert vendor.read().granted(group) == {ada.member, ben.member}


@pytest.mark.parametrize("trouble", ["silent", "limited"])
@pytest.mark.slow
def test_a_removal_waits_for_no_answer(customer: Customer, okta: OktaApi, trouble: str) -> None:
    """Okta silent, or its limits used up: the epoch is closed at once and the next one opens."""
    team(okta, "Finance", "ada", "ben", "eve")
    ada, ben, eve = (customer.enrol(name) for name in ("ada", "ben", "eve"))
    group = customer.group("Finance", ada.member, ben.member)
    vendor = customer.vendor
    vendor.read_until_granted(group, {ada.member, ben.member}, SECONDS)
    if trouble == "silent":
        okta.silent = True
    else:
        okta.use_up_limits()
    started = time.monotonic()
    vendor.change(group, [eve.member], [ben.member])
    vendor.read_until_granted(group, {ada.member}, 5)
    assert time.monotonic() - started < 5
    assert vendor.group(group).state.epoch == 2
    expected = {
        "silent": Reason.MEMBERSHIP_SOURCE_UNAVAILABLE,
        "limited": Reason.MEMBERSHIP_SOURCE_LIMITED,
    }[trouble]
    vendor.wait_for_hold(group, eve.member, expected)
    if trouble == "limited":
        okta.refill_limits()


def test_the_group_is_found_by_name_once_and_pinned_by_id(
    customer: Customer, okta: OktaApi
) -> None:
    """Renamed at Okta, the ledger follows; renamed by the vendor, it does not."""
    source = team(okta, "Finance", "ada")
    ada = customer.enrol("ada")
    group = customer.group("Finance", ada.member)
    vendor = customer.vendor
    vendor.read_until_granted(group, {ada.member}, SECONDS)

    def names() -> list[tuple[str, str]]:
        parts = [
            GroupNamePart.from_bytes(e.parts[PartKind.GROUP_NAME])
            for e in vendor.read().entries_of(group)
            if isinstance(e.entry.body, GroupNamed)
        ]
        return [(p.display_name, p.identity_provider_group_id) for p in parts]

    assert names() == [("Finance", source)]
    vendor.change(group, [], name=pb.GroupName(display_name="Lunch"))
    okta.rename(source, "Treasury")
    wait_for(lambda: len(names()) > 1, SECONDS, "the new name")
    assert names() == [("Finance", source), ("Treasury", source)]


def test_a_name_that_several_groups_have_waits_for_a_person(
    customer: Customer, okta: OktaApi
) -> None:
    """`groups map` says which one it is."""
    source = team(okta, "Finance", "ada")
    okta.add_group("Finance")
    ada = customer.enrol("ada")
    group = customer.group("Finance", ada.member)
    vendor = customer.vendor
    vendor.wait_for_hold(group, ada.member, Reason.GROUP_AMBIGUOUS)
    groups = json.loads(customer.service.run("groups", "list", "--json").stdout)
    text = json.dumps(groups)
    assert Reason.GROUP_AMBIGUOUS in text
    customer.service.run("groups", "map", identifier_to_text(group), source)
    vendor.read_until_granted(group, {ada.member}, SECONDS)


def test_a_group_that_is_mapped_to_another_one_says_so_in_the_ledger(
    customer: Customer, okta: OktaApi
) -> None:
    """Also where both have the same name; who is in the one and not in the other is rotated out."""
    first = team(okta, "Finance", "ada", "ben")
    ada, ben = customer.enrol("ada"), customer.enrol("ben")
    group = customer.group("Finance", ada.member, ben.member)
    vendor = customer.vendor
    vendor.read_until_granted(group, {ada.member, ben.member}, SECONDS)
    second = okta.add_group("Finance", ["ada"])
    customer.service.run("groups", "map", identifier_to_text(group), second)

    def ids() -> list[str]:
        return [
            GroupNamePart.from_bytes(e.parts[PartKind.GROUP_NAME]).identity_provider_group_id
            for e in vendor.read().entries_of(group)
            if isinstance(e.entry.body, GroupNamed)
        ]

    wait_for(lambda: ids() == [first, second], SECONDS, "the entry about the other group")
    vendor.read_until_granted(group, {ada.member}, SECONDS)


def test_a_group_that_is_created_at_okta_later_is_found_by_itself(
    customer: Customer, okta: OktaApi
) -> None:
    okta.add_user("ada")
    ada = customer.enrol("ada")
    group = customer.group("Finance", ada.member)
    customer.vendor.wait_for_hold(group, ada.member, Reason.GROUP_NOT_AT_SOURCE)
    source = okta.add_group("Finance")
    okta.join(source, "ada")
    customer.vendor.read_until_granted(group, {ada.member}, SECONDS)


@pytest.mark.slow
def test_two_groups_of_the_vendor_are_never_one_at_okta(customer: Customer, okta: OktaApi) -> None:
    """A second group under a known name gets nobody in while the first has members."""
    source = team(okta, "Finance", "ada")
    ada = customer.enrol("ada")
    first = customer.group("Finance", ada.member)
    vendor = customer.vendor
    vendor.read_until_granted(first, {ada.member}, SECONDS)
    second = customer.group("Finance", ada.member)
    vendor.wait_for_hold(second, ada.member, Reason.GROUP_AMBIGUOUS)
    # Waiting costs a look-up now and then, not the limits of the customer's identity provider.
    asked, until = len(okta.paths()), time.monotonic() + 3
    wait_for(lambda: time.monotonic() > until, SECONDS, "three seconds")
    assert len(okta.paths()) - asked < 30
    # A person's word does not make two of one either.
    mapped = customer.service.run("groups", "map", identifier_to_text(second), source, check=False)
    assert mapped.returncode == 1
    assert "another group" in mapped.stdout + mapped.stderr
    # Once nobody is in the first, the second stands for it.
    vendor.read().change(first, removed=[ada.member])
    vendor.read_until_granted(second, {ada.member}, SECONDS)


def test_observe_grants_and_takes_nobody_off(okta: OktaApi, tmp_path: Path) -> None:
    """It says what differs, in the log and the metrics, and pins the group's name."""
    team(okta, "Finance", "ada")
    okta.add_user("ghost")
    with Customer(tmp_path, okta=okta, check="observe") as customer:
        ada, ghost = customer.enrol("ada"), customer.enrol("ghost")
        group = customer.group("Finance", ada.member, ghost.member)
        vendor = customer.vendor
        vendor.read_until_granted(group, {ada.member, ghost.member}, SECONDS)
        wait_for(lambda: "audit_finding" in customer.service.log, SECONDS, "the finding")
        assert vendor.read().granted(group) == {ada.member, ghost.member}


def test_a_large_group_is_checked_by_its_list(okta: OktaApi, tmp_path: Path) -> None:
    """A few requests for many members, not one each; all at once in one command."""
    okta.page = 100
    with Customer(
        tmp_path, okta=okta, environment={"GROUPSEAL_SERVICE_MEMBERSHIP_CACHE_SECONDS": "60"}
    ) as customer:
        names = [f"user{number:03}" for number in range(150)]
        source = team(okta, "Everybody", *names)
        okta.leave(source, "user149")
        vendor = customer.vendor
        devices = [customer.device() for _ in names]
        bindings = [d.binding(external_id=name) for d, name in zip(devices, names, strict=True)]
        vendor.bind(*bindings)
        group = customer.group("Everybody", *(d.member for d in devices))
        vendor.read_until_granted(group, {d.member for d in devices[:149]}, SECONDS)
        vendor.wait_for_hold(group, devices[149].member, Reason.NOT_IN_SOURCE_GROUP)
        assert len(okta.paths()) < 30


def test_the_credential_is_written_nowhere(customer: Customer, okta: OktaApi) -> None:
    team(okta, "Finance", "ada")
    ada = customer.enrol("ada")
    group = customer.group("Finance", ada.member)
    customer.vendor.read_until_granted(group, {ada.member}, SECONDS)
    assert okta.api_token not in customer.service.log
    for file in customer.service.data_dir.iterdir():
        if file.is_file():
            assert okta.api_token.encode() not in file.read_bytes()


def test_a_large_group_loses_one_at_okta_in_an_entry_of_its_own(
    okta: OktaApi, tmp_path: Path
) -> None:
    """More than fit into one small step: the epoch closes first."""
    okta.page = 100
    with Customer(tmp_path, okta=okta) as customer:
        names = [f"user{number:02}" for number in range(70)]
        source = team(okta, "Everybody", *names)
        vendor = customer.vendor
        devices = [customer.device() for _ in names]
        vendor.bind(*(d.binding(external_id=name) for d, name in zip(devices, names, strict=True)))
        group = customer.group("Everybody", *(d.member for d in devices))
        vendor.read_until_granted(group, {d.member for d in devices}, SECONDS)
        okta.leave(source, "user00")
        vendor.read_until_granted(group, {d.member for d in devices[1:]}, SECONDS)
        bodies = [e.entry.body for e in vendor.entries_of(group)]
        closed = [body for body in bodies if isinstance(body, EpochClosed)]
        assert [body.left for body in closed] == [(devices[0].member,)]
        opened = [b for b in bodies if isinstance(b, GroupReconciled) and b.opens]
        assert [body.epoch for body in opened] == [1, 2]
