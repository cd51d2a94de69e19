"""History, and items that are shared to a group: who may write, what a reader believes."""

from dataclasses import replace
from typing import Any

import pytest

from groupseal.errors import (
    EpochClosedError,
    FormerMemberError,
    MalformedError,
    PartMismatchError,
    SenderError,
    SignatureError,
    StaleHeadError,
    WrongContextError,
)
from groupseal.identifiers import identifier_to_text
from groupseal.shared_items import SharedItem
from member_client.errors import NotGrantedError, PlantedKeyError
from member_client.home import Home
from member_client.key_file import DeviceKeys, load_keys
from tests.client.conftest import Member, World
from tests.support.member_server import StoredItem
from tests.support.org_maker import MadeGroup

DAY_MS = 24 * 3600 * 1000


def tampered(world: World, signer: Member, **changes: Any) -> None:
    """Changes the last item and has somebody sign it again."""
    stored = world.vendor.items[-1]
    item = replace(SharedItem.from_bytes(stored.data), **changes)
    signature = load_keys(Home(signer.home)).sign(item.message())
    stored.data = replace(item, signature=signature).to_bytes()


def only_refusal(member: Member, group: MadeGroup) -> Exception:
    (item,) = member.client.read(group.text_id)
    assert item.content is None
    assert item.refused is not None
    return item.refused


def test_what_one_member_shares_the_others_read(world: World) -> None:
    ada, ben = world.member(), world.member()
    group = world.group_of(ada, ben)
    shared = ada.client.share(group.text_id, b"the door code")
    (item,) = ben.client.read(group.text_id)
    assert item.content == b"the door code"
    assert (item.item_id, item.epoch) == (shared.item_id, 1)
    assert item.sender_id == identifier_to_text(ada.id)
    assert b"door code" not in world.vendor.items[0].data
    assert "door code" not in repr(item)


def test_items_of_older_epochs_are_read_through_history(world: World) -> None:
    """A newcomer of epoch 3 reads what was shared in 1 and 2; nobody reads forward."""
    ada = world.member()
    group = world.group_of(ada)
    for number in (1, 2, 3):
        ada.client.share(group.text_id, b"item %d" % number)
        if number < 3:
            world.org.open_epoch(group)
    ben = world.member()
    world.org.add(group, joined=[ben.id])
    read = ben.client.read(group.text_id)
    assert [(item.epoch, item.content) for item in read] == [
        (1, b"item 1"),
        (2, b"item 2"),
        (3, b"item 3"),
    ]
    keys = ben.client.history(group.text_id)
    assert {epoch: each.secret.reveal() for epoch, each in keys.items()} == group.secrets


def test_a_history_link_of_another_epoch_is_refused(world: World) -> None:
    """The ledger commits to each link."""
    ada = world.member()
    group = world.group_of(ada)
    world.org.open_epoch(group)
    world.org.open_epoch(group)
    world.vendor.links = {3: group.links[2], 2: group.links[2]}
    with pytest.raises(PartMismatchError, match="not the ledger's"):
        ada.client.history(group.text_id)
    world.vendor.links = {2: group.links[2]}
    with pytest.raises(PartMismatchError, match="holds back"):
        ada.client.history(group.text_id)


def test_a_planted_history_is_refused(world: World) -> None:
    """A signed link to another secret does not yield the older epoch's public key."""
    ada = world.member()
    group = world.group_of(ada)
    group.secrets[1] = bytes(32)
    world.org.open_epoch(group)
    with pytest.raises(PlantedKeyError):
        ada.client.history(group.text_id)


def test_an_item_by_nobody_is_refused(world: World) -> None:
    """A key that the ledger does not bind signs for nobody."""
    ada = world.member()
    group = world.group_of(ada)
    ada.client.share(group.text_id, b"real")
    stranger = DeviceKeys.make()
    item = SharedItem.from_bytes(world.vendor.items[0].data)
    item = replace(item, sender_key_id=stranger.key_id)
    item = replace(item, signature=stranger.sign(item.message()))
    world.vendor.items[0].data = item.to_bytes()
    assert isinstance(only_refusal(ada, group), SenderError)


def test_an_item_in_anothers_name_is_refused(world: World) -> None:
    """A bound key signs for its own member only, and only with its own signature."""
    ada, ben = world.member(), world.member()
    group = world.group_of(ada, ben)
    ben.client.share(group.text_id, b"as ben")
    tampered(world, ben, sender=ada.id)
    assert isinstance(only_refusal(ada, group), SenderError)
    tampered(world, ada, sender=ben.id)
    assert isinstance(only_refusal(ada, group), SignatureError)


def test_a_changed_item_is_refused(world: World) -> None:
    ada = world.member()
    group = world.group_of(ada)
    ada.client.share(group.text_id, b"real")
    stored = world.vendor.items[0]
    item = SharedItem.from_bytes(stored.data)
    stored.data = replace(item, ciphertext=item.ciphertext[:-1] + b"\x00").to_bytes()
    assert isinstance(only_refusal(ada, group), SignatureError)
    stored.data = b"nothing"
    assert isinstance(only_refusal(ada, group), MalformedError)


def test_an_item_by_a_former_member_is_refused(world: World) -> None:
    """Who left the group writes nothing into a later epoch; what was written before stays."""
    ada, ben = world.member(), world.member()
    group = world.group_of(ada, ben)
    ben.client.share(group.text_id, b"before leaving")
    world.org.close_epoch(group, left=[ben.id])
    world.org.open_epoch(group)
    # The client itself does not stop a former member: anyone may share *to* a group.
    ben.client.share(group.text_id, b"after leaving")
    before, after = ada.client.read(group.text_id)
    assert before.content == b"before leaving"
    assert isinstance(after.refused, FormerMemberError)


def test_an_item_of_a_removed_device_is_read_up_to_its_removal(world: World) -> None:
    """An unbound key vouches for its own time only."""
    ada, ben = world.member(), world.member()
    group = world.group_of(ada, ben)
    ben.client.share(group.text_id, b"before")
    world.org.unbind(ben.key_id)
    world.org.open_epoch(group)
    item = SharedItem.from_bytes(world.vendor.items[0].data)
    world.vendor.items.append(StoredItem("late", group.id, item.to_bytes()))
    tampered(world, ben, epoch=2, group_public_key=group.public_key)
    before, late = ada.client.read(group.text_id)
    assert before.content == b"before"
    assert isinstance(late.refused, SenderError)


def test_an_item_aimed_at_another_group_is_refused(world: World) -> None:
    """The vendor cannot move an item from one group to another."""
    ada = world.member()
    finance, sales = world.group_of(ada), world.group_of(ada)
    ada.client.share(sales.text_id, b"for sales")
    world.vendor.items[0].group = finance.id
    assert isinstance(only_refusal(ada, finance), WrongContextError)


@pytest.mark.parametrize(
    "change",
    [
        {"group_public_key": bytes(1216)},
        {"epoch": 2},
        {"epoch": 0},
        {"organisation": bytes(16)},
        {"ciphertext": b"short"},
    ],
    ids=["key", "later epoch", "epoch 0", "organisation", "ciphertext"],
)
def test_an_item_whose_context_does_not_fit_is_refused(
    world: World, change: dict[str, Any]
) -> None:
    """Also where a bound member signed it so."""
    ada = world.member()
    group = world.group_of(ada)
    ada.client.share(group.text_id, b"real")
    tampered(world, ada, **change)
    assert isinstance(only_refusal(ada, group), WrongContextError | MalformedError)


def test_a_refused_item_does_not_hide_the_others(world: World) -> None:
    ada = world.member()
    group = world.group_of(ada)
    ada.client.share(group.text_id, b"one")
    world.vendor.items[0].data = b"broken"
    ada.client.share(group.text_id, b"two")
    broken, two = ada.client.read(group.text_id)
    assert broken.refused is not None
    assert two.content == b"two"


def test_nothing_is_written_to_a_closed_epoch(world: World) -> None:
    """From the closing entry on, by the ledger alone."""
    ada, ben = world.member(), world.member()
    group = world.group_of(ada, ben)
    world.org.close_epoch(group, left=[ben.id])
    with pytest.raises(EpochClosedError, match="wait for the next one"):
        ada.client.share(group.text_id, b"too early")
    assert world.vendor.items == []


def test_an_epoch_that_closes_meanwhile_is_looked_at_again(world: World) -> None:
    """The server knows of the closing first; the client seals anew for the next epoch."""
    ada = world.member()
    group = world.group_of(ada)
    world.vendor.refuse_items_once = "epoch_closed"
    assert ada.client.share(group.text_id, b"at last").epoch == 1


def test_a_stale_head_warns_and_then_refuses_to_write(world: World) -> None:
    """Two days warn, more than thirty refuse: somebody may have been removed since."""
    ada = world.member()
    group = world.group_of(ada)
    world.vendor.head = world.org.head()
    world.org.now_ms += 2 * DAY_MS
    assert "2 days old" in ada.client.share(group.text_id, b"late").warnings[0]
    world.org.now_ms += 29 * DAY_MS
    with pytest.raises(StaleHeadError):
        ada.client.share(group.text_id, b"too late")


def test_a_group_without_a_key_yet_is_not_written_to(world: World) -> None:
    ada = world.member()
    with pytest.raises(NotGrantedError):
        ada.client.share(world.org.group("Finance").text_id, b"early")
