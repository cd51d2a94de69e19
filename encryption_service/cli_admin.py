"""The customer's commands over a running service: keys, approvals, freeze, groups, holds.

They speak to its Unix socket alone, so they run where it runs: on its machine or in its container.
"""

from typing import Any, BinaryIO

import click

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


def ask(command: str, **arguments: Any) -> dict[str, Any]:
    """Raises ServiceError."""
    from encryption_service import admin_socket
    from encryption_service.settings import StoreSettings, load

    path = admin_socket.admin_socket_path(load(StoreSettings).data_dir)
    return admin_socket.ask(path, {"command": command, **arguments})


@click.group()
def keys() -> None:
    """Members' keys: which wait for an approver, which are bound.

    MEMBER is the member's id. KEY is the key's id, or how its fingerprint begins, as far as it
    tells the key from others.
    """


@keys.command("list")
@click.option("--waiting", is_flag=True, help="Only those that wait for an approver.")
@json_option
@reporting
def keys_list(*, waiting: bool, as_json: bool) -> None:
    """List the keys that wait, and those that are bound."""
    found = ask("keys.list", waiting=waiting)
    if as_json:
        print_json(found)
        return
    click.echo(VENDORS_WORD)
    click.echo(f"\nWaiting for an approver: {len(found['waiting'])}")
    print_items([_waiting_key(key) for key in found["waiting"]], "    none")
    if not waiting:
        click.echo(f"\nBound: {len(found['bound'])}")
        print_items([_bound_key(key) for key in found["bound"]], "    none")


def _waiting_key(key: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        ("", key["fingerprint"]),
        ("member", f"{key['member']}  {who(key)}"),
        ("waits", f"since {moment(key['since_ms'])}"),
    ]
    if key["needed"]:
        lines.append(("approved by", _approved(key)))
    if key["replaces"]:
        lines.append(("replaces", "every other key of this member, once it is bound"))
    return lines


def _bound_key(key: dict[str, Any]) -> list[tuple[str, str]]:
    by = "an older key of the member" if key["endorsed"] else f"mode {key['trust_mode']}"
    subject = f", subject {visible(key['subject'])}" if key["subject"] else ""
    return [
        ("", key["fingerprint"]),
        ("member", f"{key['member']}  {who(key)}"),
        ("bound", f"{moment(key['since_ms'])} by {by}{subject}"),
    ]


def _approved(item: dict[str, Any]) -> str:
    names = ", ".join(visible(name) for name in item["approved_by"]) or "nobody yet"
    return f"{names} ({len(item['approved_by'])} of {item['needed']})"


@keys.command("approve")
@click.argument("member")
@click.argument("key")
@json_option
@reporting
def keys_approve(*, member: str, key: str, as_json: bool) -> None:
    """Bind a key that waits. Compare its fingerprint with the member first, in person or by voice.

    Where the policy asks for approvers' signatures (keys.approvals), use `keys request`.
    """
    _say("bound", ask("keys.approve", member=member, key=key), as_json=as_json)


@keys.command("refuse")
@click.argument("member")
@click.argument("key")
@json_option
@reporting
def keys_refuse(*, member: str, key: str, as_json: bool) -> None:
    """Refuse a key that waits, for good. The member may enrol with a new one."""
    _say("refused", ask("keys.refuse", member=member, key=key), as_json=as_json)


@keys.command("unbind")
@click.argument("key")
@json_option
@reporting
def keys_unbind(*, key: str, as_json: bool) -> None:
    """Unbind a key, for good. Every group whose secret it held gets a new one."""
    _say("unbound", ask("keys.unbind", key=key), as_json=as_json)


def _say(what: str, found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    click.echo(f"{what} {found['fingerprint']} of member {found['member']}")
    click.echo(f"    entry {found['position']} of the ledger")


@keys.command("request")
@click.argument("member")
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="The document is JSON anyway.")
@reporting
def keys_request(*, member: str, key: str, as_json: bool) -> None:  # noqa: ARG001 # the same
    """Print the request that approvers sign for a key that waits (policy: keys.approvals)."""
    click.echo(ask("keys.request", member=member, key=key)["document"], nl=False)


@click.group()
def approvals() -> None:
    """Approvers' signatures, which let a key into a protected group."""


@approvals.command("list")
@json_option
@reporting
def approvals_list(*, as_json: bool) -> None:
    """List the keys that wait at the door of a protected group."""
    found = ask("approvals.list")
    if as_json:
        print_json(found)
        return
    click.echo(VENDORS_WORD)
    click.echo(f"\nWaiting for approvals: {len(found['waiting'])}")
    print_items([_at_the_door(each) for each in found["waiting"]], "    none")


def _at_the_door(each: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("", each["fingerprint"]),
        ("group", f"{each['group']}  {visible(each['group_name'])}"),
        ("member", f"{each['member']}  {who(each)}"),
        ("waits", f"since {moment(each['since_ms'])}"),
        ("approved by", _approved(each)),
        ("may approve", ", ".join(visible(name) for name in each["approvers"])),
    ]


@approvals.command("request")
@click.argument("group")
@click.argument("member")
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="The document is JSON anyway.")
@reporting
def approvals_request(*, group: str, member: str, key: str, as_json: bool) -> None:  # noqa: ARG001
    """Print the request that approvers sign: `… > request.json`, then `groupseal approve`."""
    found = ask("approvals.request", group=group, member=member, key=key)
    click.echo(found["document"], nl=False)


@approvals.command("add")
@click.argument("file", type=click.File("rb"))
@json_option
@reporting
def approvals_add(*, file: BinaryIO, as_json: bool) -> None:
    """Hand an approver's signature to the service (FILE: what `groupseal approve` wrote).

    - is standard input: `kubectl exec -i … approvals add - < signed.json`.
    """
    from encryption_service.errors import ServiceError
    from groupseal.approval_documents import MAX_DOCUMENT_BYTES

    data = file.read(MAX_DOCUMENT_BYTES + 1)
    try:
        document = data.decode()
    except UnicodeDecodeError:
        raise ServiceError(f"{file.name} is no approval: it is not text") from None
    found = ask("approvals.add", document=document)
    if as_json:
        print_json(found)
    else:
        click.echo(f"approval by {visible(found['approver'])} taken: {found['result']}")


@click.group()
def freeze() -> None:
    """Hold every addition back, in every group. Removals go on."""


@freeze.command("on")
@json_option
@reporting
def freeze_on(*, as_json: bool) -> None:
    """Add nobody to any group from now on."""
    _show_freeze(ask("freeze.set", on=True), as_json=as_json)


@freeze.command("off")
@json_option
@reporting
def freeze_off(*, as_json: bool) -> None:
    """Let additions go on; what waited follows by itself."""
    _show_freeze(ask("freeze.set", on=False), as_json=as_json)


@freeze.command("status")
@json_option
@reporting
def freeze_status(*, as_json: bool) -> None:
    """Say whether additions are frozen, and by what."""
    _show_freeze(ask("freeze.status"), as_json=as_json)


def _show_freeze(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    by = [
        text
        for text, on in (("the command", found["by_command"]), ("the policy", found["by_policy"]))
        if on
    ]
    click.echo(f"additions are frozen by {' and '.join(by)}" if by else "additions are not frozen")
