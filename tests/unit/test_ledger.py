"""The rules by which an entry may follow those before it, each with the attack it stops."""

from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest

from groupseal.bindings import BindingRequest
from groupseal.checkpoint import Head
from groupseal.entries import (
    Body,
    Entry,
    EpochClosed,
    GroupNamed,
    GroupReconciled,
    KeyBound,
    KeyKind,
    KeyRotated,
    PolicyChanged,
    TrustMode,
    Unknown,
)
from groupseal.errors import (
    LedgerForkError,
    LedgerOrderError,
    LedgerRuleError,
    LedgerShrunkError,
    PartMismatchError,
    ProtocolError,
    SignatureError,
    UpgradeNeededError,
    WrongOrganisationError,
)
from groupseal.ledger import (
    EMPTY_ROSTER_DIGEST,
    GroupState,
    LedgerVerifier,
    is_group_entry,
    next_group_state,
    next_roster_digest,
)
from groupseal.merkle import EMPTY_ROOT, CompactRange
from groupseal.parts import PartKind
from groupseal.suites import Suite
from member_client.key_file import DeviceKeys, Identity
from tests.support.org_maker import OrgMaker

GROUP, KEY, OTHER_KEY = bytes(16), b"k" * 1216, b"o" * 1216
ADA, BEN = b"a" * 16, b"b" * 16
ROSTER = next_roster_digest(EMPTY_ROSTER_DIGEST, (ADA,), ())
OPEN = GroupState(5, epoch=1, is_open=True, public_key=KEY, roster_digest=ROSTER)
CLOSED = replace(OPEN, is_open=False)
HASH = bytes(32)
NO_GROUPS = dict[bytes, GroupState]().get
GRANTS = GroupReconciled(GROUP, 5, 1, False, KEY, (), (), ROSTER, EMPTY_ROOT, 0)
OPENS = GroupReconciled(GROUP, 5, 2, True, OTHER_KEY, (), (), ROSTER, EMPTY_ROOT, 0, HASH, HASH)
FIRST = GroupReconciled(GROUP, None, 1, True, KEY, (ADA,), (), ROSTER, EMPTY_ROOT, 0, HASH, None)
LEAVES = next_roster_digest(ROSTER, (), (ADA,))
CLOSES = EpochClosed(GROUP, 5, 1, (), (ADA,), LEAVES)


def verifier_of(org: OrgMaker) -> LedgerVerifier:
    return LedgerVerifier(org.id, org.public_key, CompactRange(), NO_GROUPS)


def verify_all(org: OrgMaker, with_parts: bool = True) -> LedgerVerifier:
    verifier = verifier_of(org)
    for data, parts in zip(org.entries, org.parts, strict=True):
        verifier.add(data, parts if with_parts else None)
    return verifier


def bind(org: OrgMaker, member: bytes) -> DeviceKeys:
    keys = DeviceKeys.make()
    request = Identity(org.id, member, keys).binding_request()
    org.bind(request, keys.sign(request.message()))
    return keys


@pytest.fixture
def org() -> OrgMaker:
    """An organisation with two members, and a group that went through a removal."""
    made = OrgMaker()
    bind(made, ADA)
    bind(made, BEN)
    group = made.group("Finance")
    made.open_epoch(group, joined=[ADA, BEN])
    made.close_epoch(group, left=[BEN])
    made.open_epoch(group)
    return made


@pytest.mark.parametrize("with_parts", [True, False])
def test_an_honest_ledger_is_accepted(org: OrgMaker, with_parts: bool) -> None:
    """With its parts, as the vendor reads it, and without, as a client does."""
    verifier = verify_all(org, with_parts)
    head = verifier.accept_head(org.head())
    assert (head.size, head.root) == (len(org.entries), org.root())
    assert verifier.last_time_ms == org.now_ms


def test_verification_goes_on_from_any_point(org: OrgMaker) -> None:
    """A later verifier needs the compact range, the groups' states and the last time only."""
    first, groups = verifier_of(org), dict[bytes, GroupState]()
    for data, parts in zip(org.entries[:5], org.parts, strict=False):
        verified = first.add(data, parts)
        if verified.group_state is not None:
            groups[next(iter(org.groups))] = verified.group_state
    second = LedgerVerifier(org.id, org.public_key, first.range, groups.get, first.last_time_ms)
    for data, parts in zip(org.entries[5:], org.parts[5:], strict=True):
        second.add(data, parts)
    second.accept_head(org.head())


@pytest.mark.parametrize(
    ("order", "error"),
    [
        (lambda n: [*range(1, n)], LedgerOrderError),
        (lambda n: [0, *range(2, n)], LedgerOrderError),
        (lambda n: [0] * n, LedgerOrderError),
        (lambda n: [*range(n), n - 1], LedgerOrderError),
        (lambda n: [0, 2, 1, *range(3, n)], LedgerOrderError),
    ],
    ids=["first missing", "one missing", "repeated", "last repeated", "swapped"],
)
def test_a_place_can_not_be_skipped_or_taken_twice(
    org: OrgMaker, order: Callable[[int], list[int]], error: type[ProtocolError]
) -> None:
    verifier = verifier_of(org)

    def feed() -> None:
        for position in order(len(org.entries)):
            verifier.add(org.entries[position], org.parts[position])

    with pytest.raises(error):
        feed()


def test_an_entry_is_not_older_than_the_one_before(org: OrgMaker) -> None:
    org.now_ms -= 1000
    org.append(PolicyChanged(HASH))
    with pytest.raises(LedgerOrderError, match="older"):
        verify_all(org)


def test_another_organisations_entry_is_refused(org: OrgMaker) -> None:
    mine, org.id = org.id, uuid4().bytes
    org.append(PolicyChanged(HASH))
    org.id = mine
    with pytest.raises(WrongOrganisationError):
        verify_all(org)


def test_a_ledger_begins_with_its_organisation_and_the_pinned_key(org: OrgMaker) -> None:
    other = OrgMaker()
    other.id = org.id
    created = Entry.from_bytes(OrgMaker().entries[0])
    verifier = verifier_of(org)
    with pytest.raises(WrongOrganisationError, match="another signing key"):
        verifier.add(replace(created, organisation=org.id).to_bytes(), None)
    with pytest.raises(LedgerRuleError, match="first entry"):
        verifier_of(org).add(Entry(org.id, 0, 0, PolicyChanged(HASH)).to_bytes(), None)
    again = Entry.from_bytes(org.entries[0]).body
    org.append(again, org.parts[0])
    with pytest.raises(LedgerRuleError, match="first entry"):
        verify_all(org)


def test_heads_that_do_not_cover_exactly_what_was_added(org: OrgMaker) -> None:
    """Fewer entries: rolled back. More: something is held back. Another root: forked."""
    verifier, size = verify_all(org), len(org.entries)
    with pytest.raises(LedgerShrunkError):
        verifier.accept_head(org.head(size - 1))
    with pytest.raises(LedgerOrderError):
        verifier.accept_head(org.sign(Head(org.id, size + 1, HASH, 0)))
    with pytest.raises(LedgerForkError):
        verifier.accept_head(org.sign(Head(org.id, size, HASH, 0)))
    with pytest.raises(SignatureError):
        verifier.accept_head(OrgMaker.sign(_with_other_key(org), Head(org.id, size, HASH, 0)))


def _with_other_key(org: OrgMaker) -> OrgMaker:
    other = OrgMaker()
    other.id = org.id
    return other


def test_a_bound_key_has_its_own_id_and_a_proof_of_possession(org: OrgMaker) -> None:
    """Nobody binds another's public key, or one key under two ids, or a proof for someone else."""
    keys = DeviceKeys.make()
    request = Identity(org.id, ADA, keys).binding_request()
    proof = keys.sign(request.message())
    honest = KeyBound(
        ADA,
        request.key_id,
        Suite.XWING,
        keys.hpke_public_key,
        keys.signing_public_key,
        proof,
        TrustMode.PIN,
    )
    verifier = verify_all(org)
    position = len(org.entries)

    def add(body: Body) -> None:
        LedgerVerifier(org.id, org.public_key, verifier.range, NO_GROUPS, org.now_ms).add(
            Entry(org.id, position, org.now_ms, body).to_bytes(), {}
        )

    add(honest)
    with pytest.raises(LedgerRuleError, match="another id"):
        add(replace(honest, key_id=HASH))
    for wrong in (replace(honest, member=BEN), replace(honest, possession_proof=bytes(64))):
        with pytest.raises(SignatureError):
            add(wrong)


def test_a_change_of_signing_key_is_not_followed_yet(org: OrgMaker) -> None:
    org.append(KeyRotated(KeyKind.SIGNING, b"", b"", HASH, b"", b""))
    with pytest.raises(UpgradeNeededError):
        verify_all(org, with_parts=False)


def test_parts_of_an_unknown_entry_are_dropped(org: OrgMaker) -> None:
    """A later version may add entries with parts; this one keeps what it can verify."""
    entry = Entry(org.id, len(org.entries), org.now_ms + 1, Unknown(900, b"later"), critical=False)
    verified = verify_all(org).add(entry.to_bytes(), {PartKind.GRANTS: b"not looked at"})
    assert verified.parts == {}
    assert verified.grants == ()


def test_a_part_must_be_the_one_the_entry_names(org: OrgMaker) -> None:
    org.parts[0] = {PartKind.SEALED_KEYSET: b"another"}
    with pytest.raises(PartMismatchError):
        verify_all(org)


@pytest.mark.parametrize(
    ("before", "body", "after"),
    [
        (None, GroupNamed(GROUP, None, HASH), GroupState(9)),
        (None, FIRST, GroupState(9, 1, True, KEY, ROSTER)),
        (OPEN, GRANTS, replace(OPEN, last_position=9)),
        (OPEN, GroupNamed(GROUP, 5, HASH), replace(OPEN, last_position=9)),
        (OPEN, OPENS, GroupState(9, 2, True, OTHER_KEY, ROSTER)),
        (CLOSED, OPENS, GroupState(9, 2, True, OTHER_KEY, ROSTER)),
        (OPEN, CLOSES, GroupState(9, 1, False, KEY, LEAVES)),
    ],
    ids=["name", "first epoch", "more grants", "rename", "next epoch", "reopen", "close"],
)
def test_what_may_follow(before: GroupState | None, body: Body, after: GroupState) -> None:
    assert is_group_entry(body)
    assert isinstance(body, GroupNamed | EpochClosed | GroupReconciled)
    assert next_group_state(before, 9, body) == after


@pytest.mark.parametrize(
    ("before", "body", "said"),
    [
        (OPEN, replace(GRANTS, base=4), "builds on 4, but the last was 5"),
        (OPEN, replace(GRANTS, base=None), "builds on None"),
        (None, GRANTS, "builds on 5, but the last was None"),
        (OPEN, replace(OPENS, epoch=3), "opens epoch 3 after epoch 1"),
        (OPEN, replace(OPENS, epoch=1), "opens epoch 1 after epoch 1"),
        (None, replace(FIRST, epoch=2), "opens epoch 2 after epoch 0"),
        (OPEN, replace(OPENS, group_public_key=KEY), "the key of the last one"),
        (OPEN, replace(OPENS, group_public_key=KEY[1:]), "no X-Wing public key"),
        (OPEN, replace(OPENS, sealed_secret_digest=None), "without its sealed secret"),
        (OPEN, replace(OPENS, history_link_digest=None), "links to the last"),
        (None, replace(FIRST, history_link_digest=HASH), "links to the last"),
        (CLOSED, GRANTS, "epoch 1, which is not open"),
        (OPEN, replace(GRANTS, epoch=2), "epoch 2, which is not open"),
        (OPEN, replace(GRANTS, epoch=0), "epoch 0, which is not open"),
        (OPEN, replace(GRANTS, group_public_key=OTHER_KEY), "another public key"),
        (OPEN, replace(GRANTS, sealed_secret_digest=HASH), "has no secret of one"),
        (OPEN, replace(GRANTS, history_link_digest=HASH), "has no secret of one"),
        (CLOSED, CLOSES, "that is not open"),
        (OPEN, replace(CLOSES, epoch=2), "that is not open"),
        (OPEN, replace(CLOSES, roster_digest=HASH), "does not continue the roster"),
        (OPEN, replace(GRANTS, roster_digest=HASH), "does not continue the roster"),
        (OPEN, replace(GRANTS, joined=(BEN,)), "does not continue the roster"),
        (OPEN, replace(CLOSES, joined=(ADA,)), "join and leave at once"),
    ],
)
def test_what_may_not_follow(before: GroupState | None, body: Body, said: str) -> None:
    assert isinstance(body, GroupNamed | EpochClosed | GroupReconciled)
    with pytest.raises(LedgerRuleError, match=said):
        next_group_state(before, 9, body)


def test_a_roster_digest_covers_the_whole_past() -> None:
    """The same members by another way have another digest."""
    both = next_roster_digest(EMPTY_ROSTER_DIGEST, (ADA, BEN), ())
    one_by_one = next_roster_digest(ROSTER, (BEN,), ())
    assert both != one_by_one
    assert next_roster_digest(ROSTER, (), (ADA,)) != EMPTY_ROSTER_DIGEST


def test_a_binding_request_has_proper_keys() -> None:
    for keys in ((bytes(31), HASH), (HASH, bytes(31))):
        with pytest.raises(ProtocolError):
            BindingRequest(bytes(16), ADA, Suite.X25519, *keys)


def test_an_endorsement_is_no_possession_proof(org: OrgMaker) -> None:
    """The same fields under another label: a signature for one purpose serves no other."""
    keys, bound = DeviceKeys.make(), bind(org, ADA)
    request = Identity(org.id, ADA, keys).binding_request()
    request.verify_possession(keys.sign(request.message()))
    with pytest.raises(SignatureError):
        request.verify_endorsement(bound.signing_public_key, bound.sign(request.message()))
    with pytest.raises(SignatureError, match="64 bytes"):
        request.verify_possession(b"short")
