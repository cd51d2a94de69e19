from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from directory.database import make_engine
from directory.tables import metadata


def test_same(database_url):
    """The migrations make exactly the tables that the code describes."""
    e = make_engine(database_url)
    with e.connect() as c:
        diff = compare_metadata(
            MigrationContext.configure(
                c, opts={"compare_server_default": True, "compare_type": True}
            ),
            metadata,
        )
    e.dispose()
    assert diff == []
