"""The tasks that exist. A new one gets a folder here and an entry in `registry.py`."""
