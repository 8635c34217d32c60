"""Exact points are taken; nothing is interpolated."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.tasks.defined_tasks.weather.files.errors import WrongGrid
from gaia.tasks.defined_tasks.weather.files.grid_axes import coordinates
from gaia.tasks.defined_tasks.weather.files.store.field_store import MemoryStore
from gaia.tasks.defined_tasks.weather.files.store.point_selection import select_points

T2M = FieldId("2t")


def store_on(grid: GridSpec) -> MemoryStore:
    """Each point's value says where it lies: 1000 x latitude + longitude eastward."""
    latitude, longitude = coordinates(grid)
    values = 1000.0 * latitude[:, None] + np.mod(longitude, 360.0)[None, :]
    return MemoryStore("file", grid, {T2M: values.astype(np.float32)})


@given(
    degrees=st.sampled_from([0.75, 1.0, 1.25, 2.5, 3.0]),
    every=st.sampled_from([1, 2, 4]),
    west=st.sampled_from([-180.0, 0.0, 180.0]),
    northward=st.booleans(),
)
def test_every_value_comes_from_its_own_place(degrees: float, every: int, west: float, northward: bool) -> None:
    source = GridSpec.global_grid(degrees)
    source = msgspec.structs.replace(
        source,
        longitude_first=west,
        latitude_first=-90.0 if northward else 90.0,
        latitude_step=degrees if northward else -degrees,
    )
    wanted = GridSpec(
        latitude_first=90.0,
        latitude_step=-degrees * every,
        latitude_count=(source.latitude_count - 1) // every + 1,
        longitude_first=0.0,
        longitude_step=degrees * every,
        longitude_count=source.longitude_count // every,
    )
    picked = select_points(store_on(source), [T2M], wanted)
    np.testing.assert_array_equal(picked[0], store_on(wanted).read(T2M))


def test_point_between_points_is_refused() -> None:
    with pytest.raises(WrongGrid, match=r"file has no latitude 89: its grid is 61 latitudes 90 to -90 .* interpolated"):
        select_points(store_on(GridSpec.global_grid(3.0)), [T2M], GridSpec.global_grid(1.0))


def test_shifted_longitudes_are_refused() -> None:
    shifted = msgspec.structs.replace(GridSpec.global_grid(3.0), longitude_first=1.5)
    with pytest.raises(WrongGrid, match=r"file has no longitude 1\.5"):
        select_points(store_on(GridSpec.global_grid(3.0)), [T2M], shifted)
