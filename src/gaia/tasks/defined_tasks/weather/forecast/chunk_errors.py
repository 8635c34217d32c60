"""The errors of a single chunk of a forecast, and whose fault each is.

Every message names the chunk, its lead, variable and level, and the refused value, so that the miner can find it.
Messages contain only numbers and names from the run specification, never text that a miner supplied.
"""

from __future__ import annotations

from msgspec import Struct

from gaia.contracts.errors import MinerFault, ValidatorFault
from gaia.protocol.run_spec import FieldId


class Chunk(Struct, frozen=True, kw_only=True):
    """Names a chunk of a forecast: its key in the store, and the field and lead that it holds."""

    key: str
    field: FieldId
    lead_h: int

    def __str__(self) -> str:
        level = "" if self.field.level_hpa is None else f" at {self.field.level_hpa} hPa"
        return f"chunk {self.key} ({self.field.variable}{level}, lead {self.lead_h} h)"


class ChunkMissing(MinerFault):
    """The manifest does not list a chunk that the run asks for."""


class ChunkSizeWrong(MinerFault):
    """A chunk's file is not as long as the manifest says, or longer than any honest encoding of it."""


class ChunkDigestMismatch(MinerFault):
    """A chunk's bytes are not those that the miner committed to."""


class ChunkCorrupt(MinerFault):
    """A chunk cannot be decoded by the run's codec: it is cut short, of another codec or size, or not a plain file."""


class NonFiniteValue(MinerFault):
    """A field holds a NaN or an infinity."""


class ImplausibleValue(MinerFault):
    """A field holds a value that does not occur on Earth."""


class ChunkNotCached(ValidatorFault):
    """A chunk of the manifest has not been fetched yet, or was evicted. This is not the miner's fault."""

    retryable = True


class ChunkUnreadable(ValidatorFault):
    """The validator cannot read a chunk from its own disk."""

    retryable = True
