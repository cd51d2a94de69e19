"""Signed heads: one form, one organisation, one key."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from groupseal.checkpoint import MAX_NOTE_LENGTH, Head, format_note, note_key_hash, open_head
from groupseal.errors import MalformedError, ProtocolError, SignatureError, WrongOrganisationError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
ORGANISATION = bytes.fromhex("00112233445566778899aabbccddeeff")
HEAD = Head(ORGANISATION, 7, hashlib.sha256(b"root").digest(), 1_800_000_000_000)


def signed(head: Head = HEAD) -> str:
    return format_note(head, PUBLIC, KEY.sign(head.text.encode()))


def signed_text(text: str) -> str:
    """A note of any text, with a signature that verifies."""
    blob = base64.b64encode(note_key_hash(HEAD.origin, PUBLIC) + KEY.sign(text.encode())).decode()
    return f"{text}\n— {HEAD.origin} {blob}\n"


def test_the_golden_note() -> None:
    """Byte for byte: Ed25519 is deterministic. A change of the format fails here."""
    assert HEAD.text == (
        "groupseal/00112233-4455-6677-8899-aabbccddeeff\n"
        "7\n"
        "SBNJTRN+FjG7owHVrKtue7eqdM4RhdRWVl71HXN2d7I=\n"
        "time 1800000000000\n"
        "state -\n"
    )
    assert signed() == signed_text(HEAD.text)


@given(
    st.binary(min_size=16, max_size=16),
    st.integers(0, 10**19 - 1),
    st.binary(min_size=32, max_size=32),
    st.integers(0, 10**19 - 1),
    st.none() | st.binary(min_size=32, max_size=32),
)
def test_what_was_signed_is_opened(
    organisation: bytes, size: int, root: bytes, time_ms: int, state: bytes | None
) -> None:
    head = Head(organisation, size, root, time_ms, state)
    assert open_head(signed(head), organisation, PUBLIC) == head


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n7\n", "\n07\n"),
        ("\n7\n", "\n+7\n"),
        ("\n7\n", "\n 7\n"),
        ("\n7\n", "\n7_0\n"),
        ("\n7\n", "\n٧\n"),
        ("\n7\n", "\n-7\n"),
        ("\n7\n", "\n\n"),
        ("time 1", "time  1"),
        ("time 1", "time 01"),
        ("time ", "Time "),
        ("state -", "state"),
        ("state -", "state AAAA"),
        ("state -\n", "state -\nmore\n"),
        ("groupseal/0", "groupseal/{0"),
        ("groupseal/", "other/"),
        ("aabbccddeeff", "AABBCCDDEEFF"),
        ("\ntime", "\r\ntime"),
    ],
)
def test_any_other_form_of_the_text_is_refused(old: str, new: str) -> None:
    """Even where the signature over that other form verifies."""
    assert old in HEAD.text
    with pytest.raises(MalformedError):
        open_head(signed_text(HEAD.text.replace(old, new)), ORGANISATION, PUBLIC)


def test_a_root_that_is_not_canonical_base64_is_refused() -> None:
    """The last symbol before the padding has two unused bits; they must be zero."""
    root = base64.b64encode(HEAD.root).decode()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = root[:42] + alphabet[alphabet.index(root[42]) + 1] + "="
    assert base64.b64decode(other) == HEAD.root
    for text in (other, "=" * 44, "A" * 44, "A" * 43 + "*"):
        with pytest.raises(MalformedError):
            open_head(signed_text(HEAD.text.replace(root, text)), ORGANISATION, PUBLIC)


@pytest.mark.parametrize(
    "damage",
    [
        lambda note: note + "\n",
        lambda note: note[:-1],
        lambda note: "\n" + note,
        lambda note: note.replace("—", "-"),
        lambda note: note.replace("\n\n—", "\n—"),
        lambda note: note + note.splitlines()[-1] + "\n",
        lambda note: note[:-4] + "\n",
        lambda note: note.replace("— groupseal/", "— other/"),
        lambda note: note + " " * MAX_NOTE_LENGTH,
        lambda note: note[:0],
    ],
)
def test_any_other_form_of_the_note_is_refused(damage: object) -> None:
    assert callable(damage)
    with pytest.raises(MalformedError):
        open_head(damage(signed()), ORGANISATION, PUBLIC)


def test_another_organisations_head_is_refused() -> None:
    with pytest.raises(WrongOrganisationError):
        open_head(signed(), bytes(16), PUBLIC)


def test_another_keys_head_is_refused() -> None:
    other = Ed25519PrivateKey.generate()
    public = other.public_key().public_bytes_raw()
    note = format_note(HEAD, public, other.sign(HEAD.text.encode()))
    with pytest.raises(SignatureError, match="another key than the pinned"):
        open_head(note, ORGANISATION, PUBLIC)
    # A forged key hint does not help.
    with pytest.raises(SignatureError, match="does not verify"):
        open_head(format_note(HEAD, PUBLIC, other.sign(HEAD.text.encode())), ORGANISATION, PUBLIC)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_changed_byte_is_accepted(position: int, difference: int) -> None:
    """One other byte anywhere, and the head is refused."""
    data = bytearray(signed().encode())
    data[position % len(data)] ^= difference
    try:
        note = data.decode()
    except UnicodeDecodeError:
        return
    with pytest.raises(ProtocolError):
        open_head(note, ORGANISATION, PUBLIC)
