"""Gaia: the validator of Bittensor subnet 57 and its forecast-scoring engine."""

__version__ = "4.0.0.dev0"
