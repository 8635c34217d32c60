"""The names of the demonstration's cheats, for the command line. What they do is in `adversary`; imports nothing."""

from __future__ import annotations

from enum import StrEnum


class Cheat(StrEnum):
    """What a miner of the demonstration can break."""

    SWAP = "swap"  # reveals another manifest than the one committed to
    SWAP_CHUNKS = "swap-chunks"  # reveals the right manifest and serves other chunks
    SILENT = "silent"  # takes connections and requests, and never answers
