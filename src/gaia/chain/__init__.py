"""Adapters of the chain port. The validator's wiring and the miner's server build one; nobody else names an
adapter.
"""
