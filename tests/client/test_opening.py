"""Opening a group: what is accepted, and every way in which an envelope can be another one (I3)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from groupseal.entries import Unknown
from groupseal.errors import (
    PartMismatchError,
    ProofError,
    ProtocolError,
    UpgradeNeededError,
    WrongContextError,
)
from member_client.errors import NotGrantedError, PlantedKeyError, UsageError
from tests.client.conftest import World
from tests.support.org_maker import Envelope, seal_envelope


def test_all_members_open_the_same_key(world: World) -> None:
    """Every member of a group, and nobody else, opens the secret that the service made."""
    ada, ben, outsider = world.member(), world.member(), world.member()
    group = world.group_of(ada, ben, name="Finance")
    for member in (ada, ben):
        opened = member.client.open(group.text_id)
        assert opened.keys.secret.reveal() == group.secrets[1]
        assert opened.group_public_key == group.public_key
        assert (opened.epoch, opened.name, opened.current) == (1, "Finance", True)
        assert group.secrets[1].hex() not in repr(opened)
    with pytest.raises(NotGrantedError) as refused:
        outsider.client.open(group.text_id)
    assert refused.value.reason == "not_granted"


def test_every_device_of_a_member_opens(world: World) -> None:
    ada = world.member()
    laptop = world.member(ada.id)
    group = world.group_of(ada)
    assert ada.client.open(group.text_id).epoch == laptop.client.open(group.text_id).epoch == 1


def test_someone_added_later_opens_the_same_epoch(world: World) -> None:
    ada, ben = world.member(), world.member()
    group = world.group_of(ada)
    world.org.add(group, joined=[ben.id])
    assert ben.client.open(group.text_id).group_public_key == group.public_key


def test_a_new_epoch_is_opened_after_a_removal(world: World) -> None:
    """The removed member has no grant in the new epoch; the others have."""
    ada, ben = world.member(), world.member()
    group = world.group_of(ada, ben)
    world.org.close_epoch(group, left=[ben.id])
    rotating = ada.client.open(group.text_id)
    assert (rotating.epoch, rotating.current) == (1, False)
    assert any("for reading only" in warning for warning in rotating.warnings)
    world.org.open_epoch(group)
    assert ada.client.open(group.text_id).epoch == 2
    assert all(member != ben.id for member, _, made in group.all_grants if made.epoch == 2)


def test_a_grant_that_rotates_between_two_answers_is_fetched_again(world: World) -> None:
    """A stale grant beside a newer ledger is a race at first: the client looks again."""
    ada = world.member()
    group = world.group_of(ada)
    old = dict(group.grants)
    world.org.open_epoch(group)
    answers = iter([old[(ada.id, ada.key_id)]])
    world.vendor.grant = lambda made: next(answers, made)
    assert ada.client.open(group.text_id).epoch == 2


def test_a_withheld_newest_grant_leaves_an_epoch_for_reading_only(world: World) -> None:
    """A vendor that keeps serving the old grant cannot make it look current."""
    ada = world.member()
    group = world.group_of(ada)
    world.vendor.grants = dict(group.grants)
    world.org.open_epoch(group)
    assert not ada.client.open(group.text_id).current


@pytest.mark.parametrize("difference", ["organisation", "group", "epoch", "member", "key_id"])
def test_an_envelope_of_another_context_stays_closed(world: World, difference: str) -> None:
    """Even where the organisation itself signed the grant: HPKE binds the whole context."""
    other = {"epoch": 7, "key_id": bytes(32)}.get(difference, uuid4().bytes)

    def moved(what: Envelope) -> bytes:
        changes: dict[str, Any] = {difference: other}
        return seal_envelope(replace(what, **changes))

    ada = world.member()
    world.org.seal = moved
    group = world.group_of(ada)
    with pytest.raises(WrongContextError, match="do not open"):
        ada.client.open(group.text_id)


def test_another_groups_grant_is_refused(world: World) -> None:
    """The named entry must reconcile this group."""
    ada = world.member()
    finance, sales = world.group_of(ada), world.group_of(ada)
    world.vendor.grants = sales.grants
    with pytest.raises(WrongContextError, match="grants nothing in this group"):
        ada.client.open(finance.text_id)


def test_another_epochs_number_is_refused(world: World) -> None:
    """The entry, not the vendor, says which epoch a grant is of."""
    ada = world.member()
    group = world.group_of(ada)
    world.vendor.grant = lambda made: replace(made, epoch=2)
    with pytest.raises(WrongContextError, match="in epoch 1, not in 2"):
        ada.client.open(group.text_id)


def test_another_members_grant_is_refused(world: World) -> None:
    """A proof for somebody else's envelope leads to another root."""
    ada, ben = world.member(), world.member()
    group = world.group_of(ada, ben)
    bens = group.grants[(ben.id, ben.key_id)]
    world.vendor.grants = {(ada.id, ada.key_id): bens}
    with pytest.raises(ProofError, match="another root"):
        ada.client.open(group.text_id)


def test_an_envelope_that_the_ledger_does_not_know_is_refused(world: World) -> None:
    """The vendor can seal to a member, but not get its envelope into the ledger."""
    ada = world.member()
    group = world.group_of(ada)
    key = world.org.keys[ada.key_id].hpke_public_key
    planted = Envelope(bytes(32), world.org.id, group.id, 1, ada.id, ada.key_id, key)
    world.vendor.grant = lambda made: replace(made, envelope=seal_envelope(planted))
    with pytest.raises(ProofError, match="another root"):
        ada.client.open(group.text_id)


def test_a_planted_group_key_is_refused(world: World) -> None:
    """A signed grant whose secret yields another public key than the epoch's is not accepted."""
    ada = world.member()
    world.org.seal = lambda what: seal_envelope(replace(what, secret=bytes(32)))
    group = world.group_of(ada)
    with pytest.raises(PlantedKeyError):
        ada.client.open(group.text_id)


def test_another_organisations_grant_is_refused(world: World, serve: Callable[[], World]) -> None:
    """A whole other organisation behind the same member API does not get past the pin."""
    ada = world.member()
    group = world.group_of(ada)
    ada.client.open(group.text_id)
    other = serve()
    world.vendor.ledger, world.vendor.head = other.org.entries, other.org.head()
    with pytest.raises(ProtocolError):
        ada.client.open(group.text_id)


def test_a_name_that_was_not_signed_is_refused(world: World) -> None:
    """The vendor cannot show a group under another group's name."""
    ada = world.member()
    group, other = world.group_of(ada, name="Finance"), world.group_of(ada, name="Lunch")
    world.vendor.name_part = other.name_part
    with pytest.raises(PartMismatchError, match="name"):
        ada.client.open(group.text_id)


def test_a_group_is_found_by_its_signed_name_only(world: World) -> None:
    """A name that only the vendor gives resolves to nothing."""
    ada = world.member()
    finance, lunch = world.group_of(ada, name="Finance"), world.group_of(ada, name="Lunch")
    world.vendor.names = {finance.id: "Finance", lunch.id: "Lunch"}
    assert ada.client.find_group("Finance") == finance.text_id
    world.vendor.names = {finance.id: "Lunch", lunch.id: "Finance"}
    with pytest.raises(WrongContextError, match="not named so"):
        ada.client.find_group("Finance")
    with pytest.raises(UsageError, match="none of your groups"):
        ada.client.find_group("Sales")


def test_an_old_head_is_said(world: World) -> None:
    """Opening with a head of two days ago warns; it does not refuse."""
    ada = world.member()
    group = world.group_of(ada)
    world.vendor.head = world.org.head()
    world.org.now_ms += 2 * 24 * 3600 * 1000
    (warning,) = ada.client.open(group.text_id).warnings
    assert "2 days old" in warning


def test_unknown_entries(world: World) -> None:
    """An uncritical entry of a later version is passed over, a critical one stops the client."""
    ada = world.member()
    world.org.append(Unknown(900, b"later"), critical=False)
    group = world.group_of(ada)
    assert ada.client.open(group.text_id).epoch == 1
    world.org.append(Unknown(900, b"later"), critical=True)
    with pytest.raises(UpgradeNeededError):
        ada.client.open(group.text_id)
