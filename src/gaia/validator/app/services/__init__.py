"""Background services of the IO-Engine, one a file."""
