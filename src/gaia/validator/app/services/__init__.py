"""Background services of the IO-Engine, one per file."""
