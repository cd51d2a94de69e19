"""Every command that a document names exists, with the options that are named beside it."""

import re
from pathlib import Path

import click
import pytest

from encryption_service.cli import main as service_command
from groupseal.cli import main as groupseal_command

_ROOT = Path(__file__).parents[2]
_DOCUMENTS = sorted(
    [*_ROOT.glob("*.md"), *(_ROOT / "docs").glob("*.md"), *(_ROOT / "docs/decisions").glob("*.md")]
)
_PROGRAMS = {"groupseal": groupseal_command, "encryption-service": service_command}
# A program's name at the beginning of code, or of a line of commands.
_SHOWN = re.compile(
    r"(?:`|^(?:\$ |> )?(?:\S*/)?|-- )(groupseal|encryption-service) ([^`\n]+)", re.MULTILINE
)
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def _command(program: str, words: list[str]) -> click.Command | None:
    """What the words name, or None where one of them names nothing. Arguments end the search."""
    found: click.Command = _PROGRAMS[program]
    for word in words:
        if not isinstance(found, click.Group):
            break
        below = found.get_command(click.Context(found), word)
        if below is None:
            return None
        found = below
    return found


def _options(command: click.Command) -> set[str]:
    names = {"--help"}
    for parameter in command.params:
        names |= {*parameter.opts, *parameter.secondary_opts}
    return names


@pytest.mark.parametrize("document", _DOCUMENTS, ids=lambda path: str(path.relative_to(_ROOT)))
def test_named_commands_exist(document: Path) -> None:
    """A list of alternatives (`keys|approvals`, `…`) is not looked at beyond its first word."""
    for program, rest in _SHOWN.findall(document.read_text()):
        line = re.split(r"\s#|[|>;&]|\s\\|, then", rest)[0]
        words = re.findall(r"^[a-z][a-z-]*(?: [a-z][a-z-]*)*", line)
        command = _command(program, words[0].split() if words else [])
        assert command is not None, f"{program} {line}"
        assert set(_OPTION.findall(line)) <= _options(command), f"{program} {line}"
