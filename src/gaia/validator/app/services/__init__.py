"""Background services of the IO-Engine, one in each file."""
