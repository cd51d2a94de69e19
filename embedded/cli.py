"""The command `groupseal up`."""

import sys
from pathlib import Path

import click

from embedded.errors import EmbeddedError, StopRequestedError
from embedded.ready_file import ReadyFile
from embedded.settings import EmbeddedSettings
from embedded.stack import Stack


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that holds everything and survives a restart.  [default: ./groupseal-data]",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write, once everything serves, one JSON object to: URLs, token, process ids.",
)
@click.option("--port", type=int, help="Port of the gateway.  [default: a free one, kept]")
@click.option(
    "--service-port", type=int, help="Port of the encryption service.  [default: a free one, kept]"
)
@click.option("--workers", type=int, help="Number of worker processes.  [default: 1]")
@click.option(
    "--database-url",
    help="A PostgreSQL that exists, in place of our own (better: GROUPSEAL_DATABASE_URL).",
)
@click.option(
    "--redis-url", help="A Redis that exists, in place of our own (better: GROUPSEAL_REDIS_URL)."
)
def up(**options: object) -> None:
    """Start the whole product on this machine; Ctrl-C ends all of it.

    PostgreSQL and Redis included, each component is a process of its own, and one that dies is
    started again. All data is in one folder. Every option can also be given as an environment
    variable: GROUPSEAL_ and its name, such as GROUPSEAL_DATA.

    Exit status: 0 after Ctrl-C or SIGTERM, 1 if something could not be started, 2 for a wrong
    option.

    Next: give the SCIM base URL and the token to your identity provider, or run `make demo`.
    """
    try:
        settings = EmbeddedSettings.load(**options)
    except EmbeddedError as error:
        raise click.UsageError(str(error)) from error

    def announce(ready: ReadyFile) -> None:
        _announce(ready, settings)

    try:
        Stack(settings=settings, console=_say, on_ready=announce).run()
    except StopRequestedError as error:
        _say(str(error))
    except EmbeddedError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:  # its text names the file
        raise click.ClickException(
            f"{error}. Check that the data folder {settings.data} is yours and has space."
        ) from error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _announce(ready: ReadyFile, settings: EmbeddedSettings) -> None:
    # Not the token itself: consoles end up in logs.
    where_token_is = settings.data / "local-tenant.json"
    rows = {
        "SCIM base URL": ready.scim_base_url,
        "SCIM token": f"in {where_token_is}",
        "Member API": ready.member_api_url,
        "Fingerprint": ready.fingerprint,
        "Tenant": ready.tenant_id,
        "Logs": str(settings.data / "logs"),
    }
    print("\nGroupseal serves. Ctrl-C ends it.")
    for name, value in rows.items():
        print(f"  {name:<14} {value}")
    print(flush=True)
