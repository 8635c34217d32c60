"""Whether the chunks of a Zarr array on disk are there, before zarr-python reads them.

zarr-python reads the array's fill value where a chunk was never written, 0 as well as NaN, and says nothing: a forecast
of 0 K. Must look at names and at the index of a shard only, and never decode a chunk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, ShardingCodecIndexLocation

from gaia.tasks.defined_tasks.weather.files.errors import UnusableStore

_ENTRY: Final = np.dtype("<u8")
_ABSENT: Final = np.iinfo(np.uint64).max
"""In the index of a shard, offset and length of a chunk that it does not hold (Zarr 3, codec sharding_indexed)."""
_CHECKSUM_BYTES: Final = 4


class ZarrChunks:
    """The files of one array's chunks."""

    def __init__(self, folder: Path) -> None:
        """Raises UnusableStore for what zarr-python would not open either."""
        self._folder = folder
        try:
            self._array: zarr.Array[Any] = zarr.open_array(folder, mode="r")
        except (ValueError, OSError, KeyError, TypeError) as error:
            raise UnusableStore(f"{folder} cannot be read as Zarr: {' '.join(str(error).split())[:300]}") from error
        self._sharding = _sharding_of(self._array)
        if 0 in (*self._array.chunks, *(self._array.shards or ())):
            raise UnusableStore(f"{folder} has chunks of shape {self._array.chunks}, which hold nothing")

    def refuse_missing(self, box: Sequence[range]) -> None:
        """Raises UnusableStore, naming the chunk, if one that has a part of `box` was never written.

        box: the wanted part of every axis, within the array.
        """
        files = self._array.shards or self._array.chunks
        for at in _covering(box, files):
            key = self._array.metadata.encode_chunk_key(at)
            if not (self._folder / key).is_file():
                raise self._missing(f"chunk {key}")
            if self._sharding is not None:
                self._refuse_missing_inside(key, at, box, self._sharding)

    def _refuse_missing_inside(
        self, key: str, at: tuple[int, ...], box: Sequence[range], sharding: ShardingCodec
    ) -> None:
        shard = self._array.shards or ()
        inside = [
            range(max(run.start - i * size, 0), min(run.stop - i * size, size))
            for run, i, size in zip(box, at, shard, strict=True)
        ]
        index = self._index(key, tuple(n // m for n, m in zip(shard, self._array.chunks, strict=True)), sharding)
        for part in _covering(inside, self._array.chunks):
            if (index[part] == _ABSENT).all():
                raise self._missing(f"part {part} of chunk {key}")

    def _index(self, key: str, parts: tuple[int, ...], sharding: ShardingCodec) -> NDArray[np.uint64]:
        """(*parts, 2): where each part begins in its shard, and how long it is."""
        size_bytes = int(np.prod(parts)) * 2 * _ENTRY.itemsize
        checksum_bytes = _CHECKSUM_BYTES * (len(sharding.index_codecs) - 1)
        at_end = sharding.index_location is ShardingCodecIndexLocation.end
        with (self._folder / key).open("rb") as file:
            if at_end and file.seek(0, os.SEEK_END) >= size_bytes + checksum_bytes:
                file.seek(-size_bytes - checksum_bytes, os.SEEK_END)
            stored = file.read(size_bytes)
        if len(stored) != size_bytes:
            raise UnusableStore(f"chunk {key} of {self._folder} is cut short: its index is not there")
        return np.frombuffer(stored, dtype=_ENTRY).reshape(*parts, 2)

    def _missing(self, what: str) -> UnusableStore:
        return UnusableStore(
            f"{what} of {self._folder} is missing; nothing is filled in (chunks of nothing but the fill value must be "
            "written as well: write_empty_chunks)"
        )


def _covering(box: Sequence[range], sizes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The chunks that have a part of the box."""
    return product(*(range(run.start // n, -(-run.stop // n)) for run, n in zip(box, sizes, strict=True)))


def _sharding_of(array: zarr.Array[Any]) -> ShardingCodec | None:
    """How the array's files hold several chunks each; None: they hold one."""
    metadata = array.metadata
    if metadata.zarr_format == 2:
        return None
    codec = metadata.codecs[0]
    if array.shards is None or not isinstance(codec, ShardingCodec):
        return None
    if [type(step) for step in codec.index_codecs] not in ([BytesCodec], [BytesCodec, Crc32cCodec]):
        raise UnusableStore(f"{array.store_path}: the index of its shards is encoded in a way that is not understood")
    return codec
