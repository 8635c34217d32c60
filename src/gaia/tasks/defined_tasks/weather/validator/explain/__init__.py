"""Explains a score: makes it once more from what is stored. `gaia explain` imports it."""
