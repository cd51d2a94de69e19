"""`groupseal member …`: a member's device on the command line.

Exit codes: 0 done; 1 waiting, nothing is wrong; 2 usage or this device's folder; 3 refused by
verification, or by the server; 4 the server cannot be reached.
"""

import base64
import hashlib
import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO, Concatenate, ParamSpec

import click

from groupseal.errors import EpochClosedError, ProtocolError
from groupseal.reasons import Reason
from member_client.client import MemberClient, ReadItem
from member_client.errors import ClientError, RefusedError, UnreachableError, WaitingError
from member_client.home import HOME_VARIABLE, write_private

WAITING, USAGE, REFUSED, UNREACHABLE = 1, 2, 3, 4
_EXIT_CODES = (
    "\b\nExit codes: 0 done; 1 waiting, nothing is wrong; 2 usage or this device's folder;"
    "\n3 refused by verification or by the server; 4 the server cannot be reached."
)
P = ParamSpec("P")


def _exit_code(error: ClientError | ProtocolError) -> int:
    match error:
        case WaitingError() | EpochClosedError():
            return WAITING
        case UnreachableError():
            return UNREACHABLE
        case ProtocolError() | RefusedError():
            return REFUSED
        case _:
            return USAGE


def _remedy(reason: str) -> str | None:
    try:
        return Reason(reason).remedy
    except ValueError:
        return None


def command(
    name: str, epilog: str
) -> Callable[[Callable[Concatenate[MemberClient, bool, P], int]], click.Command]:
    """A command with --home and --json, whose errors become messages and exit codes."""

    def decorate(run: Callable[Concatenate[MemberClient, bool, P], int]) -> click.Command:
        @wraps(run)
        def guarded(home: Path | None, as_json: bool, *args: P.args, **kwargs: P.kwargs) -> None:
            try:
                with MemberClient(home) as client:
                    code = run(client, as_json, *args, **kwargs)
            except (ClientError, ProtocolError) as error:
                _show_error(error, as_json)
                code = _exit_code(error)
            raise SystemExit(code)

        with_options = click.option(
            "--home",
            type=click.Path(path_type=Path),
            envvar=HOME_VARIABLE,
            help=f"This device's folder [{HOME_VARIABLE}; default: ~/.groupseal].",
        )(click.option("--json", "as_json", is_flag=True, help="Print JSON.")(guarded))
        return click.command(name, epilog=f"{epilog}\n\n{_EXIT_CODES}")(with_options)

    return decorate


def _show_error(error: ClientError | ProtocolError, as_json: bool) -> None:
    reason, remedy = str(error.reason), _remedy(str(error.reason))
    if as_json:
        _print_json({"error": {"reason": reason, "detail": str(error), "remedy": remedy}})
        return
    click.echo(f"{reason}: {error}", err=True)
    if remedy is not None:
        click.echo(remedy, err=True)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


def _plain(text: str) -> str:
    """Without control characters: what others wrote must not steer the terminal."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def _warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def key_fingerprint(group_public_key: bytes) -> str:
    """For people who compare what they opened: 128 bits of the key's SHA-256."""
    return f"sha256:{hashlib.sha256(group_public_key).hexdigest()[:32]}"


@command("enrol", "Next: `groupseal member groups`, and `open` once a group is committed.")
@click.option("--server", required=True, metavar="URL", help="The vendor's address.")
@click.option("--code", required=True, help="The one-time enrolment code.")
@click.option("--fingerprint", help="The organisation's fingerprint, from your own administrator.")
def enrol(
    client: MemberClient, as_json: bool, server: str, code: str, fingerprint: str | None
) -> int:
    """Make this computer a device of yours. Repeating it does no harm."""
    done = client.enrol(server, code, fingerprint=fingerprint)
    device, organisation = done.device, done.organisation
    if as_json:
        _print_json(
            {
                "member_id": done.member_id,
                "user_name": done.user_name,
                "key_id": device.key_id.hex(),
                "state": device.state,
                "reason": device.reason,
                "fingerprint": organisation.fingerprint,
                "fingerprint_confirmed": organisation.confirmed,
            }
        )
    else:
        click.echo(f"Enrolled as {done.user_name}. Device {device.key_id.hex()[:16]}.")
        click.echo(f"Organisation {organisation.fingerprint}")
        if organisation.confirmed:
            click.echo("  confirmed: it is the fingerprint you gave.")
        else:
            click.echo(
                "  NOT confirmed: this key was taken from the vendor's word. Compare it with"
                " what your administrator says and enrol again with --fingerprint."
            )
        click.echo(f"Key {device.state}. Next: `groupseal member groups`.")
    if device.state == "refused":
        click.echo(_remedy(device.reason or "") or "The key was refused.", err=True)
        return REFUSED
    return 0


@command("groups", "Next: `groupseal member open GROUP` for a committed one.")
def groups(client: MemberClient, as_json: bool) -> int:
    """List your groups and what each waits for.

    States and names are the vendor's word; `open` shows what is proven.
    """
    found = client.groups()
    if as_json:
        names = ("group_id", "display_name", "state", "reason", "epoch")
        _print_json({"groups": [{n: getattr(each, n) for n in names} for each in found]})
        return 0
    for each in found:
        why = f" ({each.reason})" if each.reason else ""
        click.echo(
            f"{each.group_id}  {each.state}{why}  epoch {each.epoch}  {_plain(each.display_name)}"
        )
        if each.reason and (remedy := _remedy(each.reason)):
            click.echo(f"    {remedy}")
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
        _print_json(
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
    click.echo(f"Group {opened.group_id}" + (f" ({_plain(opened.name)})" if opened.name else ""))
    click.echo(f"Epoch {opened.epoch}, verified against the organisation's signed ledger.")
    click.echo(f"Group key {key_fingerprint(opened.group_public_key)}")
    _warn(opened.warnings)
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
        _print_json(
            {
                "item_id": shared.item_id,
                "epoch": shared.epoch,
                "warnings": list(shared.warnings),
            }
        )
        return 0
    click.echo(f"Shared as {shared.item_id} in epoch {shared.epoch}.")
    _warn(shared.warnings)
    return 0


@command("read", "Refused items are shown with the reason; the others are not affected.")
@click.argument("group")
def read(client: MemberClient, as_json: bool, group: str) -> int:
    """Read what was shared to a group. Exits with 3 if any item is refused."""
    items = client.read(client.find_group(group))
    if as_json:
        _print_json({"items": [_item_json(item) for item in items]})
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
        click.echo(_plain(item.content.decode(errors="backslashreplace")))
    elif item.refused is not None:
        click.echo(f"REFUSED {item.refused.reason}: {item.refused}", err=True)


@command("devices", "A refused key comes with its reason; enrol again once that is resolved.")
def devices(client: MemberClient, as_json: bool) -> int:
    """List your device keys. Exits with 1 while this device's key is not bound."""
    found, own = client.devices(), client.key_id
    if as_json:
        _print_json(
            {
                "devices": [
                    {
                        "key_id": each.key_id.hex(),
                        "state": each.state,
                        "reason": each.reason,
                        "submitted_at": each.submitted_at,
                        "this_device": each.key_id == own,
                    }
                    for each in found
                ]
            }
        )
    else:
        for each in found:
            mark = "  (this device)" if each.key_id == own else ""
            why = f" ({each.reason})" if each.reason else ""
            click.echo(f"{each.key_id.hex()[:16]}  {each.state}{why}{mark}")
            if each.reason and (remedy := _remedy(each.reason)):
                click.echo(f"    {remedy}")
    bound = any(each.key_id == own and each.state == "bound" for each in found)
    return 0 if bound else WAITING
