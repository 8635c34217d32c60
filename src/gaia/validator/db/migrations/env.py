"""Alembic runs this file for every command.

gaia.validator.db.setup passes the connection, inside the transaction that holds the lock, and the version table of the
history. There is no ini file and no offline mode.
"""

from alembic import context

attributes = context.config.attributes
context.configure(connection=attributes["connection"], version_table=attributes["version_table"])
with context.begin_transaction():
    context.run_migrations()
