"""Explains a score: computes it again from the stored data. `gaia explain` imports this package."""
