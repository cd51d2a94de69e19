"""`groupseal approver …` and `groupseal approve`, on the approver's own machine.

Exit status: 0 signed or printed, 1 nothing was signed (the text says why), 2 usage.
"""

import base64
import secrets
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from approver.comparing import GROUPS_ASKED, agrees, without
from approver.errors import ApproverError
from approver.key_file import create_key, read_key, write_new
from groupseal.approval_documents import MAX_DOCUMENT_BYTES, ApprovalRequest, SignedApproval
from groupseal.approvals import ApprovalStatement
from groupseal.errors import MalformedError
from groupseal.identifiers import FINGERPRINT_GROUPS, identifier_to_text, key_fingerprint
from groupseal.visible_text import visible

_DAY_MS = 24 * 3600 * 1000
_MAX_DAYS = 365
P = ParamSpec("P")


def _reporting(run: Callable[P, None]) -> Callable[P, None]:
    @wraps(run)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            run(*args, **kwargs)
        except ApproverError as error:
            click.echo(f"groupseal: {error}", err=True)
            sys.exit(1)

    return guarded


_name_option = click.option("--name", help="Print the line for the policy, with this name.")


@click.command("create")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new file.")
@_name_option
@_reporting
def create(out: Path, name: str | None) -> None:
    """Make an approver's key, and print its public half for the policy's `approvers`."""
    _print_public(create_key(out), name)
    click.echo(f"wrote {out}; whoever can read it can approve", err=True)


@click.command("public")
@click.option("--key", type=click.Path(path_type=Path), required=True, help="The key's file.")
@_name_option
@_reporting
def public(key: Path, name: str | None) -> None:
    """Print a key's public half for the policy's `approvers`."""
    _print_public(read_key(key), name)


def _print_public(key: Ed25519PrivateKey, name: str | None) -> None:
    text = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    click.echo(text if name is None else f'- {{name: {name}, key: "{text}"}}')


@click.command("approve")
@click.option("--key", type=click.Path(path_type=Path), required=True, help="Your key's file.")
@click.argument("request", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="A new file; default: standard output."
)
@click.option("--yes", is_flag=True, help="You compared the whole fingerprint already.")
@click.option(
    "--days",
    type=click.IntRange(1, _MAX_DAYS),
    default=30,
    show_default=True,
    help="How long the approval may be used. Who is let in by then stays in.",
)
@_reporting
def approve(key: Path, request: Path, out: Path | None, yes: bool, days: int) -> None:
    """Approve one key of one member, after comparing it with the member.

    REQUEST is a file with what `encryption-service approvals request` (or `keys request`) printed.
    """
    signing_key = read_key(key)
    asked = _read_request(request)
    expires_ms = time.time_ns() // 1_000_000 + days * _DAY_MS
    _show(asked, expires_ms)
    _compare(key_fingerprint(asked.key_id), yes=yes)
    document = sign(asked, signing_key, expires_ms).to_json()
    if out is None:
        click.echo(document, nl=False)
        return
    try:
        write_new(out, document.encode(), mode=0o644)
    except OSError as error:
        raise ApproverError(
            f"{out} cannot be made ({error.strerror}): give a path where no file is yet"
        ) from error
    click.echo(f"wrote {out}; next: `encryption-service approvals add {out}`", err=True)


def _read_request(path: Path) -> ApprovalRequest:
    try:
        with path.open("rb") as file:
            return ApprovalRequest.from_json(file.read(MAX_DOCUMENT_BYTES + 1))
    except OSError as error:
        raise ApproverError(f"{path} cannot be read ({error.strerror})") from error
    except MalformedError as error:
        raise ApproverError(f"the request is not usable: {error}") from error


def sign(request: ApprovalRequest, key: Ed25519PrivateKey, expires_ms: int) -> SignedApproval:
    """The approval of exactly what was asked for, up to a date (milliseconds since 1970)."""
    statement = ApprovalStatement(
        organisation=request.organisation,
        group=request.group,
        member=request.member,
        key_id=request.key_id,
        expires_ms=expires_ms,
    )
    return SignedApproval(
        statement, key.public_key().public_bytes_raw(), key.sign(statement.message())
    )


def _show(request: ApprovalRequest, expires_ms: int) -> None:
    until = datetime.fromtimestamp(expires_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    external = f" ({visible(request.external_id)})" if request.external_id else ""
    lines = [
        ("organisation", identifier_to_text(request.organisation)),
        ("", visible(request.organisation_fingerprint)),
    ]
    if request.group is None:
        lines.append(("approves", "that this key is the member's (trust mode `approve`)"))
    else:
        lines.append(("group", f"{identifier_to_text(request.group)}"))
        lines.append(("", visible(request.group_name) or "(no name)"))
    lines += [
        ("member", identifier_to_text(request.member)),
        ("", f"{visible(request.user_name)}{external}, by the vendor's word"),
        ("until", until),
    ]
    for label, text in lines:
        click.echo(f"{label:<12}  {text}", err=True)


def _compare(fingerprint: str, *, yes: bool) -> None:
    """Raises ApproverError unless the approver typed what the member's device shows."""
    if yes:
        click.echo(f"{'key':<12}  {fingerprint}", err=True)
        return
    asked = sorted(secrets.SystemRandom().sample(range(FINGERPRINT_GROUPS), GROUPS_ASKED))
    click.echo(f"{'key':<12}  {without(fingerprint, asked)}", err=True)
    places = " and ".join(str(i + 1) for i in asked)
    click.echo(
        "\nHave the member read out the fingerprint that the device shows, in person or by voice.",
        err=True,
    )
    click.echo(f"Type its groups {places}: ", err=True, nl=False)
    # Not `click.prompt`: it writes to standard output, where the approval goes.
    if not agrees(sys.stdin.readline().strip(), fingerprint, asked):
        raise ApproverError(
            "this is not the fingerprint of the key in the request, so nothing was signed. If it "
            "was no slip of the keyboard, the member's key was exchanged: tell your administrators"
        )
