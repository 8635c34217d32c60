"""Chunks that hold many fields are decoded once, within a bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from gaia.tasks.defined_tasks.weather.files.zarr.many_field_chunks import BlockReader

VALUES: NDArray[np.float32] = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)


class _Disk(BackendArray):
    """Counts how often it is read from."""

    def __init__(self) -> None:
        self.shape, self.dtype, self.reads = VALUES.shape, VALUES.dtype, 0

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[np.float32]:
        self.reads += 1
        return np.asarray(VALUES[key])


def _array(chunks: dict[str, int]) -> tuple[xr.Variable, _Disk]:
    disk = _Disk()
    lazy = indexing.LazilyIndexedArray(disk)
    return xr.Variable(("lead", "level", "lat", "lon"), lazy, encoding={"preferred_chunks": chunks}), disk


def test_every_field_is_right_and_a_chunk_is_loaded_once() -> None:
    (array, disk), reader = _array({"lead": 2, "level": 3}), BlockReader()
    for lead, level in np.ndindex(2, 3):
        np.testing.assert_array_equal(reader.read("a", array, {"lead": lead, "level": level}), VALUES[lead, level])
    assert disk.reads == 1


def test_a_chunk_beyond_the_bound_is_not_kept() -> None:
    (array, disk), reader = _array({"lead": 2, "level": 3}), BlockReader(limit_bytes=4 * 5 * 4)
    for level in range(3):
        np.testing.assert_array_equal(reader.read("a", array, {"lead": 1, "level": level}), VALUES[1, level])
    assert disk.reads == 3


def test_two_arrays_are_never_mixed_up() -> None:
    reader, (first, _), second = BlockReader(), _array({}), xr.Variable(("lead", "level", "lat", "lon"), -VALUES)
    at = {"lead": 1, "level": 2}
    np.testing.assert_array_equal(reader.read("first", first, at), VALUES[1, 2])
    np.testing.assert_array_equal(reader.read("second", second, at), -VALUES[1, 2])
