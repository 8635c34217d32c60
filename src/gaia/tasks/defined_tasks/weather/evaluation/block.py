"""Reads one field out of an array whose chunks hold many, decoding each chunk once.

Owns a single block of one array, as many whole chunks as fit its bound. WeatherBench stores keep all levels or all
leads of an instant in one chunk: read field by field without this, each chunk would be decoded once a field.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

BLOCK_LIMIT_BYTES = 256 << 20
"""13 levels of 0.25 degrees in float32 are 54 MB; a chunk beyond the limit is decoded once for each field."""


class BlockReader:
    """Reads fields of one dataset; keeps the last block."""

    def __init__(self, limit_bytes: int = BLOCK_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._array: xr.Variable | None = None
        self._ranges: dict[str, range] = {}
        self._block: NDArray[Any] = np.empty(0)

    def read(self, array: xr.Variable, at: Mapping[str, int]) -> NDArray[Any]:
        """The field at the indices `at`, which name every dimension but the horizontal ones."""
        if array is not self._array or any(index not in self._ranges[name] for name, index in at.items()):
            self._ranges = self._surrounding(array, at)
            # Released before the next one is read, so that two blocks are never held.
            self._array, self._block = None, np.empty(0)
            here = {name: slice(run.start, run.stop) for name, run in self._ranges.items()}
            self._block = array.isel(here).values
            self._array = array
        inside = tuple(
            at[str(name)] - self._ranges[str(name)].start if str(name) in at else slice(None) for name in array.dims
        )
        return np.asarray(self._block[inside])

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
