"""What Alembic runs: the migrations, on the connection that `open_store` gives."""

from alembic import context

from rung.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
