"""Raw sealing and opening, against the tests' own service and against hostile bytes."""

import os

import pytest

from groupseal.errors import MalformedError, WrongContextError
from groupseal.suites import Suite
from member_client import hpke
from member_client.hpke import XWingSeed
from tests.support.org_maker import seal_to, xwing_public_key


@pytest.fixture
def seed() -> XWingSeed:
    return XWingSeed(os.urandom(32))


def test_what_either_side_seals_the_client_opens(seed: XWingSeed) -> None:
    public_key = hpke.public_key(seed)
    assert public_key == xwing_public_key(seed.reveal())
    assert len(public_key) == Suite.XWING.public_key_length
    for sealed in (
        seal_to(public_key, b"secret", b"info"),
        hpke.seal(b"secret", public_key, b"info"),
    ):
        assert len(sealed) == Suite.XWING.sealed_length(6)
        assert hpke.open_sealed(sealed, seed, b"info") == b"secret"


def test_one_other_bit_and_it_stays_closed(seed: XWingSeed) -> None:
    sealed = hpke.seal(b"secret", hpke.public_key(seed), b"info")
    for position in (0, 1119, 1120, len(sealed) - 1):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(WrongContextError):
            hpke.open_sealed(bytes(changed), seed, b"info")
    for info in (b"", b"inf", b"info2"):
        with pytest.raises(WrongContextError):
            hpke.open_sealed(sealed, seed, info)
    with pytest.raises(WrongContextError):
        hpke.open_sealed(sealed, XWingSeed(os.urandom(32)), b"info")


def test_degenerate_encapsulations_stay_closed(seed: XWingSeed) -> None:
    """Zeros (X25519's point of low order among them) and cut bytes are refused, not crashed on."""
    with pytest.raises(WrongContextError):
        hpke.open_sealed(bytes(1168), seed, b"info")
    for length in (0, 1119, 1135):
        with pytest.raises(MalformedError):
            hpke.open_sealed(bytes(length), seed, b"info")


@pytest.mark.parametrize("public_key", [b"", bytes(32), bytes(1215), bytes(1216), b"\xff" * 1216])
def test_what_is_no_public_key_is_not_sealed_to(public_key: bytes) -> None:
    """The last two: a point of low order, and ML-KEM coefficients that FIPS 203 forbids."""
    with pytest.raises(MalformedError):
        hpke.seal(b"secret", public_key, b"info")
