"""The existing tasks. A new task gets a folder here and an entry in `registry.py`."""
