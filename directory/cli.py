"""The vendor's commands on its own database."""

import click

from directory.database import make_engine
from directory.migrating import migrate as run_migrations
from directory.settings import DirectorySettings, SettingsError, load


def settings() -> DirectorySettings:
    """The environment's settings; a bad one ends the command with a sentence (status 2)."""
    try:
        return load(DirectorySettings)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None


@click.command()
def migrate() -> None:
    """Bring the database to the form that this version needs."""
    before, after = run_migrations(make_engine(settings().database_url))
    click.echo(f"The database was at {before or 'nothing'} and is at {after} now.")
