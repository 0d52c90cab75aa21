"""Alembic's entry: it runs on the connection that ``upgrade`` opened, in its transaction."""

from alembic import context

from waitline.bridge.store.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
context.run_migrations()
