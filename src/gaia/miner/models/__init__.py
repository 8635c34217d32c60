"""Forecast models of the reference miner, one per file."""
