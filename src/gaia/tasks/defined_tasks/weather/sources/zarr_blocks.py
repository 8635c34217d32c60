"""Blocks of a local Zarr 2 or 3 array of plain Blosc chunks, without zarr-python's cost per chunk.

Owns the case that weather archives are made of: little-endian float32, C order, Blosc and nothing else, one file
a chunk. Any other array is not taken (`ZarrBlocks.open` gives None) and is zarr-python's to read. Must never
decompress what its header does not announce to be one chunk, and never fills a chunk that is not there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from numcodecs import blosc
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.sources.chunk_codec import OVERHEAD_BYTES
from gaia.tasks.defined_tasks.weather.sources.confined_file import UnsafePath, open_confined
from gaia.tasks.defined_tasks.weather.sources.errors import StoreDamaged

_METADATA_LIMIT_BYTES: Final = 1 << 20
_HEADER: Final = struct.Struct("<4B3I")
"""Blosc 1: two versions, flags, item size, decoded bytes, block size, encoded bytes."""


class _Layout(Struct, frozen=True, kw_only=True):
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    prefix: str
    separator: str


Seen = Callable[[str, memoryview], None]
"""Told of every chunk before it is decoded: its key and its stored bytes."""


class ZarrBlocks:
    """One array. For one thread: it reuses its buffers."""

    def __init__(self, folder: Path, layout: _Layout) -> None:
        self._folder = folder
        self._layout = layout
        self._decoded = np.empty(layout.chunks, dtype=np.float32)
        self._encoded = memoryview(bytearray(self._decoded.nbytes + OVERHEAD_BYTES))

    @classmethod
    def open(cls, folder: Path) -> ZarrBlocks | None:
        """The array in `folder`, or None if it is not of the kind that is read here."""
        for name, layout_of in (("zarr.json", _layout_v3), (".zarray", _layout_v2)):
            metadata = _metadata(folder / name)
            layout = None if metadata is None else layout_of(metadata)
            if layout is not None and len(layout.shape) == len(layout.chunks) and min(*layout.chunks, 1) > 0:
                return cls(folder, layout)
        return None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole array."""
        return self._layout.shape

    def read(
        self, at: tuple[int, ...], *, out: NDArray[np.float32] | None = None, seen: Seen | None = None
    ) -> NDArray[np.float32]:
        """The block at these indices along the first axes: float32, of the shape of the rest, each chunk read once.

        It is put into `out`, C-ordered and of that shape, where one is given: fresh memory costs as much as half the
        decoding. Raises StoreDamaged for a chunk that is missing, cut short or of another size than the array says.
        """
        block = np.empty(self.shape[len(at) :], dtype=np.float32) if out is None else out
        for chunk in self._chunks(at):
            if self._decoded.size == block.size and self._decoded.shape[len(at) :] == block.shape:
                self._decode(chunk, block, seen)
            else:
                self._decode(chunk, self._decoded, seen)
                self._place(chunk, at, block)
        return block

    def _place(self, chunk: tuple[int, ...], at: tuple[int, ...], block: NDArray[np.float32]) -> None:
        """Copy from the decoded chunk what lies in the block; a chunk at the edge reaches beyond the array."""
        sizes = self._layout.chunks
        starts = [c * size for c, size in zip(chunk, sizes, strict=True)][len(at) :]
        ends = [min(a + n, whole) for a, n, whole in zip(starts, sizes[len(at) :], block.shape, strict=True)]
        inside: tuple[int | slice, ...] = tuple(index % size for index, size in zip(at, sizes, strict=False))
        source = (*inside, *(slice(0, b - a) for a, b in zip(starts, ends, strict=True)))
        block[tuple(slice(a, b) for a, b in zip(starts, ends, strict=True))] = self._decoded[source]

    def _chunks(self, at: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(at) > len(self.shape) or any(not 0 <= i < n for i, n in zip(at, self.shape, strict=False)):
            raise IndexError(f"{self._folder} has shape {self.shape}, there is no block at {at}")
        fixed = [range(i // size, i // size + 1) for i, size in zip(at, self._layout.chunks, strict=False)]
        rest = zip(self.shape[len(at) :], self._layout.chunks[len(at) :], strict=True)
        return product(*fixed, *(range(-(-n // size)) for n, size in rest))

    def _decode(self, chunk: tuple[int, ...], out: NDArray[np.float32], seen: Seen | None) -> None:
        key = self._layout.prefix + self._layout.separator.join(map(str, chunk))
        encoded = self._file(key)
        if seen is not None:
            seen(key, encoded)
        *_, decoded_bytes, _, encoded_bytes = _HEADER.unpack_from(encoded)
        if (decoded_bytes, encoded_bytes) != (self._decoded.nbytes, len(encoded)):
            raise StoreDamaged(
                f"chunk {key} of {self._folder} announces {encoded_bytes} bytes that decode to {decoded_bytes}; it has"
                f" {len(encoded)}, and a chunk of the array {self._decoded.nbytes}"
            )
        try:
            blosc.decompress(encoded, out)
        except (RuntimeError, ValueError) as error:
            raise StoreDamaged(f"chunk {key} of {self._folder} does not decompress: {error}") from error

    def _file(self, key: str) -> memoryview:
        try:
            with open_confined(self._folder, key) as file:
                size_bytes = file.readinto(self._encoded)
                if size_bytes < OVERHEAD_BYTES or file.read(1):
                    raise StoreDamaged(f"chunk {key} of {self._folder} is shorter or longer than any chunk can be")
                return self._encoded[:size_bytes]
        except FileNotFoundError:
            raise StoreDamaged(f"chunk {key} of {self._folder} is missing; nothing is filled in") from None
        except (OSError, UnsafePath) as error:
            raise StoreDamaged(f"chunk {key} of {self._folder} cannot be read: {error}") from error


def _metadata(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > _METADATA_LIMIT_BYTES:
            return None
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        return None


class _V2(Struct, frozen=True, kw_only=True):
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    order: str
    compressor: dict[str, Any] | None
    filters: list[Any] | None = None
    dimension_separator: str = "."


class _Named(Struct, frozen=True):
    name: str
    configuration: dict[str, Any] = {}


class _V3(Struct, frozen=True, kw_only=True):
    shape: tuple[int, ...]
    data_type: str
    chunk_grid: _Named
    chunk_key_encoding: _Named
    codecs: list[_Named]
    node_type: str
    storage_transformers: list[Any] = []


def _layout_v2(metadata: dict[str, Any]) -> _Layout | None:
    try:
        array = msgspec.convert(metadata, _V2)
    except msgspec.ValidationError:
        return None
    blosc_only = (array.compressor or {}).get("id") == "blosc" and not array.filters
    if array.dtype != "<f4" or array.order != "C" or not blosc_only or not array.shape:
        return None
    return _Layout(shape=array.shape, chunks=array.chunks, prefix="", separator=array.dimension_separator)


def _layout_v3(metadata: dict[str, Any]) -> _Layout | None:
    try:
        array = msgspec.convert(metadata, _V3)
        chunks = msgspec.convert(array.chunk_grid.configuration.get("chunk_shape"), tuple[int, ...])
    except msgspec.ValidationError:
        return None
    codecs = [codec.name for codec in array.codecs]
    plain = (array.node_type, array.data_type, array.chunk_grid.name) == ("array", "float32", "regular")
    little = plain and codecs == ["bytes", "blosc"] and array.codecs[0].configuration.get("endian") == "little"
    if not little or array.storage_transformers or array.chunk_key_encoding.name != "default" or not array.shape:
        return None
    separator = str(array.chunk_key_encoding.configuration.get("separator", "/"))
    return _Layout(shape=array.shape, chunks=chunks, prefix=f"c{separator}", separator=separator)
