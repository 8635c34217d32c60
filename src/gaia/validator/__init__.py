"""The validator: supervisor, IO-Engine, compute workers. Imported by the command line only."""
