"""Adapters of the chain port. The validator's wiring and the miner build one; no other code names an adapter."""
