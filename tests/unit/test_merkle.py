"""Trees of RFC 9162, against published vectors and against each other."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupseal.errors import MalformedError, ProofError
from groupseal.merkle import (
    EMPTY_ROOT,
    CompactRange,
    MerkleTree,
    leaf_hash,
    node_hash,
    verify_inclusion,
)

# The leaves, roots and inclusion proofs of the certificate-transparency reference tests, which
# transparency-dev/merkle carries on (testonly/constants.go, proof/verify_test.go).
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
# (index, size) -> path.
PROOFS = {
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}


def hashed(leaves: list[bytes]) -> list[bytes]:
    return [leaf_hash(leaf) for leaf in leaves]


def compact(leaves: list[bytes]) -> CompactRange:
    past = CompactRange()
    for leaf in leaves:
        past = past.append(leaf)
    return past


def root_by_definition(leaves: list[bytes]) -> bytes:
    """RFC 9162 §2.1.1, word for word: split at the largest power of two below the size."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    left, right = root_by_definition(leaves[:split]), root_by_definition(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    """Both forms of the tree give the published root for each number of the standard leaves."""
    leaves = hashed(LEAVES[:size])
    assert compact(leaves).root == ROOTS[size]
    assert MerkleTree(leaves).root == ROOTS[size]
    assert ROOTS[0] == EMPTY_ROOT


@pytest.mark.parametrize(("index", "size"), sorted(PROOFS))
def test_published_inclusion_proofs(index: int, size: int) -> None:
    path = [bytes.fromhex(text) for text in PROOFS[(index, size)]]
    assert MerkleTree(hashed(LEAVES[:size])).inclusion_proof(index) == path
    verify_inclusion(leaf_hash(LEAVES[index]), index, size, path, ROOTS[size])


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_both_trees_are_the_definitions(leaves: list[bytes]) -> None:
    expected = root_by_definition(leaves)
    assert compact(hashed(leaves)).root == expected
    assert MerkleTree(hashed(leaves)).root == expected


@given(st.integers(1, 70), st.data())
def test_every_inclusion_proof_verifies_and_no_other(size: int, data: st.DataObject) -> None:
    """For each leaf; and not at another index, in another size's tree, for another leaf or path."""
    leaves = hashed([number.to_bytes(2, "big") for number in range(size)])
    index = data.draw(st.integers(0, size - 1))
    tree = MerkleTree(leaves)
    path, root = tree.inclusion_proof(index), tree.root
    verify_inclusion(leaves[index], index, size, path, root)

    other = data.draw(st.integers(0, size + 2).filter(lambda number: number != index))
    with pytest.raises(ProofError):
        verify_inclusion(leaves[index], other, size, path, root)
    with pytest.raises(ProofError):
        verify_inclusion(leaf_hash(b"other"), index, size, path, root)
    with pytest.raises(ProofError):
        verify_inclusion(leaves[index], index, size, [*path, bytes(32)], root)
    if path:
        with pytest.raises(ProofError):
            verify_inclusion(leaves[index], index, size, path[:-1], root)
        flipped = data.draw(st.integers(0, len(path) - 1))
        wrong = [*path]
        wrong[flipped] = bytes(32)
        with pytest.raises(ProofError):
            verify_inclusion(leaves[index], index, size, wrong, root)
        with pytest.raises(ProofError, match="32-byte"):
            verify_inclusion(leaves[index], index, size, [path[0][:-1], *path[1:]], root)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 2)])
def test_an_index_outside_the_tree_is_refused(index: int, size: int) -> None:
    with pytest.raises(ProofError, match="outside"):
        verify_inclusion(leaf_hash(b""), index, size, [], leaf_hash(b""))


def test_a_tree_has_no_proof_for_a_leaf_it_does_not_have() -> None:
    for index in (-1, 2):
        with pytest.raises(ValueError, match="no leaf"):
            MerkleTree(hashed([b"a", b"b"])).inclusion_proof(index)


@given(st.integers(0, 40))
def test_a_compact_range_is_stored_and_read_back(size: int) -> None:
    past = compact(hashed([bytes([number]) for number in range(size)]))
    data = past.to_bytes()
    assert CompactRange.from_bytes(data) == past
    for wrong in (data + b"\x00", data[:-1], data[8:], data + bytes(32)):
        with pytest.raises(MalformedError):
            CompactRange.from_bytes(wrong)


def test_a_compact_range_needs_one_hash_per_bit() -> None:
    with pytest.raises(ValueError, match="one subtree"):
        CompactRange(3, (bytes(32),))


def test_an_inner_node_is_no_leaf() -> None:
    """The two are hashed with different prefixes, so that neither passes for the other."""
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert node_hash(left, right) != leaf_hash(left + right)
