"""What all of `groupseal member …` has in common: options, messages, exit codes.

Exit codes: 0 done; 1 waiting, nothing is wrong; 2 usage or this device's folder; 3 refused by
verification, by the server or by the identity provider; 4 a server cannot be reached.
"""

import json
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click

from groupseal.errors import EpochClosedError, ProtocolError
from groupseal.reasons import Reason
from member_client.client import MemberClient
from member_client.errors import (
    ClientError,
    RefusedError,
    SignInError,
    UnreachableError,
    WaitingError,
)
from member_client.home import HOME_VARIABLE

WAITING, USAGE, REFUSED, UNREACHABLE = 1, 2, 3, 4
_EXIT_CODES = (
    "\b\nExit codes: 0 done; 1 waiting, nothing is wrong; 2 usage or this device's folder;"
    "\n3 refused by verification or by a server; 4 a server cannot be reached."
)
P = ParamSpec("P")


def _exit_code(error: ClientError | ProtocolError) -> int:
    match error:
        case WaitingError() | EpochClosedError():
            return WAITING
        case UnreachableError():
            return UNREACHABLE
        case ProtocolError() | RefusedError() | SignInError():
            return REFUSED
        case _:
            return USAGE


def remedy(reason: str | None) -> str | None:
    """What would resolve a reason, where the code is known."""
    try:
        return Reason(reason or "").remedy
    except ValueError:
        return None


def command(
    name: str, epilog: str
) -> Callable[[Callable[Concatenate[MemberClient, bool, P], int]], click.Command]:
    """A command with --home and --json, whose errors become messages and exit codes.

    Whatever it does, it then tells of new keys and of weaker trust, on standard error.
    """

    def decorate(run: Callable[Concatenate[MemberClient, bool, P], int]) -> click.Command:
        @wraps(run)
        def guarded(home: Path | None, as_json: bool, *args: P.args, **kwargs: P.kwargs) -> None:
            try:
                with MemberClient(home) as client:
                    try:
                        code = run(client, as_json, *args, **kwargs)
                    finally:
                        warn(notice.text for notice in client.notices())
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
    reason, what = str(error.reason), remedy(str(error.reason))
    if as_json:
        print_json({"error": {"reason": reason, "detail": str(error), "remedy": what}})
        return
    click.echo(plain(f"{reason}: {error}"), err=True)
    if what is not None:
        click.echo(what, err=True)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


def plain(text: str) -> str:
    """Without control characters: what others wrote must not steer the terminal."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        click.echo(plain(f"warning: {warning}"), err=True)
