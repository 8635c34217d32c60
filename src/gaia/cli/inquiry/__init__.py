"""How a command asks a validator: its database, and the /metrics of the one that runs."""
