"""Compiled loops over fields, and the cache of their machine code between processes."""
