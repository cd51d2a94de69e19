"""The table of attacks in README.md is true: its tests exist and assert the reasons it names."""

import ast
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from groupseal import errors
from groupseal.reasons import Reason
from member_client import errors as client_errors

ROOT = Path(__file__).resolve().parents[2]
README = (Path(__file__).parent / "README.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)(?:\[\w+\])?`", README)
TABLE = README.split("## Strangers")[0]
# Attacks that share a reason because they are one to whoever is attacked; the README says why.
ALIKE = (
    {"entry changed", "forked ledger"},
    {"envelope moved", "item aimed at another group"},
    {"envelope moved", "envelope that the ledger does not know"},
    {"entry left out", "entry out of order"},
    {"head with a wrong signature", "head by another key"},
    {"head of another organisation", "unpinned service"},
)


@dataclass(frozen=True)
class Refusal:
    """One attack on one side."""

    side: str
    attack: str
    reason: str
    test: str


def refusals() -> list[Refusal]:
    """Every cell of the first table that names a reason."""
    found = []
    rows = [line for line in TABLE.splitlines() if line.startswith("| ")][1:]
    for row in rows:
        attack, *cells = [cell.strip().strip("`") for cell in row.strip("|").split("|")]
        sides = {"worker": cells[:2], "client": cells[2:]}
        assert any(any(cells) for cells in sides.values()), f"{attack}: nobody refuses it"
        for side, (reason, test) in sides.items():
            assert bool(reason) == bool(test), f"{attack}: half a cell"
            if reason:
                found.append(Refusal(side, attack, reason, test.partition("[")[0]))
    return found


@cache
def functions(path: str) -> dict[str, str]:
    """The source of every top-level function of a file, its decorators included."""
    text = (ROOT / path).read_text()
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    return {
        node.name: "\n".join(
            ast.get_source_segment(text, part) or "" for part in (*node.decorator_list, node)
        )
        for node in nodes
    }


def names_of(reason: Reason) -> set[str]:
    """How a test may speak of a reason: its code, or the type of an error that carries it."""
    kinds = {
        name
        for module in (errors, client_errors)
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, errors.ProtocolError)
        if value.reason is reason
    }
    return {f'"{reason}"', f"Reason.{reason.name}"} | kinds


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED)))
def test_each_named_test_exists(path: str, name: str) -> None:
    assert name in functions(path)


@pytest.mark.parametrize("refusal", refusals(), ids=lambda r: f"{r.side}: {r.attack}")
def test_each_test_asserts_the_reason_of_its_row(refusal: Refusal) -> None:
    """A reason is documented, with a remedy, and the row's test speaks of it."""
    reason = Reason(refusal.reason)
    assert reason.remedy
    path, _, name = refusal.test.partition("::")
    source = functions(path)[name]
    assert any(each in source for each in names_of(reason)), sorted(names_of(reason))


@pytest.mark.parametrize("side", ["worker", "client"])
def test_different_attacks_have_different_reasons(side: str) -> None:
    """Whoever reads a reason knows what was tried; every exception is one that is explained."""
    attacks: dict[str, set[str]] = defaultdict(set)
    for refusal in refusals():
        if refusal.side == side:
            # "envelope moved to another group" and "… member" are one attack on another field.
            attack = re.split(r" to another|:", refusal.attack)[0]
            attacks[refusal.reason].add(attack)
    mixed = [kinds for kinds in attacks.values() if len(kinds) > 1]
    assert all(kinds in ALIKE for kinds in mixed), mixed
