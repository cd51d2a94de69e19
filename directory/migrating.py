"""Brings the database to the form that this version needs."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

# Any number of its own, the same for every version: two migrations never run at once.
_ADVISORY_LOCK = 0x67726F7570736C


def migrate(engine: Engine) -> tuple[str | None, str | None]:
    """Runs what is missing, in one transaction under an advisory lock.

    Returns the revisions before and after. A second caller waits and finds nothing to do.
    """
    with engine.begin() as connection:
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ADVISORY_LOCK}
        )
        before = current_revision(connection)
        command.upgrade(_config(connection), "head")
        return before, current_revision(connection)


def current_revision(connection: Connection) -> str | None:
    """The revision that the database is at; None before the first."""
    return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str | None:
    """The revision that this version brings."""
    return ScriptDirectory.from_config(_config(None)).get_current_head()


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
