"""The validator: supervisor, IO-Engine, compute workers. Only the command line imports this package."""
