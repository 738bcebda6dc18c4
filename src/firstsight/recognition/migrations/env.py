"""Alembic's entry: runs the migrations on the connection it is handed, inside the caller's transaction."""

from alembic import context

from firstsight.recognition.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
