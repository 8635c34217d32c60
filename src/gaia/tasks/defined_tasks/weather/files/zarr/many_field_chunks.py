"""Reads single fields from an array whose chunks hold many fields, and decodes each chunk only once.

WeatherBench stores keep all levels or all leads of an instant in one chunk. Without this module each chunk would be
decoded again for every field in it. Owns a single block of one array: as many whole chunks as fit its bound.
`ZarrBlocks` reads arrays of plain Zarr chunks; xarray reads everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.files.errors import StoreDamaged
from gaia.tasks.defined_tasks.weather.files.zarr.zarr_blocks import ZarrBlocks
from gaia.tasks.defined_tasks.weather.files.zarr.zarr_chunks import ZarrChunks

BLOCK_LIMIT_BYTES = 256 << 20
"""13 levels of 0.25 degrees in float32 take 54 MB. A chunk larger than the limit is decoded again for each field."""


class BlockReader:
    """Reads fields of one dataset, and keeps the last block.

    Args:
        plain: Gives the fast reader of an array by name, or None if its values need decoding beyond that of the chunks.
        stored: Gives the chunks of an array by name if it lies on disk as Zarr. They show whether a chunk was never
            written, which xarray would read as the fill value.
        limit_bytes: The largest block that is kept.
    """

    def __init__(
        self,
        plain: Callable[[str], ZarrBlocks | None] = lambda _: None,
        stored: Callable[[str], ZarrChunks | None] = lambda _: None,
        limit_bytes: int = BLOCK_LIMIT_BYTES,
    ) -> None:
        self._plain = plain
        self._stored = stored
        self._limit_bytes = limit_bytes
        self.forget()

    def forget(self) -> None:
        """Free the memory of the last block."""
        self._name: str | None = None
        self._blocks: ZarrBlocks | None = None
        self._ranges: dict[str, range] = {}
        self._block: NDArray[Any] | None = None

    def read(self, name: str, array: xr.Variable, at: Mapping[str, int]) -> NDArray[Any]:
        """The field of the array `name` at the indices `at`, one for every dimension but the horizontal ones.

        Raises StoreDamaged or UnusableStore for a missing chunk, and xarray's errors if neither reader can read it.
        """
        if name != self._name:
            self.forget()
            self._name, self._blocks = name, self._plain(name)
        if self._block is None or any(index not in self._ranges[dimension] for dimension, index in at.items()):
            self._block = None  # released before the next one is read, so that two are never held
            self._ranges = self._surrounding(array, at)
            self._block = self._load(array, self._ranges)
        inside = tuple(
            at[str(name)] - self._ranges[str(name)].start if str(name) in at else slice(None) for name in array.dims
        )
        return np.asarray(self._block[inside])

    def _load(self, array: xr.Variable, wanted: Mapping[str, range]) -> NDArray[Any]:
        box = [wanted.get(str(name), range(size)) for name, size in array.sizes.items()]
        if self._blocks is None:
            return self._through_xarray(array, wanted, box)
        try:
            return self._blocks.read(box)
        except StoreDamaged as damage:
            try:
                return self._through_xarray(array, wanted, box)  # a chunk behind a link is allowed here
            except (ValueError, OSError, RuntimeError, KeyError):
                raise damage from None

    def _through_xarray(self, array: xr.Variable, wanted: Mapping[str, range], box: Sequence[range]) -> NDArray[Any]:
        if self._name is not None and (chunks := self._stored(self._name)) is not None:
            chunks.refuse_missing(box)
        return array.isel({name: slice(run.start, run.stop) for name, run in wanted.items()}).values

    def _surrounding(self, array: xr.Variable, at: Mapping[str, int]) -> dict[str, range]:
        """The whole chunk around a field, or the field alone if the chunk is too large."""
        single = {name: range(index, index + 1) for name, index in at.items()}
        chunks = array.encoding.get("preferred_chunks") or {}
        whole = {
            name: range(index // size * size, min((index // size + 1) * size, array.sizes[name]))
            for name, index in at.items()
            if isinstance(size := chunks.get(name, 1), int) and size > 0
        }
        points = prod(size for name, size in array.sizes.items() if name not in at)
        held_bytes = points * prod(len(run) for run in whole.values()) * array.dtype.itemsize
        return single | whole if held_bytes <= self._limit_bytes else single
