"""Taking the points of a wanted grid out of a store, exactly.

Allowed because no value changes: longitudes named differently (-180..180 or 0..360), latitudes in the other
order, a wanted grid whose points are among the store's (every fourth, say). Anything else is refused; nothing
is ever interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gaia.contracts.progress import report_progress
from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.tasks.defined_tasks.weather.files.errors import WrongGrid
from gaia.tasks.defined_tasks.weather.files.grid_axes import coordinates
from gaia.tasks.defined_tasks.weather.files.store.field_store import FieldStore

_SAME_POINT_DEGREES = 1e-7
"""1 cm: far below any grid's spacing, far above rounding."""


def select_points(store: FieldStore, fields: Sequence[FieldId], grid: GridSpec) -> NDArray[np.float32]:
    """(n_fields, nlat, nlon) on exactly `grid`; raises WrongGrid, naming an absent point."""
    latitude, longitude = coordinates(grid)
    rows = _indices(store.latitude, latitude)
    columns = _indices(_eastward(store.longitude), _eastward(longitude))
    for axis, wanted, found in (("latitude", latitude, rows), ("longitude", longitude, columns)):
        if (found < 0).any():
            absent = f"{wanted[int(np.argmax(found < 0))]:g}"
            raise WrongGrid(
                f"{store.name} has no {axis} {absent}: its grid is {_words(store)}; wanted are "
                f"{grid.latitude_count} x {grid.longitude_count} points {abs(grid.longitude_step):g} degrees "
                "apart; nothing is interpolated"
            )
    picked = np.empty((len(fields), *grid.shape), dtype=np.float32)
    for index, field in enumerate(fields):
        report_progress(index / len(fields), f"field {field}")
        picked[index] = store.read(field)[np.ix_(rows, columns)]
    return picked


def _indices(there: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.intp]:
    """Index into `there` of each wanted coordinate, -1 where it is absent."""
    order = np.argsort(there)
    ordered = there[order]
    at = np.searchsorted(ordered, wanted - _SAME_POINT_DEGREES).clip(max=there.size - 1)
    indices: NDArray[np.intp] = np.where(np.abs(ordered[at] - wanted) <= _SAME_POINT_DEGREES, order[at], -1)
    return indices


def _eastward(longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes in [0, 360)."""
    turned: NDArray[np.float64] = np.mod(longitude, 360.0)
    return np.where(turned > 360.0 - _SAME_POINT_DEGREES, 0.0, turned)


def _words(store: FieldStore) -> str:
    latitude, longitude = store.latitude, store.longitude
    return (
        f"{latitude.size} latitudes {latitude[0]:g} to {latitude[-1]:g} and "
        f"{longitude.size} longitudes {longitude[0]:g} to {longitude[-1]:g}"
    )
