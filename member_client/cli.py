"""`groupseal member groups`, `open`, `share` and `read`: a member's groups on the command line."""

import base64
import hashlib
from pathlib import Path
from typing import Any, BinaryIO

import click

from member_client.cli_output import REFUSED, command, plain, print_json, remedy, warn
from member_client.client import MemberClient, ReadItem
from member_client.home import write_private


def key_fingerprint(group_public_key: bytes) -> str:
    """For people who compare what they opened: 128 bits of the key's SHA-256."""
    return f"sha256:{hashlib.sha256(group_public_key).hexdigest()[:32]}"


@command("groups", "Next: `groupseal member open GROUP` for a committed one.")
def groups(client: MemberClient, as_json: bool) -> int:
    """List your groups and what each waits for.

    States and names are the vendor's word; `open` shows what is proven.
    """
    found = client.groups()
    if as_json:
        names = ("group_id", "display_name", "state", "reason", "epoch")
        print_json({"groups": [{n: getattr(each, n) for n in names} for each in found]})
        return 0
    for each in found:
        why = f" ({each.reason})" if each.reason else ""
        click.echo(
            f"{each.group_id}  {each.state}{why}  epoch {each.epoch}  {plain(each.display_name)}"
        )
        if each.reason and (what := remedy(each.reason)):
            click.echo(f"    {what}")
    if not found:
        click.echo("You are in no group yet. Your administrator adds you at the identity provider.")
    return 0


@command("open", "Next: `groupseal member read GROUP` or `share GROUP`.")
@click.argument("group")
@click.option(
    "--export-secret",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write the group's secret to a new file that only you may read.",
)
def open_group(client: MemberClient, as_json: bool, group: str, export_secret: Path | None) -> int:
    """Open a group's key and verify it against the signed ledger.

    GROUP is an id, or a name that the organisation has signed. The secret itself is not shown.
    """
    opened = client.open(client.find_group(group))
    if export_secret is not None:
        _export(opened.keys.secret.reveal(), export_secret)
    if as_json:
        print_json(
            {
                "group_id": opened.group_id,
                "name": opened.name,
                "epoch": opened.epoch,
                "verified": True,
                "current": opened.current,
                "group_key": key_fingerprint(opened.group_public_key),
                "head_time_ms": opened.head_time_ms,
                "warnings": list(opened.warnings),
            }
        )
        return 0
    click.echo(f"Group {opened.group_id}" + (f" ({plain(opened.name)})" if opened.name else ""))
    click.echo(f"Epoch {opened.epoch}, verified against the organisation's signed ledger.")
    click.echo(f"Group key {key_fingerprint(opened.group_public_key)}")
    warn(opened.warnings)
    return 0


def _export(secret: bytes, file: Path) -> None:
    try:
        write_private(file, base64.b64encode(secret) + b"\n")
    except OSError as error:
        raise click.UsageError(
            f"{file} cannot be made: {error.strerror}; give a path where no file is yet"
        ) from error


@command("share", "Next: the group's members see it with `groupseal member read GROUP`.")
@click.argument("group")
@click.option("--text", help="What to share.")
@click.option(
    "--file", type=click.File("rb"), default="-", help="A file to share; default: standard input."
)
def share(client: MemberClient, as_json: bool, group: str, text: str | None, file: BinaryIO) -> int:
    """Share text or a file to a group: sealed to its key, signed by you."""
    content = file.read() if text is None else text.encode()
    if not content:
        raise click.UsageError("there is nothing to share: the input is empty")
    shared = client.share(client.find_group(group), content)
    if as_json:
        print_json(
            {
                "item_id": shared.item_id,
                "epoch": shared.epoch,
                "warnings": list(shared.warnings),
            }
        )
        return 0
    click.echo(f"Shared as {shared.item_id} in epoch {shared.epoch}.")
    warn(shared.warnings)
    return 0


@command("read", "Refused items are shown with the reason; the others are not affected.")
@click.argument("group")
def read(client: MemberClient, as_json: bool, group: str) -> int:
    """Read what was shared to a group. Exits with 3 if any item is refused."""
    items = client.read(client.find_group(group))
    if as_json:
        print_json({"items": [_item_json(item) for item in items]})
    else:
        for item in items:
            _show_item(item)
        if not items:
            click.echo("Nothing was shared to this group yet: `groupseal member share GROUP`.")
    return REFUSED if any(item.refused for item in items) else 0


def _item_json(item: ReadItem) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "item_id": item.item_id,
        "created_at": item.created_at,
        "epoch": item.epoch,
        "sender_id": item.sender_id,
        "refused": None,
    }
    if item.refused is not None:
        shown["refused"] = {"reason": item.refused.reason, "detail": str(item.refused)}
    elif item.content is not None:
        shown["content_base64"] = base64.b64encode(item.content).decode()
        try:
            shown["text"] = item.content.decode()
        except UnicodeDecodeError:
            shown["text"] = None
    return shown


def _show_item(item: ReadItem) -> None:
    click.echo(f"-- {item.item_id}  {item.created_at}  epoch {item.epoch}  from {item.sender_id}")
    if item.content is not None:
        click.echo(plain(item.content.decode(errors="backslashreplace")))
    elif item.refused is not None:
        click.echo(f"REFUSED {item.refused.reason}: {item.refused}", err=True)
