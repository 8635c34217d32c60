"""Conservative regridding: hand-made cells, exact for constants and for area integrals, gaps stay gaps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaia.tasks.defined_tasks.weather.scoring.field import BadField, Field
from gaia.tasks.defined_tasks.weather.scoring.grid import BadGrid, Grid, GridMismatch
from gaia.tasks.defined_tasks.weather.scoring.regrid import ConservativeRegridder


def _grid(degrees: float, *, start: float = 0.0, south_first: bool = False, poles: bool = True) -> Grid:
    edge = 90.0 if poles else 90.0 - degrees / 2
    latitude = np.linspace(edge, -edge, round(2 * edge / degrees) + 1)
    return Grid.of(latitude[::-1] if south_first else latitude, start + np.arange(round(360 / degrees)) * degrees)


def _area_mean(field: Field, grid: Grid) -> float:
    points = np.repeat((grid.area_weights() / grid.shape[1])[:, None], grid.shape[1], axis=1)
    return math.fsum((points * field).ravel())


def test_four_cells_to_two_by_hand() -> None:
    # Bands 0..30 and 30..60 N into one of 0..60 N: areas sin 30 and sin 60 - sin 30. Columns 0, 90, 180, 270
    # into 0 and 180: half of either neighbour and the whole one, a quarter, a half, a quarter.
    source = Grid.of(np.array([15.0, 45.0, 75.0]), np.array([0.0, 90.0, 180.0, 270.0]))
    target = Grid.of(np.array([30.0, 90.0]), np.array([0.0, 180.0]))
    field = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 4]], dtype=np.float32)
    low, high = 0.5, math.sqrt(0.75) - 0.5
    by_column = field[:2].T @ np.array([low, high]) / (low + high)
    at_0 = by_column[0] / 2 + by_column[1] / 4 + by_column[3] / 4
    at_180 = by_column[2] / 2 + by_column[1] / 4 + by_column[3] / 4
    regridded = ConservativeRegridder.between(source, target).regrid(field)
    assert regridded == pytest.approx(np.array([[at_0, at_180], [1.0, 1.0]]), rel=1e-6)


@pytest.mark.parametrize("degrees", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("poles", [True, False])
@pytest.mark.parametrize(("start", "south_first"), [(0.0, False), (-180.0, True)])
def test_constants_and_area_integrals_stay(degrees: float, start: float, *, poles: bool, south_first: bool) -> None:
    source = _grid(degrees, start=start, south_first=south_first, poles=poles)
    target = _grid(1.5)
    regridder = ConservativeRegridder.between(source, target)
    constant = np.full(source.shape, 101_325.25, dtype=np.float32)
    assert np.array_equal(regridder.regrid(constant), np.full(target.shape, 101_325.25, dtype=np.float32))
    wild = np.random.default_rng(0).normal(250.0, 20.0, source.shape).astype(np.float32)
    # The result is float32: 1e-8 is what its rounding leaves of the mean of many.
    assert _area_mean(regridder.regrid(wild), target) == pytest.approx(_area_mean(wild, source), rel=1e-8)


def test_the_same_grid_in_other_words_rolls_and_flips_only() -> None:
    source, target = _grid(10.0), _grid(10.0, start=-180.0, south_first=True)
    field = np.random.default_rng(1).normal(size=source.shape).astype(np.float32)
    regridded = ConservativeRegridder.between(source, target).regrid(field)
    assert regridded == pytest.approx(np.roll(field[::-1], 18, axis=1), abs=1e-7)


def test_a_spherical_harmonic_keeps_its_area_mean_in_every_cell() -> None:
    # sin(latitude): its mean over a band from a to b is (sin a + sin b) / 2, whatever the source's cells.
    source, target = _grid(0.25, poles=False), _grid(1.5)  # whose edges are edges of the source, too
    edges = np.clip(np.concatenate([[90.75], target.latitude - 0.75]), -90, 90)
    sines = np.sin(np.deg2rad(edges))
    fine = np.sin(np.deg2rad(np.linspace(90, -90, 721)))
    means = (fine[1:] + fine[:-1]) / 2
    field = np.repeat(means[:, None], source.shape[1], axis=1).astype(np.float32)
    regridded = ConservativeRegridder.between(source, target).regrid(field)
    assert regridded[:, 17] == pytest.approx((sines[1:] + sines[:-1]) / 2, abs=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_cell_that_is_not_wholly_known_is_not_known(bad: float) -> None:
    source, target = _grid(1.0), _grid(1.5)
    field = np.ones(source.shape, dtype=np.float32)
    field[90, 1] = bad  # its cell reaches from 0.5 to 1.5 E, the target's meet at 0.75 E
    regridded = ConservativeRegridder.between(source, target).regrid(field)
    assert np.argwhere(~np.isfinite(regridded)).tolist() == [[60, 0], [60, 1]]
    assert np.isnan(regridded[60, :2]).all()


def test_a_regridder_says_from_where_to_where() -> None:
    source, target = _grid(0.25), _grid(1.5)
    assert ConservativeRegridder.between(source, target).name == "conservative 721x1440 to 121x240"


def test_what_cannot_be_regridded_is_refused() -> None:
    box = Grid.of(np.array([40.0, 50.0, 60.0]), np.array([0.0, 10.0]))
    with pytest.raises(BadGrid, match="does not cover the target's cell at latitude 90"):
        ConservativeRegridder.between(box, _grid(30.0))
    band = Grid.of(np.linspace(90, -90, 19), np.array([0.0, 10.0]))
    with pytest.raises(BadGrid, match="does not cover the target's cell at longitude"):
        ConservativeRegridder.between(band, _grid(30.0))
    with pytest.raises(BadGrid, match="a single latitude has no cell"):
        ConservativeRegridder.between(Grid.of(np.array([0.0]), np.array([0.0])), _grid(30.0))
    regridder = ConservativeRegridder.between(_grid(10.0), _grid(30.0))
    with pytest.raises(GridMismatch):
        regridder.regrid(np.ones((2, 2), dtype=np.float32))
    with pytest.raises(BadField):
        regridder.regrid(np.ones((19, 36)))  # type: ignore[arg-type]


@settings(max_examples=20)
@given(rows=st.integers(4, 40), columns=st.integers(4, 40), start=st.floats(-180, 180), seed=st.integers(0, 99))
def test_any_pair_of_global_grids_conserves_the_mean(rows: int, columns: int, start: float, seed: int) -> None:
    source = Grid.of(np.linspace(90, -90, rows), -180 + np.arange(columns) * (360 / columns))
    target = Grid.of(np.linspace(-80, 80, 9), start + np.arange(12) * 30.0)
    field = np.random.default_rng(seed).uniform(1, 2, source.shape).astype(np.float32)
    regridded = ConservativeRegridder.between(source, target).regrid(field)
    assert _area_mean(regridded, target) == pytest.approx(_area_mean(field, source), rel=1e-7)
    assert field.min() <= regridded.min() <= regridded.max() <= field.max() * (1 + 1e-6)
