"""Reads blocks of a local Zarr 2 or 3 array of plain chunks, without zarr-python's cost for each chunk.

Reads the kind of array that weather archives consist of: little-endian float32, C order, Blosc or no compression, one
file for each chunk. For any other array `ZarrBlocks.open` gives None, and zarr-python must read it. Must never
decompress bytes whose header does not announce exactly one chunk, and never fills in a missing chunk.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from numcodecs import blosc
from numpy.typing import NDArray

from gaia.contracts.decoding import UNDECODABLE
from gaia.tasks.defined_tasks.weather.files.confined_file import UnsafePath, open_confined
from gaia.tasks.defined_tasks.weather.files.errors import StoreDamaged

_BLOSC_OVERHEAD_BYTES: Final = 16
"""The size that blosc adds to a chunk that cannot be compressed: BLOSC_MAX_OVERHEAD of c-blosc."""
_METADATA_LIMIT_BYTES: Final = 1 << 20
_CHUNK_LIMIT_BYTES: Final = 256 << 20
"""The metadata decide the size of a chunk's buffers, so it needs a bound. 37 levels of 0.25 degrees take 154 MB."""
_HEADER: Final = struct.Struct("<4B3I")
"""Blosc 1: two versions, flags, item size, decoded bytes, block size, encoded bytes."""


class _Layout(Struct, frozen=True, kw_only=True):
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    prefix: str
    separator: str
    compressed: bool

    @property
    def chunk_bytes(self) -> int:
        return prod(self.chunks) * np.dtype(np.float32).itemsize

    @property
    def is_sound(self) -> bool:
        """Whether there is at least one axis, and a chunk fits into memory."""
        alike = len(self.shape) == len(self.chunks) > 0 and min(self.chunks) > 0
        return alike and self.chunk_bytes <= _CHUNK_LIMIT_BYTES


Seen = Callable[[str, memoryview], None]
"""Called for every chunk before it is decoded, with its key and its stored bytes."""


class ZarrBlocks:
    """One array. For one thread: it reuses its buffers."""

    def __init__(self, folder: Path, layout: _Layout) -> None:
        self._folder = folder
        self._layout = layout
        self._decoded = np.empty(layout.chunks, dtype=np.float32)
        self._encoded = memoryview(bytearray(self._decoded.nbytes + _BLOSC_OVERHEAD_BYTES))

    @classmethod
    def open(cls, folder: Path) -> ZarrBlocks | None:
        """The array in `folder`; None if it is not of the kind that this module reads."""
        for name, layout_of in (("zarr.json", _layout_v3), (".zarray", _layout_v2)):
            metadata = _metadata(folder / name)
            if metadata is not None:  # of two formats side by side zarr-python also reads the newer one
                layout = layout_of(metadata)
                return cls(folder, layout) if layout is not None and layout.is_sound else None
        return None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole array."""
        return self._layout.shape

    def read(
        self, at: Sequence[int | range], *, out: NDArray[np.float32] | None = None, seen: Seen | None = None
    ) -> NDArray[np.float32]:
        """The block at these indices or ranges (of step 1) of the first axes, and all of the other axes.

        Each chunk is read once. The block is float32; an axis with an index is dropped, an axis with a range stays. If
        `out` is given (C-ordered, of the block's shape), the block is written into it: new memory costs as much as half
        the decoding. Raises StoreDamaged for a chunk that is missing, cut short or of the wrong size, and IndexError
        beyond the array.
        """
        box = self._box(at)
        dropped = [axis for axis, index in enumerate(at) if isinstance(index, int)]
        kept = [len(run) for axis, run in enumerate(box) if axis not in dropped]
        block = np.empty(kept, dtype=np.float32) if out is None else out
        whole = block.reshape([len(run) for run in box])
        sizes = self._layout.chunks
        for chunk in product(*(range(run.start // n, -(-run.stop // n)) for run, n in zip(box, sizes, strict=True))):
            inside = [range(c * n, (c + 1) * n) for c, n in zip(chunk, sizes, strict=True)]
            if inside == box:
                self._decode(chunk, whole, seen)
            else:
                self._decode(chunk, self._decoded, seen)
                _place(self._decoded, inside, whole, box)
        return block

    def _box(self, at: Sequence[int | range]) -> list[range]:
        """The wanted part of every axis."""
        box = [range(i, i + 1) if isinstance(i, int) else i for i in at] + [range(n) for n in self.shape[len(at) :]]
        if len(at) > len(self.shape) or any(
            run.step != 1 or not 0 <= run.start < run.stop <= size for run, size in zip(box, self.shape, strict=True)
        ):
            raise IndexError(f"{self._folder} has shape {self.shape}, there is no block at {tuple(at)}")
        return box

    def _decode(self, chunk: tuple[int, ...], out: NDArray[np.float32], seen: Seen | None) -> None:
        key = self._layout.prefix + self._layout.separator.join(map(str, chunk))
        encoded = self._file(key)
        if seen is not None:
            seen(key, encoded)
        if not self._layout.compressed:
            self._copy(key, encoded, out)
            return
        *_, decoded_bytes, _, encoded_bytes = _HEADER.unpack_from(encoded)
        if (decoded_bytes, encoded_bytes) != (self._decoded.nbytes, len(encoded)):
            raise StoreDamaged(
                f"chunk {key} of {self._folder} announces {encoded_bytes} bytes that decode to {decoded_bytes}; the "
                f"file has {len(encoded)}, and a chunk of the array decodes to {self._decoded.nbytes}"
            )
        try:
            blosc.decompress(encoded, out)
        except (RuntimeError, ValueError) as error:
            raise StoreDamaged(f"chunk {key} of {self._folder} does not decompress: {error}") from error

    def _copy(self, key: str, stored: memoryview, out: NDArray[np.float32]) -> None:
        if len(stored) != out.nbytes:
            raise StoreDamaged(f"chunk {key} of {self._folder} has {len(stored)} bytes; {out.nbytes} are expected")
        np.copyto(out, np.frombuffer(stored, dtype="<f4").reshape(out.shape))

    def _file(self, key: str) -> memoryview:
        try:
            with open_confined(self._folder, key) as file:
                size_bytes = file.readinto(self._encoded)
                if size_bytes < (_HEADER.size if self._layout.compressed else 1) or file.read(1):
                    raise StoreDamaged(f"chunk {key} of {self._folder} is shorter or longer than any chunk can be")
                return self._encoded[:size_bytes]
        except FileNotFoundError:
            raise StoreDamaged(f"chunk {key} of {self._folder} is missing; nothing is filled in") from None
        except (OSError, UnsafePath) as error:
            raise StoreDamaged(f"chunk {key} of {self._folder} cannot be read: {error}") from error


def _place(
    source: NDArray[np.float32], source_box: Sequence[range], target: NDArray[np.float32], target_box: Sequence[range]
) -> None:
    """Copy the part that both boxes share. A chunk at the edge reaches beyond the array; a block may end in a chunk."""
    shared = [range(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(source_box, target_box, strict=True)]
    here, there = (
        tuple(slice(run.start - box.start, run.stop - box.start) for run, box in zip(shared, boxes, strict=True))
        for boxes in (target_box, source_box)
    )
    target[here] = source[there]


def _metadata(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > _METADATA_LIMIT_BYTES:
            return None
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, *UNDECODABLE):
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
    plain = (array.compressor or {"id": "blosc"}).get("id") == "blosc" and not array.filters
    if array.dtype != "<f4" or array.order != "C" or not plain:
        return None
    return _Layout(
        shape=array.shape,
        chunks=array.chunks,
        prefix="",
        separator=array.dimension_separator,
        compressed=array.compressor is not None,
    )


def _layout_v3(metadata: dict[str, Any]) -> _Layout | None:
    try:
        array = msgspec.convert(metadata, _V3)
        chunks = msgspec.convert(array.chunk_grid.configuration.get("chunk_shape"), tuple[int, ...])
    except msgspec.ValidationError:
        return None
    codecs = [codec.name for codec in array.codecs]
    plain = (array.node_type, array.data_type, array.chunk_grid.name) == ("array", "float32", "regular")
    plain = plain and codecs in (["bytes"], ["bytes", "blosc"]) and not array.storage_transformers
    little = plain and array.codecs[0].configuration.get("endian") == "little"
    if not little or array.chunk_key_encoding.name != "default":
        return None
    separator = str(array.chunk_key_encoding.configuration.get("separator", "/"))
    return _Layout(
        shape=array.shape,
        chunks=chunks,
        prefix=f"c{separator}",
        separator=separator,
        compressed="blosc" in codecs,
    )
