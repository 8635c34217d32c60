"""One chunk: a horizontal field of float32 <-> the bytes that Zarr's `bytes` + `blosc` codecs store.

Owns the Blosc header check. It never lets the decompressor see bytes whose header does not announce exactly
the expected field in exactly the run's codec, never allocates by a size that a miner chose, and never changes
a value.
"""

from __future__ import annotations

import struct
from math import isfinite
from typing import Final

import numpy as np
from msgspec import Struct
from numcodecs import blosc
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.forecast.chunk_errors import (
    Chunk,
    ChunkCorrupt,
    ImplausibleValue,
    NonFiniteValue,
)
from gaia.tasks.defined_tasks.weather.variables import VARIABLES

Field = NDArray[np.float32]
"""One horizontal field, (latitude, longitude), C-ordered."""

OVERHEAD_BYTES: Final = 16
"""The Blosc header. Incompressible input is stored behind it as it is: no encoding exceeds it by more."""

CODEC_NAME: Final = "zstd"
CODEC_LEVEL: Final = 3
TYPESIZE_BYTES: Final = 4

# The 16-byte header of Blosc 1: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
_HEADER: Final = struct.Struct("<BBBBIII")  # format, codec's format, flags, typesize, nbytes, blocksize, cbytes
_FORMAT: Final = 2
_ZSTD_FORMAT: Final = 1
_FLAG_BYTE_SHUFFLE: Final = 0x01
_FLAG_BIT_SHUFFLE: Final = 0x04
_FLAGS_RESERVED: Final = 0x08
_COMPRESSOR_SHIFT: Final = 5
_COMPRESSOR_ZSTD: Final = 4

# One process, one core: a worker has its own neighbours, and Blosc's thread pool is shared state that spawn
# and signals do not get on with. Process-wide by the library's design; zarr-python sets the same at import.
blosc.use_threads = False


class ValueRange(Struct, frozen=True, kw_only=True):
    """The least and greatest value of a field or of several, in the variable's own unit."""

    minimum: float
    maximum: float

    def merged(self, other: ValueRange) -> ValueRange:
        """The range of both."""
        return ValueRange(minimum=min(self.minimum, other.minimum), maximum=max(self.maximum, other.maximum))


def encode_field(values: Field) -> bytes:
    """The chunk's bytes: little-endian float32, byte shuffle, Zstandard level 3.

    `values` must be float32 (latitude, longitude); any memory order.
    """
    plain = np.ascontiguousarray(values, dtype="<f4").reshape(-1)
    encoded: bytes = blosc.compress(plain, CODEC_NAME.encode(), CODEC_LEVEL, blosc.SHUFFLE, 0, TYPESIZE_BYTES)
    return encoded


def decode_field(encoded: memoryview, chunk: Chunk, out: Field) -> None:
    """Decode a chunk into `out`, float32 (latitude, longitude), C-ordered.

    Raises ChunkCorrupt, before anything is decompressed where the header already lies.
    """
    _check_header(encoded, chunk, out.nbytes)
    try:
        blosc.decompress(encoded, out)
    except (
        RuntimeError,
        ValueError,
    ) as error:  # the library's ways to say that the body contradicts the header
        raise ChunkCorrupt(f"{chunk} does not decompress: {error}") from error


def range_of(values: Field, chunk: Chunk) -> ValueRange:
    """Least and greatest value, in the variable's unit; raises NonFiniteValue, ImplausibleValue.

    Two passes that allocate nothing: minimum and maximum both propagate NaN, and an infinity is one of the
    two.
    """
    found = ValueRange(minimum=float(values.min()), maximum=float(values.max()))
    if not (isfinite(found.minimum) and isfinite(found.maximum)):
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise NonFiniteValue(
            f"{chunk} holds {float(values[row, column])} at latitude index {row}, longitude index {column};"
            f" every value must be finite"
        )
    known = VARIABLES[chunk.field.variable]
    low, high = (float(np.float32(limit)) for limit in known.plausible)  # what a field clipped to them holds
    if found.minimum < low or found.maximum > high:
        row, column = np.argwhere((values < low) | (values > high))[0]
        raise ImplausibleValue(
            f"{chunk} holds {float(values[row, column]):.7g} {known.unit} at latitude index {row},"
            f" longitude index {column}; plausible is {low:g} to {high:g} {known.unit}"
        )
    return found


def _check_header(encoded: memoryview, chunk: Chunk, expected_bytes: int) -> None:
    if len(encoded) < OVERHEAD_BYTES:
        raise ChunkCorrupt(f"{chunk} has {len(encoded)} bytes, too few for a Blosc header of {OVERHEAD_BYTES}")
    version, codec_version, flags, typesize, nbytes, blocksize, cbytes = _HEADER.unpack_from(encoded)
    compressor = flags >> _COMPRESSOR_SHIFT
    if version != _FORMAT or flags & _FLAGS_RESERVED:
        raise ChunkCorrupt(f"{chunk} is not a Blosc {_FORMAT} chunk: version {version}, flags {flags:#04x}")
    if (compressor, codec_version) != (_COMPRESSOR_ZSTD, _ZSTD_FORMAT):
        raise ChunkCorrupt(
            f"{chunk} uses Blosc compressor {compressor} version {codec_version}; the run asks for Zstandard"
            f" ({_COMPRESSOR_ZSTD} version {_ZSTD_FORMAT})"
        )
    if flags & _FLAG_BIT_SHUFFLE or not flags & _FLAG_BYTE_SHUFFLE or typesize != TYPESIZE_BYTES:
        raise ChunkCorrupt(
            f"{chunk} is shuffled otherwise than by bytes of {TYPESIZE_BYTES}-byte numbers:"
            f" flags {flags:#04x}, typesize {typesize}"
        )
    if nbytes != expected_bytes:
        raise ChunkCorrupt(f"{chunk} announces {nbytes} decoded bytes; the run's field has {expected_bytes}")
    if cbytes != len(encoded):
        raise ChunkCorrupt(f"{chunk} announces {cbytes} encoded bytes; the file has {len(encoded)}")
    if not 0 < blocksize <= nbytes:
        raise ChunkCorrupt(f"{chunk} announces blocks of {blocksize} bytes in a field of {nbytes}")
