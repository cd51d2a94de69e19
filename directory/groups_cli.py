"""`groupseal groups …`: deleted groups, and how to bring one back."""

from dataclasses import asdict
from datetime import UTC
from uuid import UUID

import click

from directory.cli_output import EXIT_CODES, as_json, database, print_json, reports_errors, settings
from directory.errors import ContendedError, NotFoundError
from directory.group_restore import (
    RESTORABLE_FOR,
    DeletedGroup,
    Restored,
    deleted_groups,
    restore_group,
)
from directory.memberships import canonical_uuid
from directory.tenancy import TenantScope
from directory.tenants import find_tenant
from directory.unit_of_work import UnitOfWork

_ATTEMPTS = 3
_tenant = click.option("--tenant", required=True, metavar="TENANT", help="Its id or name.")


@click.command("deleted", epilog=EXIT_CODES)
@_tenant
@as_json
@reports_errors
def groups_deleted(tenant: str, as_json: bool) -> None:
    """List the deleted groups that can be restored, the last deleted first."""
    with database() as engine, UnitOfWork(engine) as uow:
        found = deleted_groups(TenantScope(uow.connection, find_tenant(uow.connection, tenant)))
    if as_json:
        print_json({"groups": [asdict(group) for group in found]})
        return
    for group in found:
        click.echo(_line(group))
    if not found:
        click.echo(f"No group was deleted within the last {RESTORABLE_FOR.days} days.")


@click.command("restore", epilog=EXIT_CODES)
@_tenant
@click.option("--group", required=True, metavar="GROUP", help="Id of the deleted group.")
@click.option("--as", "name", metavar="NAME", help="Another name, if the old one is taken.")
@as_json
@reports_errors
def groups_restore(tenant: str, group: str, name: str | None, as_json: bool) -> None:
    """Bring a deleted group back, with the members whom it had.

    Users who were deleted since stay away; inactive ones wait until they are active again. The
    encryption service grants the others a new epoch. Make sure that the identity provider still
    knows the group under this id: what it pushes next decides.
    """
    if name is not None and not name.strip():
        raise click.UsageError("--as must not be empty")
    group_id = canonical_uuid(group)
    if group_id is None:
        raise NotFoundError(
            f"{group!r} is no id of a group: "
            f"`groupseal groups deleted --tenant {tenant}` lists them"
        )
    tenant_id, restored = _restore(tenant, UUID(group_id), name.strip() if name else None)
    _wake(tenant_id)
    if as_json:
        print_json(asdict(restored))
        return
    click.echo(f"{restored.display_name} is back with {restored.members} members.")
    if restored.gone:
        click.echo(f"{restored.gone} members are users no longer and stay away.")
    if restored.unresolved:
        click.echo(f"{restored.unresolved} pushed members are not known yet.")


def _restore(tenant: str, group_id: UUID, name: str | None) -> tuple[UUID, Restored]:
    """Tries again where somebody else was faster."""
    with database() as engine, UnitOfWork(engine) as uow:
        for attempt in range(1, _ATTEMPTS + 1):
            scope = TenantScope(uow.connection, find_tenant(uow.connection, tenant))
            try:
                restored = restore_group(scope, group_id, name)
            except ContendedError:
                uow.rollback()
                if attempt == _ATTEMPTS:
                    raise
            else:
                uow.commit()
                return scope.tenant_id, restored
    raise AssertionError("the last attempt returns or raises")


def _wake(tenant_id: UUID) -> None:
    """A hint only: without Redis, the sweeper finds the group."""
    from directory.wake_up import make_redis, wake

    redis = make_redis(settings().redis_url)
    wake(redis, tenant_id)
    redis.close()


def _line(group: DeletedGroup) -> str:
    awaited = f" and {group.unresolved} not known yet" if group.unresolved else ""
    return (
        f"{group.id}  {group.display_name}: {group.members} members{awaited}, "
        f"deleted {group.deleted_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, "
        f"restorable until {group.restorable_until.astimezone(UTC):%Y-%m-%d}"
    )
