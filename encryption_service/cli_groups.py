"""The customer's commands about groups, and about who is held back from them."""

from typing import Any

import click

from encryption_service.cli_admin import ask
from encryption_service.cli_output import (
    VENDORS_WORD,
    json_option,
    moment,
    print_items,
    print_json,
    reporting,
    who,
)
from groupseal.visible_text import visible


@click.group()
def groups() -> None:
    """Groups as the service knows them."""


@groups.command("list")
@json_option
@reporting
def groups_list(*, as_json: bool) -> None:
    """List the groups: id, names, how many are in and how many are held back."""
    found = ask("groups.list")
    if as_json:
        print_json(found)
        return
    print_items([_group(each) for each in found["groups"]], "There are no groups yet.")


def _group(each: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        (each["group"], visible(each["name"]) or "(no name)"),
        ("members", f"{each['roster_size']}, keys granted {each['granted']}, held {each['held']}"),
        ("epoch", str(each["epoch"])),
        ("policy", _rule(each)),
    ]
    others = [name for name in each["names"] if name != each["name"]]
    if others:
        lines.append(("also named", ", ".join(visible(name) for name in others)))
    if each["source_group_id"]:
        lines.append(("at the source", visible(each["source_group_id"])))
    if each["source_reason"]:
        lines.append(("not checked", each["source_reason"]))
    return lines


def _rule(each: dict[str, Any]) -> str:
    if not each["allowed"]:
        return "not allowed"
    return f"protected, {each['approvals']} approvals" if each["approvals"] else "allowed"


@groups.command("map")
@click.argument("group")
@click.argument("source_group_id")
@json_option
@reporting
def groups_map(*, group: str, source_group_id: str, as_json: bool) -> None:
    """Say which group at the identity provider GROUP is; it is then asked by that id."""
    found = ask("groups.map", group=group, source_group_id=source_group_id)
    if as_json:
        print_json(found)
    else:
        click.echo(f"group {found['group']} is {visible(found['source_group_id'])} at the source")


@click.group()
def holds() -> None:
    """Members of a group who do not get its key yet."""


@holds.command("list")
@json_option
@reporting
def holds_list(*, as_json: bool) -> None:
    """List who is held back, why, since when, and what would let them in."""
    found = ask("holds.list")
    if as_json:
        print_json(found)
        return
    click.echo(VENDORS_WORD)
    click.echo(f"\nHeld back: {len(found['holds'])}")
    print_items([_hold(each) for each in found["holds"]], "    nobody")


def _hold(each: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (each["member"], who(each)),
        ("group", f"{each['group']}  {visible(each['group_name'])}"),
        ("reason", f"{each['reason']}, since {moment(each['since_ms'])}"),
        ("remedy", each["remedy"]),
    ]
