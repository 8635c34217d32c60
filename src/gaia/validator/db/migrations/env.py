"""What Alembic runs for every command. The caller, gaia.validator.db.setup, brings the connection, inside the
transaction that holds the lock; there is no ini file and no offline mode."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
