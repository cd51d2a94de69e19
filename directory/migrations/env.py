"""Runs migrations on the connection that `directory.migrating` hands over."""

from alembic import context

from directory.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
