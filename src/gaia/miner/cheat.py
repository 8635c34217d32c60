"""The names of the demonstration's cheats, for the command line. `adversary` implements them. Imports nothing."""

from __future__ import annotations

from enum import StrEnum


class Cheat(StrEnum):
    """The ways in which a miner of the demonstration can cheat."""

    SWAP = "swap"  # reveals another manifest than the one committed to
    SWAP_CHUNKS = "swap-chunks"  # reveals the right manifest and serves other chunks
    SILENT = "silent"  # accepts connections and requests, and never answers
