"""What travels beside an entry is exactly what the entry commits to."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupseal.encoding import encode_byte_strings
from groupseal.entries import GroupNamed, GroupReconciled, PolicyChanged, Unknown
from groupseal.errors import MalformedError, PartMismatchError
from groupseal.grants import (
    GRANT_LENGTH,
    Grant,
    decode_grants,
    encode_grants,
    envelope_hash,
    grant_leaf,
    grants_root,
    grants_tree,
    verify_envelopes,
)
from groupseal.merkle import EMPTY_ROOT, verify_inclusion
from groupseal.parts import (
    NEVER_PRUNED,
    GroupNamePart,
    PartKind,
    Parts,
    part_digest,
    verify_parts,
)

batches = st.dictionaries(
    st.tuples(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32)),
    st.binary(min_size=32, max_size=32),
    max_size=12,
).map(lambda found: [Grant(*key, found[key]) for key in sorted(found)])

GRANTS = [Grant(bytes([n]) * 16, bytes([n]) * 32, bytes([n]) * 32) for n in (1, 2, 3)]
ENCODED = encode_grants(GRANTS)
PARTS: Parts = {
    PartKind.GRANTS: ENCODED,
    PartKind.SEALED_SECRET: b"secret",
    PartKind.HISTORY_LINK: b"link",
}
BODY = GroupReconciled(
    bytes(16),
    1,
    2,
    True,
    b"",
    (),
    (),
    bytes(32),
    grants_root(ENCODED),
    3,
    part_digest(PartKind.SEALED_SECRET, b"secret"),
    part_digest(PartKind.HISTORY_LINK, b"link"),
)


@given(batches)
def test_a_batch_survives_a_round_trip_and_proves_each_grant(grants: list[Grant]) -> None:
    encoded = encode_grants(grants)
    assert decode_grants(encoded) == grants
    root, tree = grants_root(encoded), grants_tree(encoded)
    for index, grant in enumerate(grants):
        leaf = grant_leaf(grant.to_bytes())
        verify_inclusion(leaf, index, len(grants), tree.inclusion_proof(index), root)


@pytest.mark.parametrize(
    "encoded",
    [ENCODED[:-1], ENCODED + b"\x00", ENCODED[GRANT_LENGTH:] + ENCODED[:GRANT_LENGTH], ENCODED * 2],
    ids=["short", "long", "unsorted", "repeated"],
)
def test_a_batch_is_sorted_unique_and_whole(encoded: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_grants(encoded)


def test_one_key_is_granted_once_in_a_batch() -> None:
    """Two envelopes for the same key would leave open which one counts."""
    twice = [GRANTS[0], GRANTS[0]._replace(envelope_hash=bytes(32))]
    with pytest.raises(MalformedError, match="unique"):
        decode_grants(encode_grants(twice))


def test_the_parts_that_an_entry_names_are_accepted() -> None:
    assert verify_parts(BODY, PARTS) == GRANTS
    assert verify_parts(BODY, {**PARTS, PartKind.ENVELOPES: b"checked apart"}) == GRANTS
    assert verify_parts(PolicyChanged(bytes(32)), {}) == []
    empty = replace(BODY, grants_root=EMPTY_ROOT, grants_count=0)
    assert verify_parts(empty, {k: v for k, v in PARTS.items() if k != PartKind.GRANTS}) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts.pop(PartKind.SEALED_SECRET),
        lambda parts: parts.pop(PartKind.HISTORY_LINK),
        lambda parts: parts.pop(PartKind.GRANTS),
        lambda parts: parts.update({PartKind.SEALED_SECRET: b"other"}),
        lambda parts: parts.update({PartKind.HISTORY_LINK: b"secret"}),
        lambda parts: parts.update({PartKind.GRANTS: ENCODED[:-GRANT_LENGTH]}),
        lambda parts: parts.update({PartKind.GROUP_NAME: b"more"}),
        lambda parts: parts.update({PartKind.SEALED_KEYSET: b"more"}),
    ],
)
def test_any_other_part_is_refused(change: Callable[[Parts], object]) -> None:
    parts = dict(PARTS)
    change(parts)
    with pytest.raises(PartMismatchError):
        verify_parts(BODY, parts)


def test_the_count_of_grants_is_the_entrys() -> None:
    """Else a proof could be made for a tree of another size with the same root."""
    with pytest.raises(PartMismatchError):
        verify_parts(replace(BODY, grants_count=2), PARTS)


def test_a_part_of_one_kind_is_none_of_another() -> None:
    digests = {part_digest(kind, b"same") for kind in PartKind}
    assert len(digests) == len(PartKind)


def test_what_a_restore_needs_is_never_pruned() -> None:
    assert NEVER_PRUNED.isdisjoint({PartKind.GRANTS, PartKind.ENVELOPES})
    assert NEVER_PRUNED | {PartKind.GRANTS, PartKind.ENVELOPES} == set(PartKind)


def test_an_entry_of_a_later_version_has_no_part_here() -> None:
    assert verify_parts(Unknown(900, b""), {}) == []


@given(st.binary(min_size=32, max_size=32), st.text(max_size=20), st.text(max_size=20))
def test_a_name_survives_a_round_trip(salt: bytes, name: str, provider_id: str) -> None:
    part = GroupNamePart(salt, name, provider_id)
    assert GroupNamePart.from_bytes(part.to_bytes()) == part
    body = GroupNamed(bytes(16), None, part_digest(PartKind.GROUP_NAME, part.to_bytes()))
    assert verify_parts(body, {PartKind.GROUP_NAME: part.to_bytes()}) == []
    with pytest.raises(MalformedError):
        GroupNamePart.from_bytes(part.to_bytes() + b"\x00")


@given(st.lists(st.binary(max_size=10), min_size=1, max_size=5))
def test_envelopes_are_those_of_the_grants(envelopes: list[bytes]) -> None:
    """Each is the one its grant names, in the batch's order, none missing and none beyond."""
    grants = [
        Grant(bytes(16), number.to_bytes(32, "big"), envelope_hash(each))
        for number, each in enumerate(envelopes)
    ]
    part = encode_byte_strings(envelopes)
    assert verify_envelopes(grants, part) == envelopes
    with pytest.raises(PartMismatchError):
        verify_envelopes(grants[:-1], part)
    with pytest.raises(PartMismatchError):
        verify_envelopes(grants, encode_byte_strings([*envelopes[:-1], envelopes[-1] + b"x"]))
    with pytest.raises(MalformedError):
        verify_envelopes(grants, part + b"\x00")
