"""The command `encryption-service`: what serves, what looks at the store, what asks the service.

Exit status: 0 well, 1 something is wrong (the text says what), 2 usage.
"""

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from encryption_service import cli_admin, cli_groups, cli_policy
from encryption_service.errors import ServiceError
from groupseal.stop_signals import StopSignals


def _fail(error: ServiceError) -> NoReturn:
    click.echo(f"encryption-service: {error}", err=True)
    sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="groupseal")
def main() -> None:
    """Seals an organisation's group keys to its members, inside the organisation's own walls.

    Settings are environment variables with the prefix GROUPSEAL_SERVICE_. Exit status: 0 well,
    1 something is wrong, 2 usage.
    """


@main.command()
def serve() -> None:
    """Serve until told to stop (SIGTERM, SIGINT)."""
    from encryption_service.logs import configure_logs
    from encryption_service.settings import ServiceSettings, load
    from encryption_service.wiring import build

    stop = StopSignals()
    try:
        settings = load(ServiceSettings)
        configure_logs(settings.log_level)
        service = build(settings)
        try:
            service.start()
            stop.wait()
        finally:
            service.stop()
    except ServiceError as error:
        _fail(error)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As it is; the document is JSON anyway.")
def identity(*, as_json: bool) -> None:  # noqa: ARG001 # the same either way
    """Print the signed identity document with which the vendor connects the tenant."""
    from encryption_service.keyset import unseal_keyset
    from encryption_service.ledger_store import read_service
    from encryption_service.root_key.file import FileRootKey
    from encryption_service.server_identity import identity_document
    from encryption_service.settings import StoreSettings, load
    from encryption_service.store import Store

    try:
        settings = load(StoreSettings)
        with Store(settings.data_dir).reader() as connection:
            row = _require(read_service(connection))
        keyset = unseal_keyset(
            row.sealed_keyset, row.organisation, FileRootKey(_root_key_file(settings))
        )
        click.echo(identity_document(settings, keyset).to_json())
    except ServiceError as error:
        _fail(error)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
def fingerprint(*, as_json: bool) -> None:
    """Print the organisation's fingerprint, for people to compare."""
    from encryption_service.status import read_status

    try:
        status = read_status(_data_dir())
        text = str(status["fingerprint"])
        click.echo(json.dumps({"fingerprint": text}) if as_json else text)
    except ServiceError as error:
        _fail(error)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
def status(*, as_json: bool) -> None:
    """Print how the service is: ledger, what is held back and why, trust, certificates, faults."""
    from encryption_service.status import read_status

    try:
        found = read_status(_data_dir())
    except ServiceError as error:
        _fail(error)
    _print(found, as_json=as_json)
    faults = ("halted_reason", "policy_fault", "membership_fault", "certificate_fault")
    sys.exit(1 if any(found.get(name) for name in faults) else 0)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
def fsck(*, as_json: bool) -> None:
    """Check the whole store against its ledger, and its secrets against their public keys."""
    from encryption_service.fsck import check_store
    from encryption_service.root_key.file import FileRootKey
    from encryption_service.settings import StoreSettings, load
    from encryption_service.store import Store

    try:
        settings = load(StoreSettings)
        provider = FileRootKey(settings.root_key_file) if settings.root_key_file else None
        with Store(settings.data_dir).reader() as connection:
            report = check_store(connection, provider)
    except (ServiceError, sqlite3.Error) as error:
        _fail(error if isinstance(error, ServiceError) else ServiceError(f"store: {error}"))
    if as_json:
        click.echo(json.dumps({"checked": report.checked, "faults": report.faults}, indent=2))
    else:
        for fault in report.faults:
            click.echo(fault)
        counts = ", ".join(f"{count} {what}" for what, count in report.checked.items())
        click.echo(f"checked {counts}: {len(report.faults) or 'no'} faults")
    sys.exit(1 if report.faults else 0)


for _group in (
    cli_admin.keys,
    cli_admin.approvals,
    cli_admin.freeze,
    cli_groups.groups,
    cli_groups.holds,
    cli_policy.policy,
):
    main.add_command(_group)


@main.group("root-key")
def root_key() -> None:
    """The key under which the organisation's keyset is sealed."""


@root_key.command("create")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new file.")
def root_key_create(out: Path) -> None:
    """Make a root key. Keep a copy elsewhere: without it every group key is lost."""
    from encryption_service.root_key.file import create_root_key

    try:
        create_root_key(out)
    except ServiceError as error:
        _fail(error)
    click.echo(f"wrote {out}; keep a copy elsewhere", err=True)


def _data_dir() -> Path:
    from encryption_service.settings import StoreSettings, load

    return load(StoreSettings).data_dir


def _root_key_file(settings: Any) -> Path:  # settings are imported late
    from encryption_service.errors import SettingsError

    if settings.root_key_file is None:
        raise SettingsError("GROUPSEAL_SERVICE_ROOT_KEY_FILE is not set; this command needs it.")
    return Path(settings.root_key_file)


def _require(row: Any) -> Any:  # whatever is there
    from encryption_service.errors import StoreError

    if row is None:
        raise StoreError("the store holds no organisation yet: start `encryption-service serve`")
    return row


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    width = max(len(name) for name in found)
    for name, value in found.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {_shown(value)}")


def _shown(value: object) -> str:
    """One line; a dash for nothing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {count}" for key, count in sorted(value.items())) or "-"
    return "-" if value is None else str(value)
