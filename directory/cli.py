"""The vendor's commands on its own database."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import click
from sqlalchemy import Connection

from directory.cli_output import (
    EXIT_CODES,
    PENDING,
    as_json,
    database,
    print_json,
    reports_errors,
    settings,
)
from directory.credentials import create_code
from directory.finding import find_group, find_user
from directory.holds import release
from directory.status import TenantStatus, read_status
from directory.status import as_json as status_json
from directory.status_text import tenant_text
from directory.tenancy import TenantScope
from directory.tenants import create_tenant, find_tenant
from directory.unit_of_work import UnitOfWork

_tenant = click.option("--tenant", required=True, metavar="TENANT", help="Its id or name.")


@click.command(epilog=EXIT_CODES)
@reports_errors
def migrate() -> None:
    """Bring the database to the form that this version needs.

    May run beside another of its kind: the second waits and finds nothing to do.
    """
    from directory.migrating import migrate as run_migrations

    with database() as engine:
        before, after = run_migrations(engine)
    click.echo(f"The database was at {before or 'nothing'} and is at {after} now.")


@click.command("create", epilog=EXIT_CODES)
@click.option("--name", required=True, help="Unique name of the customer.")
@as_json
@reports_errors
def tenant_create(name: str, as_json: bool) -> None:
    """Create a tenant and its first SCIM token.

    The token is shown this one time. Next: `groupseal tenant connect`, and give base URL and token
    to the identity provider.
    """
    if not name.strip():
        raise click.UsageError("--name must not be empty")
    with database() as engine, UnitOfWork(engine) as uow:
        made = create_tenant(uow.connection, name.strip())
        uow.commit()
    if as_json:
        print_json({"tenant_id": str(made.tenant_id), "scim_token": made.scim_token})
        return
    click.echo(f"Tenant:     {made.tenant_id}")
    click.echo(f"SCIM token: {made.scim_token}   (shown this one time)")
    click.echo("Next: groupseal tenant connect")


@click.command("status", epilog=EXIT_CODES)
@click.argument("tenant", required=False)
@click.option("--all", "every_group", is_flag=True, help="Settled groups, too.")
@as_json
@reports_errors
def tenant_status(tenant: str | None, every_group: bool, as_json: bool) -> None:
    """Show tenants, or one by id or name: connection, ledger, memberships."""
    _show_status(tenant, every_group=every_group, as_json=as_json)


@click.command(epilog=EXIT_CODES)
@click.option("--tenant", metavar="TENANT", help="Only this one, by id or name.")
@click.option("--all", "every_group", is_flag=True, help="Settled groups, too.")
@as_json
@reports_errors
def status(tenant: str | None, every_group: bool, as_json: bool) -> None:
    """Show what is pending, since when and why, per tenant and group.

    Ends with 1 while something is pending or wrong, so that scripts can wait for 0.
    """
    if _show_status(tenant, every_group=every_group, as_json=as_json):
        raise click.exceptions.Exit(PENDING)


@click.command("release", epilog=EXIT_CODES)
@_tenant
@click.option("--group", metavar="GROUP", help="Only in this group, by id or name.")
@click.option("--user", metavar="USER", help="Only this user, by id or userName.")
@as_json
@reports_errors
def tenant_release(tenant: str, group: str | None, user: str | None, as_json: bool) -> None:
    """Let members in again who are held because the database was restored.

    A held member had left, says the ledger, in the time that the database has forgotten. Make sure
    that the identity provider wants him; pushing the group again from there does the same.
    """
    with database() as engine, UnitOfWork(engine) as uow:
        scope = TenantScope(uow.connection, find_tenant(uow.connection, tenant))
        count = release(
            scope,
            group_id=None if group is None else find_group(scope, group),
            user_id=None if user is None else find_user(scope, user),
        )
        uow.commit()
    if count:
        from directory.wake_up import make_redis, wake

        redis = make_redis(settings().redis_url)
        wake(redis, scope.tenant_id)
        redis.close()
    if as_json:
        print_json({"released": count})
    else:
        click.echo(f"{count} memberships released.")


@click.command("create", epilog=EXIT_CODES)
@_tenant
@click.option("--user", required=True, metavar="USER", help="userName or id.")
@click.option(
    "--valid-hours", type=click.IntRange(1, 720), default=72, show_default=True, help="Validity."
)
@as_json
@reports_errors
def enrolment_code_create(tenant: str, user: str, valid_hours: int, as_json: bool) -> None:
    """Make a one-time code with which a user enrols a device.

    Hand it over in person or on a channel that you trust. Next, on the member's computer:
    `groupseal member enrol --server URL --code CODE`.
    """
    with database() as engine, UnitOfWork(engine) as uow:
        scope = TenantScope(uow.connection, find_tenant(uow.connection, tenant))
        member_id = find_user(scope, user)
        code, expires_at = create_code(scope, member_id, timedelta(hours=valid_hours))
        uow.commit()
    if as_json:
        print_json(
            {
                "code": code,
                "member_id": str(member_id),
                "expires_at": expires_at.astimezone(UTC).isoformat(),
            }
        )
        return
    click.echo(f"Code: {code}   (works once, until {expires_at:%Y-%m-%d %H:%M} UTC)")


@click.command(epilog=EXIT_CODES)
@click.option("--tenant", metavar="TENANT", help="Only this one, by id or name.")
@as_json
@reports_errors
def fsck(tenant: str | None, as_json: bool) -> None:
    """Check every invariant that the stored state can show. Ends with 1 if one does not hold."""
    from directory.fsck import check

    with database() as engine, UnitOfWork(engine) as uow:
        tenant_id = None if tenant is None else find_tenant(uow.connection, tenant)
        findings = check(uow.connection, tenant_id)
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            click.echo(str(finding))
        click.echo(f"{len(findings)} findings." if findings else "Nothing is wrong.")
    if findings:
        raise click.exceptions.Exit(PENDING)


def _show_status(tenant: str | None, *, every_group: bool, as_json: bool) -> bool:
    """Prints the status; tells whether something is pending."""
    statuses = _with_connection(
        lambda connection: read_status(
            connection, None if tenant is None else find_tenant(connection, tenant)
        )
    )
    pending = any(one.pending for one in statuses)
    if as_json:
        shown = [status_json(one, every_group=every_group) for one in statuses]
        print_json({"pending": pending, "tenants": shown})
        return pending
    now = datetime.now(UTC)
    for one in statuses:
        click.echo(tenant_text(one, every_group=every_group, now=now))
    if not statuses:
        click.echo("There is no tenant yet: groupseal tenant create --name NAME")
    return pending


def _with_connection(
    use: Callable[[Connection], list[TenantStatus]],
) -> list[TenantStatus]:
    with database() as engine, UnitOfWork(engine) as uow:
        return use(uow.connection)
