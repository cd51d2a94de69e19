"""The organisation as its ledger describes it."""

from dataclasses import replace

import pytest

from groupseal.entries import Entry, GroupReconciled, KeyRefused, Unknown
from groupseal.errors import LedgerRuleError
from groupseal.grants import Grant, encode_grants, grants_root
from groupseal.ledger import LedgerVerifier, next_roster_digest
from groupseal.merkle import EMPTY_ROOT, CompactRange
from groupseal.parts import PartKind
from groupseal.projection import Projection
from member_client.key_file import DeviceKeys, Identity
from tests.support.org_maker import OrgMaker

ADA, BEN, CLEO = b"a" * 16, b"b" * 16, b"c" * 16


def project(org: OrgMaker, with_parts: bool = True) -> Projection:
    projection = Projection()
    verifier = LedgerVerifier(org.id, org.public_key, CompactRange(), projection.group_state)
    for data, parts in zip(org.entries, org.parts, strict=True):
        projection.apply(verifier.add(data, parts if with_parts else None))
    return projection


def bind(org: OrgMaker, member: bytes) -> bytes:
    keys = DeviceKeys.make()
    request = Identity(org.id, member, keys).binding_request()
    org.bind(request, keys.sign(request.message()))
    return keys.key_id


def test_a_group_through_its_life() -> None:
    """Joined, granted, left, rotated, joined again: everything is where a client looks for it."""
    org = OrgMaker()
    keys = {member: bind(org, member) for member in (ADA, BEN)}
    group = org.group("Finance")
    org.open_epoch(group, joined=[ADA, BEN, CLEO])
    org.close_epoch(group, left=[BEN])
    org.open_epoch(group)
    view = project(org).groups[group.id]
    assert view.roster == {ADA, CLEO}
    assert view.left == {BEN: 1}
    assert set(view.epochs) == {1, 2}
    assert set(view.history_links) == {2}
    assert set(view.grants) == {(ADA, keys[ADA])}
    assert [batch.epoch for batch in view.batches.values()] == [1, 2]
    assert (view.state.epoch, view.state.is_open, view.state.last_position) == (2, True, group.last)

    org.add(group, joined=[BEN])
    view = project(org).groups[group.id]
    assert view.left == {}
    assert view.grants[(BEN, keys[BEN])][1] == 2


def test_without_parts_everything_but_the_grants_is_known() -> None:
    """A client is given no other members' grants; the batches' roots are enough for its own."""
    org = OrgMaker()
    bind(org, ADA)
    group = org.group()
    org.open_epoch(group, joined=[ADA])
    full, lean = project(org), project(org, with_parts=False)
    assert lean.groups[group.id].grants == {}
    assert lean.groups[group.id].batches == full.groups[group.id].batches
    assert lean.keys == full.keys


def test_keys_bound_refused_and_unbound() -> None:
    org = OrgMaker()
    first, second = bind(org, ADA), bind(org, ADA)
    org.append(KeyRefused(BEN, bytes(32), "another_key_is_bound"))
    org.unbind(first)
    org.append(Unknown(900, b""), critical=False)
    projection = project(org)
    assert [key.key_id for key in projection.keys_of(ADA)] == [second]
    assert list(projection.former_keys) == [first]
    assert list(projection.refused) == [bytes(32)]
    assert projection.created is not None


def last_batch_with(org: OrgMaker, grants: list[Grant]) -> None:
    """Replaces the last entry's batch by another, properly committed to."""
    entry = Entry.from_bytes(org.entries[-1])
    assert isinstance(entry.body, GroupReconciled)
    encoded = encode_grants(grants)
    body = replace(entry.body, grants_root=grants_root(encoded), grants_count=len(grants))
    org.entries[-1] = replace(entry, body=body).to_bytes()
    org.parts[-1][PartKind.GRANTS] = encoded


def test_grants_to_strangers_are_refused() -> None:
    """To a key that is not bound, to another's key, to someone off the roster (I4)."""
    org = OrgMaker()
    adas, bens = bind(org, ADA), bind(org, BEN)
    org.open_epoch(org.group(), joined=[ADA])
    for grant in (Grant(ADA, bytes(32), bytes(32)), Grant(ADA, bens, bytes(32))):
        last_batch_with(org, [grant])
        with pytest.raises(LedgerRuleError, match="may not hold"):
            project(org)
    last_batch_with(org, [Grant(BEN, bens, bytes(32))])
    with pytest.raises(LedgerRuleError, match="may not hold"):
        project(org)
    last_batch_with(org, [Grant(ADA, adas, bytes(32))])
    project(org)


def test_an_epoch_is_not_kept_when_someone_leaves_who_holds_it() -> None:
    """I5: whoever was granted and leaves takes the epoch along."""
    org = OrgMaker()
    bind(org, ADA)
    org.open_epoch(org.group(), joined=[ADA, BEN])
    before = Entry.from_bytes(org.entries[-1]).body
    assert isinstance(before, GroupReconciled)
    for leaver, fine in ((BEN, True), (ADA, False)):
        kept = replace(
            before,
            base=len(org.entries) - 1,
            opens=False,
            joined=(),
            left=(leaver,),
            roster_digest=next_roster_digest(before.roster_digest, (), (leaver,)),
            grants_root=EMPTY_ROOT,
            grants_count=0,
            sealed_secret_digest=None,
            history_link_digest=None,
        )
        org.append(kept)
        if fine:
            project(org)
        else:
            with pytest.raises(LedgerRuleError, match="a leaver holds"):
                project(org)
        del org.entries[-1], org.parts[-1]


def test_a_key_is_bound_once_and_unbound_only_after() -> None:
    org = OrgMaker()
    key_id = bind(org, ADA)
    request = org.keys[key_id]
    bound = Entry.from_bytes(org.entries[-1]).body
    again = OrgMaker.append
    again(org, bound)
    with pytest.raises(LedgerRuleError, match="bound already"):
        project(org)
    del org.entries[-1], org.parts[-1]
    org.unbind(key_id)
    org.keys[key_id] = request
    org.unbind(key_id)
    with pytest.raises(LedgerRuleError, match="not bound"):
        project(org)


@pytest.mark.parametrize(("joined", "left"), [([ADA], []), ([], [BEN])])
def test_a_change_must_fit_the_roster(joined: list[bytes], left: list[bytes]) -> None:
    """Nobody joins who is in, or leaves who is out."""
    org = OrgMaker()
    group = org.group()
    org.open_epoch(group, joined=[ADA])
    org.open_epoch(group, joined=joined, left=left)
    with pytest.raises(LedgerRuleError, match="does not fit the roster"):
        project(org)
