"""The deployment guide speaks of values, commands and metrics that there are."""

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from encryption_service.cli import main
from encryption_service.membership.checker import MembershipStatus
from encryption_service.metrics import PREFIX
from encryption_service.metrics_collectors import MembershipCollector
from tests.service.test_metrics import FAMILIES

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "deploy-encryption-service.md").read_text()
VALUES: dict[str, Any] = yaml.safe_load(
    (ROOT / "helm" / "encryption-service" / "values.yaml").read_text()
)
_SET = re.compile(r"--set(?:-file)? '?([\w.]+)=")
_COMMAND = re.compile(r"(?<![-/])encryption-service ([a-z][a-z-]*(?: [a-z]+)?)(?=[ `\n])")


@pytest.mark.parametrize("name", sorted(set(_SET.findall(GUIDE))))
def test_a_value_is_the_charts(name: str) -> None:
    """`--set a.b=c` names a value of the chart; `null` takes away what is one."""
    found: Any = VALUES
    for key in name.split("."):
        assert key in found, name
        found = found[key]


def command(words: list[str]) -> click.Command | None:
    """The command of the longest run of words that are one."""
    found: click.Command | None = main
    for word in words:
        if not isinstance(found, click.Group):
            break
        found = found.commands.get(word)
    return found


@pytest.mark.parametrize("words", sorted(set(_COMMAND.findall(GUIDE))))
def test_a_command_is_the_services(words: str) -> None:
    """A group of commands is named with one of its own."""
    found = command(words.split())
    assert found is not None
    assert not isinstance(found, click.Group)


class Checked:
    """A membership check of which everything is known."""

    status = MembershipStatus(
        source="okta",
        enforced=True,
        last_success_ms=1,
        last_audit_ms=1,
        findings=(),
        members_left=0,
        remaining=1,
        waiting=0,
        fault="",
        fault_reason=None,
    )


def test_every_metric_is_in_the_guide() -> None:
    """Each family of the service's own, under the name that Prometheus stores, and no other."""
    table = GUIDE.partition("| metric | alert when |")[2].partition("\n\n")[0]
    cells = [line.split(" | ")[0] for line in table.splitlines()[2:]]
    named = {name for cell in cells for name in re.findall(r"`([a-z_]+)(?:\{[^`]*\})?`", cell)}
    membership = {
        family.name.removeprefix(PREFIX): family.type
        for family in MembershipCollector(Checked()).collect()
    }
    families = FAMILIES | membership
    assert named == {
        name if kind == "gauge" else f"{name}_total" for name, kind in families.items()
    }
