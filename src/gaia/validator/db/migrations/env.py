"""Alembic runs this file for every command.

gaia.validator.db.setup passes the connection, inside the transaction that holds the lock. There is no ini file and no
offline mode.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
