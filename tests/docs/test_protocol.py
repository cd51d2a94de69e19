"""The specification and the code name the same things, and the vectors belong to its sections."""

import json
import re
from pathlib import Path

import pytest

from encryption_service.oidc.signing_keys import ALGORITHMS
from groupseal.entries import EntryType
from groupseal.labels import Label
from groupseal.parts import PartKind
from groupseal.trust import MembershipCheck, TrustMode
from tools.make_vectors import FOLDER

_TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
# Of what the service alone seals and opens.
_INSIDE = {Label.SEALED_SECRET, Label.SEALED_KEYSET}


@pytest.mark.parametrize("label", sorted(set(Label) - _INSIDE), ids=lambda label: label.name)
def test_every_label_is_specified(label: Label) -> None:
    """Where it stands in front of something, or in a table of labels."""
    name = label.removeprefix(b"groupseal/v1/").decode()
    assert f"`label {name}`" in _TEXT or f"`{name}`" in _TEXT or f"`groupseal/v1/{name}`" in _TEXT


def test_no_label_is_specified_that_does_not_exist() -> None:
    named = set(re.findall(r"`label ([a-z/-]+)`", _TEXT))
    assert named <= {label.removeprefix(b"groupseal/v1/").decode() for label in Label}


def test_every_entry_and_part_is_in_its_table() -> None:
    """By its number and its name."""
    for kind in EntryType:
        assert f"| {int(kind)} {kind.name.lower().replace('_', ' ')} |" in _TEXT
    for part in PartKind:
        assert f"| {int(part)} {part.name.lower().replace('_', ' ')} |" in _TEXT


def test_modes_and_checks_have_the_numbers_of_the_code() -> None:
    for kind in (TrustMode, MembershipCheck):
        assert ", ".join(f"{int(each)} `{each.name.lower()}`" for each in kind) in _TEXT


def test_the_algorithms_of_tokens_are_those_of_the_code() -> None:
    """RS and PS with each hash, ES with the one of its curve, and EdDSA."""
    families = {f"{name}{bits}" for name in ("RS", "PS") for bits in (256, 384, 512)}
    assert families | {"ES256", "ES384", "ES512", "EdDSA"} == ALGORITHMS
    assert "RS, PS (256, 384, 512), ES256, ES384," in _TEXT


def test_every_file_of_vectors_is_listed_and_names_a_section() -> None:
    sections = set(re.findall(r"^## (\d)\. ", _TEXT, re.MULTILINE))
    for file in FOLDER.glob("*.json"):
        assert f"[`{file.name}`](../tests/vectors/{file.name})" in _TEXT
        found = json.loads(file.read_text())
        if file.name != "xwing.json":  # the draft's own
            assert found["section"] in sections, file.name
