"""The schema: what the migrations make is what the code describes."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from directory.database import make_engine
from directory.migrating import _config
from directory.tables import metadata


def test_the_migrations_make_the_tables_that_the_code_describes(database_url: str) -> None:
    """Columns, types, defaults, keys and indexes agree; autogeneration finds no difference."""
    engine = make_engine(database_url)
    with engine.connect() as connection:
        difference = compare_metadata(
            MigrationContext.configure(
                connection, opts={"compare_server_default": True, "compare_type": True}
            ),
            metadata,
        )
    engine.dispose()
    assert difference == []


def test_every_step_can_be_taken_back_and_again(database_url: str) -> None:
    """Down to the first tables and up again: the same schema as before."""
    engine = make_engine(database_url)
    with engine.begin() as connection:
        config = _config(connection)
        command.downgrade(config, "0001")
        command.upgrade(config, "head")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()
