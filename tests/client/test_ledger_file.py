"""The client's copy of the ledger: what it takes in, what it refuses, what outlives a crash."""

from collections.abc import Callable

import pytest

from groupseal.checkpoint import Head
from groupseal.entries import KeyRefused
from groupseal.errors import (
    LedgerForkError,
    LedgerOrderError,
    LedgerRuleError,
    LedgerShrunkError,
    SignatureError,
    WrongOrganisationError,
)
from groupseal.merkle import CompactRange, leaf_hash
from member_client.errors import HomeError
from member_client.ledger_file import ENTRIES_FILE, HEAD_FILE
from tests.client.conftest import Member, World
from tests.support.org_maker import OrgMaker


@pytest.fixture
def ada(world: World) -> Member:
    member = world.member()
    for _ in range(5):
        world.group_of(member, name="Finance")
    member.client.sync()
    return member


def refused_entry(number: int) -> KeyRefused:
    return KeyRefused(number.to_bytes(16, "big"), bytes(32), "no_key")


def test_the_copy_is_read_back_and_continued(world: World, ada: Member) -> None:
    """A new process starts from the files and asks only for what came since."""
    world.org.append(refused_entry(1))
    again = world.client(ada.home)
    assert again.sync().size == len(world.org.entries)
    assert again.ledger.range.root == world.org.root()


def test_two_processes_read_on_in_turn(world: World, ada: Member) -> None:
    """Either takes over what the other stored, and writes nothing twice."""
    other = world.client(ada.home)
    for client in (other, ada.client, other):
        world.org.append(refused_entry(1))
        client.sync()
    assert world.client(ada.home).ledger.range.root == world.org.root()


def test_a_shorter_ledger_than_seen_is_refused(world: World, ada: Member) -> None:
    """Even with a signed head: the client remembers."""
    world.vendor.ledger = world.org.entries[:-1]
    with pytest.raises(LedgerShrunkError):
        ada.client.sync()
    with pytest.raises(LedgerShrunkError):
        world.client(ada.home).sync()


def test_no_ledger_at_all_is_refused_after_there_was_one(world: World, ada: Member) -> None:
    world.vendor.ledger, world.vendor.head = [], ""
    with pytest.raises(LedgerShrunkError):
        ada.client.sync()


def test_a_fork_is_refused(world: World, ada: Member) -> None:
    """Another history of the same or a greater length, signed by the right key."""
    size = len(world.org.entries)
    forked = OrgMaker(world.org.now_ms)
    forked.id, forked.signing_key, forked.public_key = (
        world.org.id,
        world.org.signing_key,
        world.org.public_key,
    )
    forked.entries = [*world.org.entries[: size - 1]]
    forked.append(refused_entry(7))
    world.vendor.ledger, world.vendor.head = forked.entries, forked.head()
    with pytest.raises(LedgerForkError):
        ada.client.sync()
    forked.append(refused_entry(8))
    world.vendor.head = forked.head()
    with pytest.raises(LedgerForkError):
        ada.client.sync()


def test_a_head_under_another_key_is_refused(world: World, ada: Member) -> None:
    other = OrgMaker()
    other.id, other.entries = world.org.id, world.org.entries
    world.vendor.head = other.head()
    with pytest.raises(SignatureError, match="another key than the pinned"):
        ada.client.sync()


def test_a_head_whose_text_was_changed_is_refused(world: World, ada: Member) -> None:
    """A later time would make a stale ledger look fresh."""
    head = world.org.head()
    time = f"time {world.org.now_ms}"
    world.vendor.head = head.replace(time, f"time {world.org.now_ms + 1}")
    assert world.vendor.head != head
    with pytest.raises(SignatureError, match="does not verify"):
        ada.client.sync()


def test_another_organisations_head_is_refused(world: World, ada: Member) -> None:
    world.vendor.head = OrgMaker().head()
    with pytest.raises(WrongOrganisationError):
        ada.client.sync()


def test_a_changed_entry_is_refused(world: World) -> None:
    """One other byte in an entry leads to another root than the signed one."""
    ada = world.member()
    position = world.org.append(refused_entry(1))
    head = world.org.head()
    changed = world.org.entries[position].replace(b"no_key", b"no-key")
    world.vendor.ledger, world.vendor.head = [*world.org.entries[:-1], changed], head
    with pytest.raises(LedgerForkError):
        ada.client.sync()


def test_an_entry_that_was_left_out_is_refused(world: World) -> None:
    ada = world.member()
    for number in range(5):
        world.org.append(refused_entry(number))
    head = world.org.head()
    world.vendor.ledger, world.vendor.head = [*world.org.entries[:2], *world.org.entries[3:]], head
    with pytest.raises(LedgerOrderError, match="entry 2 must come next"):
        ada.client.sync()


def test_reordered_entries_are_refused(world: World) -> None:
    ada = world.member()
    for number in range(4):
        world.org.append(refused_entry(number))
    ledger = list(world.org.entries)
    ledger[2], ledger[3] = ledger[3], ledger[2]
    world.vendor.ledger, world.vendor.head = ledger, world.org.head()
    with pytest.raises(LedgerOrderError):
        ada.client.sync()


def test_entries_that_no_head_covers_are_refused(world: World, ada: Member) -> None:
    """An entry that the organisation has not signed for is not believed, and not kept."""
    head, size = world.org.head(), len(world.org.entries)
    world.org.append(refused_entry(1))
    world.vendor.head = head
    with pytest.raises(LedgerShrunkError):
        ada.client.sync()
    assert ada.client.ledger.range.size == size


def test_a_head_over_more_than_was_given_is_refused(world: World, ada: Member) -> None:
    """The vendor cannot hide the newest entries behind a head that covers them."""
    world.org.append(refused_entry(1))
    world.vendor.ledger, world.vendor.head = world.org.entries[:-1], world.org.head()
    with pytest.raises(LedgerOrderError, match="only"):
        ada.client.sync()


def test_a_rule_that_is_broken_stops_the_client(world: World, ada: Member) -> None:
    """A ledger that contradicts itself is refused although its head is signed."""
    group = next(iter(world.org.groups.values()))
    group.last = 0
    world.org.close_epoch(group, left=[ada.id])
    with pytest.raises(LedgerRuleError):
        ada.client.sync()


def test_nothing_is_stored_before_it_verified(world: World, ada: Member) -> None:
    """After a refusal the files and the memory are as before, and honest entries go on."""
    before = {name: (ada.home / name).read_bytes() for name in (ENTRIES_FILE, HEAD_FILE)}
    world.org.append(refused_entry(1))
    world.vendor.head = OrgMaker().head()
    with pytest.raises(WrongOrganisationError):
        ada.client.sync()
    assert {name: (ada.home / name).read_bytes() for name in before} == before
    world.vendor.head = None
    assert ada.client.sync().size == len(world.org.entries)


def test_an_interrupted_write_is_written_again(world: World, ada: Member) -> None:
    """Entries behind the last head, whole or cut, are overwritten by what verifies."""
    path = ada.home / ENTRIES_FILE
    for left in (b"\x00\x00\x00\x05hello", b"\x00\x00\x01\x00cut", b"\x00"):
        path.write_bytes(path.read_bytes() + left)
        world.org.append(refused_entry(1))
        client = world.client(ada.home)
        client.sync()
        assert world.client(ada.home).ledger.range.root == world.org.root()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:-2] + b"xx",
        lambda data: data[:0],
        lambda data: b"\xff" + data[1:],
    ],
    ids=["cut", "changed", "empty", "length"],
)
def test_damaged_files_are_refused(
    world: World, ada: Member, damage: Callable[[bytes], bytes]
) -> None:
    """A copy that no longer matches its own head is not repaired silently: it is the memory."""
    path = ada.home / ENTRIES_FILE
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(HomeError, match="does not match"):
        world.client(ada.home).sync()


def test_an_older_head_over_the_same_entries_is_not_kept(world: World, ada: Member) -> None:
    """The age of what the client knows does not grow by a replayed head."""
    world.org.now_ms += 1000
    newest = ada.client.sync().time_ms
    world.vendor.head = world.org.sign(
        Head(world.org.id, len(world.org.entries), world.org.root(), newest - 500)
    )
    assert ada.client.sync().time_ms == newest


def test_the_copy_is_the_rfc_9162_tree(world: World, ada: Member) -> None:
    past = CompactRange()
    for data in world.org.entries:
        past = past.append(leaf_hash(data))
    assert ada.client.ledger.range == past
