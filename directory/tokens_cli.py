"""`groupseal scim-token`: make, list, rotate and revoke the tokens of a tenant."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from directory import scim_tokens
from directory.cli_output import EXIT_CODES, as_json, database, print_json, reports_errors
from directory.durations import duration
from directory.scim_tokens import NewToken, ScimToken
from directory.tenancy import TenantScope
from directory.tenants import find_tenant
from directory.unit_of_work import UnitOfWork

_Result = TypeVar("_Result")
_tenant = click.option("--tenant", required=True, metavar="TENANT", help="Its id or name.")
_expires_in = click.option(
    "--expires-in",
    type=duration,
    metavar="DURATION",
    help="How long it is valid: 90d, 24h. Without end if not given.",
)


@click.command("create", epilog=EXIT_CODES)
@_tenant
@_expires_in
@as_json
@reports_errors
def create(tenant: str, expires_in: timedelta | None, as_json: bool) -> None:
    """Make one more token; those that are live stay so.

    It is shown this one time. Next: enter it at the identity provider, with the base URL
    https://YOUR-GATEWAY/scim/v2, and test the connection there.
    """
    _refuse_nothing(expires_in)
    new = _changed(tenant, lambda scope: scim_tokens.issue(scope, expires_in))
    if as_json:
        print_json(_new_json(new))
        return
    _show_new(new)
    click.echo("Next: enter it at the identity provider, with the base URL ending in /scim/v2.")


@click.command("list", epilog=EXIT_CODES)
@_tenant
@as_json
@reports_errors
def show(tenant: str, as_json: bool) -> None:
    """Show a tenant's tokens: prefix, state, until when, last use.

    Last use is noted once a minute. Next: `groupseal scim-token revoke` what nobody uses any more.
    """
    tokens = _changed(tenant, scim_tokens.list_tokens)
    if as_json:
        print_json({"tokens": [_token_json(one) for one in tokens]})
        return
    click.echo(f"{'PREFIX':14}{'STATE':10}{'CREATED':18}{'EXPIRES':18}{'LAST USED':18}ID")
    for one in tokens:
        click.echo(
            f"{one.prefix:14}{one.state:10}{_minute(one.created_at):18}"
            f"{_minute(one.expires_at):18}{_minute(one.last_used_at):18}{one.id}"
        )
    if not any(one.state == "live" for one in tokens):
        click.echo("No token is live: groupseal scim-token create")


@click.command("rotate", epilog=EXIT_CODES)
@click.argument("token", required=False)
@_tenant
@click.option(
    "--overlap",
    type=duration,
    default="24h",
    show_default=True,
    metavar="DURATION",
    help="How long the old one goes on working.",
)
@click.option(
    "--expires-in",
    type=duration,
    metavar="DURATION",
    help="How long the new one is valid. As long as the old one was made for, if not given.",
)
@as_json
@reports_errors
def replace(
    token: str | None,
    tenant: str,
    overlap: timedelta,
    expires_in: timedelta | None,
    as_json: bool,
) -> None:
    """Replace a token without an interruption: a new one now, the old one for a while longer.

    TOKEN is the old one's prefix or id; it may be left out where a single one is live. Next: enter
    the new one at the identity provider within the overlap; `groupseal scim-token list` shows by
    its last use that it has arrived there.
    """
    _refuse_nothing(expires_in)
    done = _changed(
        tenant,
        lambda scope: scim_tokens.rotate(scope, token, overlap=overlap, valid_for=expires_in),
    )
    if as_json:
        old = {"prefix": done.old.prefix, "expires_at": _iso(done.old_expires_at)}
        print_json(_new_json(done.new) | {"replaces": old})
        return
    _show_new(done.new)
    click.echo(f"The old one, {done.old.prefix}…, works until {_minute(done.old_expires_at)} UTC.")
    click.echo("Next: enter the new one at the identity provider before that.")


@click.command("revoke", epilog=EXIT_CODES)
@click.argument("token")
@_tenant
@as_json
@reports_errors
def end(token: str, tenant: str, as_json: bool) -> None:
    """End a token at once: the next request with it is refused.

    TOKEN is its prefix or id. Next, if no other one is live: `groupseal scim-token create`.
    """
    ended, left = _changed(tenant, lambda scope: _revoked(scope, token))
    if as_json:
        print_json({"revoked": ended.prefix, "id": ended.id, "live_tokens": left})
        return
    click.echo(f"{ended.prefix}… is refused from now on.")
    if not left:
        click.echo("No token is live now. Next: groupseal scim-token create")


def _revoked(scope: TenantScope, named: str) -> tuple[ScimToken, int]:
    ended = scim_tokens.revoke(scope, named)
    return ended, sum(one.state == "live" for one in scim_tokens.list_tokens(scope))


def _changed(tenant: str, use_case: Callable[[TenantScope], _Result]) -> _Result:
    """Runs a use case for the tenant and commits."""
    with database() as engine, UnitOfWork(engine) as uow:
        result = use_case(TenantScope(uow.connection, find_tenant(uow.connection, tenant)))
        uow.commit()
    return result


def _refuse_nothing(valid_for: timedelta | None) -> None:
    if valid_for is not None and not valid_for:
        raise click.BadParameter("a token that is valid for no time", param_hint="--expires-in")


def _show_new(new: NewToken) -> None:
    click.echo(f"Token:   {new.token}   (shown this one time)")
    click.echo(f"Expires: {_minute(new.expires_at)}{' UTC' if new.expires_at else ''}")


def _new_json(new: NewToken) -> dict[str, Any]:
    return {"scim_token": new.token, "expires_at": _iso(new.expires_at)}


def _token_json(one: ScimToken) -> dict[str, Any]:
    return {
        "id": one.id,
        "prefix": one.prefix,
        "state": one.state,
        "created_at": _iso(one.created_at),
        "expires_at": _iso(one.expires_at),
        "last_used_at": _iso(one.last_used_at),
        "revoked_at": _iso(one.revoked_at),
    }


def _minute(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
