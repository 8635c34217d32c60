"""Reads one field out of an array whose chunks hold many, decoding each chunk once.

Owns a single block of one array, as many whole chunks as fit its bound. WeatherBench stores keep all levels or all
leads of an instant in one chunk: read field by field without this, each chunk would be decoded once a field. Arrays
of plain Zarr chunks are read by `ZarrBlocks`; whatever that does not take or finds amiss is xarray's to read.
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
"""13 levels of 0.25 degrees in float32 are 54 MB; a chunk beyond the limit is decoded once for each field."""


class BlockReader:
    """Reads fields of one dataset; keeps the last block.

    plain: the thin reader of an array by name, if it is one that needs no decoding beyond its chunks. stored: its
    chunks, if it lies on disk as Zarr: xarray would read one that was never written as the fill value.
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
        """Give the memory of the last block back."""
        self._name: str | None = None
        self._blocks: ZarrBlocks | None = None
        self._ranges: dict[str, range] = {}
        self._block: NDArray[Any] | None = None

    def read(self, name: str, array: xr.Variable, at: Mapping[str, int]) -> NDArray[Any]:
        """The field of the array `name` at the indices `at`, which name every dimension but the horizontal ones.

        Raises StoreDamaged, UnusableStore for a chunk that is missing, and what xarray raises of the file, for what
        neither reader can read.
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
                return self._through_xarray(array, wanted, box)  # a linked chunk is as good as any
            except (ValueError, OSError, RuntimeError, KeyError):
                raise damage from None

    def _through_xarray(self, array: xr.Variable, wanted: Mapping[str, range], box: Sequence[range]) -> NDArray[Any]:
        if self._name is not None and (chunks := self._stored(self._name)) is not None:
            chunks.refuse_missing(box)
        return array.isel({name: slice(run.start, run.stop) for name, run in wanted.items()}).values

    def _surrounding(self, array: xr.Variable, at: Mapping[str, int]) -> dict[str, range]:
        """The whole chunk around a field, or the field alone where that is too much."""
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
