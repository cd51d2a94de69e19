"""The threat model claims what tests show: every test that it names exists, for every mode."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from groupseal.reasons import Reason

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "threat-model.md").read_text()
MODES = ("oidc-enforce", "oidc-off", "approve", "pin")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)(?:\[([\w-]+)\])?`", TEXT)
# Names in the text that are written like reasons and are none.
OTHER_CODES = {"enforce", "off", "approve", "pin", "oidc", "observe"}


@cache
def cases_of(path: str) -> set[str]:
    """`name` or `Class::name` of every test of a file."""
    file = ROOT / path
    if not file.exists():
        return set()
    tree = ast.parse(file.read_text())
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for kind in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        found |= {f"{kind.name}::{n.name}" for n in kind.body if isinstance(n, ast.FunctionDef)}
    return found


@cache
def words_of(path: str) -> set[str]:
    """Every string literal of a file: the modes that its tests run in are among them."""
    tree = ast.parse((ROOT / path).read_text())
    values = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {value for value in values if isinstance(value, str)}


@pytest.mark.parametrize(("path", "name"), sorted({(path, name) for path, name, _ in NAMED}))
def test_a_named_test_exists(path: str, name: str) -> None:
    """A row whose test was renamed or dropped claims nothing any more."""
    assert name in cases_of(path)


@pytest.mark.parametrize(
    ("path", "mode"), sorted({(path, mode) for path, _, mode in NAMED if mode})
)
def test_a_named_mode_is_one_of_the_files(path: str, mode: str) -> None:
    """What stands in brackets is a mode that the file's tests know."""
    assert mode in MODES
    assert mode in words_of(path)


def test_every_attack_is_tested_in_every_mode() -> None:
    """As many attacks with tests as there are attacks, each in all four modes."""
    attacks = TEXT.partition("| the vendor | `oidc`")[2].partition("\n\n")[0].splitlines()[2:]
    tested: dict[str, list[str]] = {}
    for _, name, mode in NAMED:
        if mode:
            tested.setdefault(name, []).append(mode)
    assert len(tested) == len(attacks) > 0
    assert all(tuple(modes) == MODES for modes in tested.values())


def test_reasons_are_codes_of_the_product() -> None:
    """Every code in the tables is one that an operator may see."""
    codes = set(re.findall(r"`([a-z]+(?:_[a-z]+)*)`", TEXT))
    known = {str(reason) for reason in Reason}
    assert {code for code in codes if "_" in code} <= known
    assert codes - known <= OTHER_CODES | {"status"}


def test_what_is_not_stopped_is_said() -> None:
    """Mode `pin` is named for what it is, and the last section lists what nobody should expect."""
    assert "*vendor-trusted*" in TEXT
    assert "*not claimed*" in TEXT
    assert "## What is not claimed" in TEXT
