"""What can be wrong with one chunk of a forecast, and whose fault that is.

Every message names the chunk, its lead, variable and level, and the value that was refused: a miner that
reads it can find the byte. Messages hold only names from the run specification and numbers, never text that a
miner supplied.
"""

from __future__ import annotations

from msgspec import Struct

from gaia.contracts.errors import MinerFault, ValidatorFault
from gaia.protocol.run_spec import FieldId


class Chunk(Struct, frozen=True, kw_only=True):
    """Which chunk of a forecast: its key in the store, and the field and lead that it holds."""

    key: str
    field: FieldId
    lead_h: int

    def __str__(self) -> str:
        level = "" if self.field.level_hpa is None else f" at {self.field.level_hpa} hPa"
        return f"chunk {self.key} ({self.field.variable}{level}, lead {self.lead_h} h)"


class ChunkMissing(MinerFault):
    """The manifest does not promise a chunk that the run asks for."""


class ChunkSizeWrong(MinerFault):
    """A chunk's file is not as long as the manifest says, or longer than any honest encoding of it."""


class ChunkDigestMismatch(MinerFault):
    """A chunk's bytes are not those that were committed to."""


class ChunkCorrupt(MinerFault):
    """A chunk cannot be decoded as the run's codec demands: cut short, of another codec or size, no file."""


class NonFiniteValue(MinerFault):
    """A field holds a NaN or an infinity."""


class ImplausibleValue(MinerFault):
    """A field holds a value that does not occur on Earth."""


class ChunkNotCached(ValidatorFault):
    """A chunk that the manifest promises has not been fetched yet, or was evicted: not the miner's fault."""

    retryable = True


class ChunkUnreadable(ValidatorFault):
    """The validator's own disk would not give a chunk back."""

    retryable = True
