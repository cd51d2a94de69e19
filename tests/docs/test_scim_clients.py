"""The table of clients' habits names tests that exist, and every scenario is in it."""

import ast
import re
from pathlib import Path

from scim_gateway.settings import GatewaySettings
from tests.conversations.scenario import scenario_names

_TESTS = Path(__file__).parents[1]
_TABLE = _TESTS.parent / "docs" / "scim-clients.md"
_ROW = re.compile(r"^\| (?P<habit>.+) \| (?P<shown>.+) \|$", re.MULTILINE)
_NAME = re.compile(r"`([^`]+)`")


def _rows() -> list[tuple[str, str]]:
    rows = [(match["habit"], match["shown"]) for match in _ROW.finditer(_TABLE.read_text())]
    return [(habit, shown) for habit, shown in rows if shown != "shown by"]


def _exists(name: str) -> bool:
    """Whether it is a scenario, or a test function in a file below tests/."""
    if "::" not in name:
        return name in scenario_names()
    path, _, function = name.partition("::")
    tree = ast.parse((_TESTS / path).read_text())
    return any(isinstance(n, ast.FunctionDef) and n.name == function for n in tree.body)


def test_every_row_names_a_test_that_exists_or_a_reason() -> None:
    """A test that is renamed or dropped takes its rows with it."""
    rows = _rows()
    assert len(rows) > 80
    for habit, shown in rows:
        if shown.startswith("**No:** "):
            continue
        names = _NAME.findall(shown)
        assert names, habit
        assert not [name for name in names if not _exists(name)], (habit, shown)


def test_every_scenario_is_in_the_table() -> None:
    """A scenario that no row needs shows nothing."""
    named = {name for _, shown in _rows() for name in _NAME.findall(shown)}
    assert set(scenario_names()) <= named


def test_the_rate_that_is_allowed_is_more_than_clients_ask_for() -> None:
    """Entra ID asks for 25 requests a second; a large push comes as hundreds at once."""
    fields = GatewaySettings.model_fields
    assert fields["gateway_rate_per_second"].default >= 25
    assert fields["gateway_rate_burst"].default >= 500
