"""Identifiers, fingerprints, identity documents, reasons: what people and configurations see."""

import json
from dataclasses import replace
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from groupseal import errors
from groupseal.errors import MalformedError, ProtocolError, SignatureError
from groupseal.identifiers import (
    fingerprint,
    identifier_from_text,
    identifier_to_text,
    member_key_id,
    same_fingerprint,
)
from groupseal.labels import Label
from groupseal.pairing import ServiceIdentity, open_identity
from groupseal.reasons import Reason
from groupseal.suites import Suite, suite_from

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()


@given(st.binary(min_size=16, max_size=16))
def test_an_identifier_has_one_text(value: bytes) -> None:
    text = identifier_to_text(value)
    assert identifier_from_text(text) == value
    others = {text.upper(), text.replace("-", ""), f"{{{text}}}", f"urn:uuid:{text}", text + "\n"}
    for other in others - {text}:
        with pytest.raises(MalformedError):
            identifier_from_text(other)


def test_identifiers_of_another_length_are_refused() -> None:
    with pytest.raises(MalformedError):
        identifier_to_text(bytes(15))
    for text in ("", "not an id", str(UUID(int=1))[:-1]):
        with pytest.raises(MalformedError):
            identifier_from_text(text)


def test_a_key_id_covers_suite_and_both_keys() -> None:
    """The same bytes under another suite, or with another signing key, are another key."""
    one = member_key_id(Suite.X25519, bytes(32), PUBLIC)
    assert one != member_key_id(Suite.X25519, PUBLIC, bytes(32))
    assert one != member_key_id(Suite.XWING, bytes(1216), PUBLIC)
    with pytest.raises(ValueError, match="1216"):
        member_key_id(Suite.XWING, bytes(32), PUBLIC)


def test_suites() -> None:
    assert [suite_from(number) for number in (1, 2)] == [Suite.XWING, Suite.X25519]
    assert Suite.XWING.sealed_length(32) == 1168
    assert Suite.X25519.sealed_length(32) == 80
    for number in (0, 3):
        with pytest.raises(MalformedError):
            suite_from(number)


@given(st.binary(min_size=32, max_size=32))
def test_a_fingerprint_is_compared_as_people_type(key: bytes) -> None:
    shown = fingerprint(key)
    assert [len(group) for group in shown.split("-")] == [5] * 8
    assert not set(shown) & set("ILOU")
    for typed in (shown, shown.lower(), shown.replace("-", ""), shown.replace("-", " - ")):
        assert same_fingerprint(typed, shown)
    other = ("1" if shown[0] == "0" else "0") + shown[1:]
    for typed in (other, shown[:-1], shown + "0", ""):
        assert not same_fingerprint(typed, shown)


def identity() -> ServiceIdentity:
    unsigned = ServiceIdentity(bytes(16), PUBLIC, "certificate", "name.example")
    return replace(unsigned, signature=KEY.sign(unsigned.message()))


def test_an_identity_document_signs_itself() -> None:
    opened = open_identity(identity().to_json())
    assert opened == identity()
    assert opened.fingerprint == fingerprint(PUBLIC)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("server_ca", "another certificate", SignatureError),
        ("server_name", "another.example", SignatureError),
        ("organisation_id", str(UUID(int=1)), SignatureError),
        ("signature", "AAAA", SignatureError),
        ("signing_public_key", "AAAA", MalformedError),
        ("signing_public_key", "no base64!", MalformedError),
        ("organisation_id", "x", MalformedError),
        ("server_name", 7, MalformedError),
        ("more", "x", MalformedError),
    ],
)
def test_a_changed_identity_document_is_refused(
    field: str, value: object, error: type[ProtocolError]
) -> None:
    document = {**json.loads(identity().to_json()), field: value}
    with pytest.raises(error):
        open_identity(json.dumps(document))


@pytest.mark.parametrize("document", ["", "[]", "{}", "null", "not JSON"])
def test_what_is_no_identity_document_is_refused(document: str) -> None:
    with pytest.raises(MalformedError):
        open_identity(document)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_remedy(reason: Reason) -> None:
    """A sentence or two that ends as such; and the code is fit for searching."""
    assert reason.remedy[0].isupper()
    assert reason.remedy.endswith(".")
    assert reason.value == reason.name.lower()


def test_every_error_has_a_reason_and_says_what_it_is() -> None:
    kinds = ProtocolError.__subclasses__()
    assert len(kinds) > 10
    for kind in kinds:
        if kind.__module__ == errors.__name__:
            assert isinstance(kind.reason, Reason)
            assert kind.__doc__


def test_labels_keep_purposes_apart() -> None:
    """A length stands before each label, but for a grant's: that one begins no other."""
    labels = [bytes(label) for label in Label]
    assert len(set(labels)) == len(labels)
    assert all(label.startswith(b"groupseal/v1/") for label in labels)
    assert [label for label in labels if label.startswith(Label.GRANT)] == [Label.GRANT]
