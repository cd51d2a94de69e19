"""docs/members.md names commands and options that exist, and all of them."""

import json
import re
from pathlib import Path

import click
import pytest

from groupseal.cli import main
from member_client.published import parse_published

GUIDE = (Path(__file__).parents[2] / "docs" / "members.md").read_text()
NAMED = re.compile(r"groupseal member ([a-z-]+)([^`|]*)")


def member_commands() -> dict[str, click.Command]:
    context = click.Context(main)
    member = main.get_command(context, "member")
    assert isinstance(member, click.Group)
    found = {name: member.get_command(context, name) for name in member.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


@pytest.mark.parametrize(("command", "rest"), sorted(set(NAMED.findall(GUIDE))))
def test_a_named_command_has_the_options_named_with_it(command: str, rest: str) -> None:
    parameters = member_commands()[command].params
    known = {option for parameter in parameters for option in parameter.opts}
    assert set(re.findall(r"--[a-z-]+", rest)) <= known


def test_commands_about_devices_are_all_named() -> None:
    named = {command for command, _ in NAMED.findall(GUIDE)}
    about_groups = {"groups", "open", "read", "share"}
    assert set(member_commands()) - about_groups == named


def test_the_published_document_is_one() -> None:
    """But for the digest, for which the guide says what to put there."""
    (block,) = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    fields = json.loads(block)
    assert fields.pop("evidence_key_digest").startswith("<SHA-256")
    published = parse_published("example.com", fields)
    assert (published.client_id, published.redirect_port) == ("0oa1b2c3d4", 8787)
