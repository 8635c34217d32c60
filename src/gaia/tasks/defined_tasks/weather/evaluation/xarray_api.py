"""The scoring functions for people with xarray: DataArray or Dataset in, the same out. Thin over the kernel.

Owns the way in and out of xarray; every number comes from `scoring`. `gaia.tasks.defined_tasks.weather.scoring`
offers these functions under its own name, and imports them on first use.

Horizontal axes are found by name (`latitude`/`lat`, `longitude`/`lon`), in any order and place. Forecasts have an
initial time (`init_time`, or `time` beside a lead axis) and a lead axis (`prediction_timedelta`, `lead_time`,
`step`), or neither; the truth is taken at their valid time, the climatology by `month`, `dayofyear` and `hour`. All
other axes, such as `level` and `member`, are matched by value and stay in the result. Values are scored in float32.
Latitudes and longitudes may run in any direction; other points raise GridMismatch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gaia.tasks.defined_tasks.weather.evaluation.evaluate import evaluate_series
from gaia.tasks.defined_tasks.weather.evaluation.matching import match
from gaia.tasks.defined_tasks.weather.evaluation.report import ROW_KEYS, records
from gaia.tasks.defined_tasks.weather.evaluation.request import Area, Request, parse_area
from gaia.tasks.defined_tasks.weather.evaluation.table import ScoreTable
from gaia.tasks.defined_tasks.weather.files.errors import BadRequest, UnmatchedTimes, UnusableValues
from gaia.tasks.defined_tasks.weather.files.series.dataset_axes import (
    HORIZONTAL,
    TEMPORAL,
    find_axes,
    find_grid,
    find_instants,
)
from gaia.tasks.defined_tasks.weather.files.series.land_mask import LandMask, mask_of
from gaia.tasks.defined_tasks.weather.files.series.opening import CLIMATOLOGY, EXTREMES, FORECAST, REFERENCE, TRUTH
from gaia.tasks.defined_tasks.weather.files.series.same_points import Points, points_of
from gaia.tasks.defined_tasks.weather.files.series.series import Instant
from gaia.tasks.defined_tasks.weather.files.series.xarray_series import XarraySeries
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid
from gaia.tasks.defined_tasks.weather.scoring.metrics import ComponentMetrics, metrics_of
from gaia.tasks.defined_tasks.weather.scoring.moments import Field, Moments, field_moments
from gaia.tasks.defined_tasks.weather.scoring.regions import Surface, region_weights

__all__ = ["acc", "bias", "mae", "mse", "pattern_correlation", "rmse", "score", "score_table", "skill_score"]

Data = TypeVar("Data", xr.DataArray, xr.Dataset)
_NAMES = {what: f"the {what}" for what in (FORECAST, TRUTH, CLIMATOLOGY, REFERENCE)} | {EXTREMES: "the extremes"}
_MASK = "mask"


def score(
    forecast: xr.DataArray,
    truth: xr.DataArray,
    *,
    climatology: xr.DataArray | None = None,
    reference: xr.DataArray | None = None,
    mask: xr.DataArray | None = None,
    region: str = "global",
    over: Sequence[str] = (),
) -> xr.Dataset:
    """All metrics of `metrics.metrics_of`, as variables over the forecast's axes but latitude and longitude.

    over: axes to average over, such as `time`; roots and ratios are taken after the mean. region: a name of
    `regions.REGIONS`, or `box:SOUTH,NORTH,WEST,EAST`; with a mask, the share of land at each point, also `land`,
    `sea`, `tropics-land` and so on. NaN where a metric cannot be had. Where an instant has no truth
    the metrics are NaN; UnmatchedTimes if none has. Errors have the forecast's unit.

    >>> import numpy as np, xarray as xr
    >>> axes = {"lead_time": [24, 48], "latitude": [60.0, 0.0, -60.0], "longitude": [0.0, 90.0, 180.0, 270.0]}
    >>> truth = xr.DataArray(np.full((3, 4), 280.0), {k: axes[k] for k in ("latitude", "longitude")})
    >>> forecast = xr.DataArray(np.full((2, 3, 4), 281.0), axes, dims=tuple(axes))
    >>> forecast[1] = 277.0
    >>> scores = score(forecast, truth)
    >>> scores.rmse.values, scores.bias.values
    (array([1., 3.]), array([ 1., -3.]))
    """
    given = {FORECAST: forecast, TRUTH: truth, CLIMATOLOGY: climatology, REFERENCE: reference}
    _require(xr.DataArray, {FORECAST: forecast, TRUTH: truth}, {**given, _MASK: mask})
    inputs = {what: _Input.of(array, what) for what, array in given.items() if array is not None}
    over = (over,) if isinstance(over, str) else over
    kept = [dim for dim in inputs[FORECAST].outer if dim not in over]
    absent = [name for name in over if name not in inputs[FORECAST].outer]
    if absent:
        raise BadRequest(f"the forecast has no axis {absent[0]!r} to average over; it has {inputs[FORECAST].outer}")
    parts = _parts(inputs, _weights(inputs[FORECAST].grid, region, mask), kept)
    shape = tuple(forecast.sizes[dim] for dim in kept)
    coordinates = {k: c for k, c in forecast.coords.items() if set(map(str, c.dims)) <= set(kept)}
    values = {name: np.full(shape, np.nan) for name in ComponentMetrics.__struct_fields__}
    for index, moments in parts.items():
        metrics = metrics_of(Moments.total(moments))
        for name, array in values.items():
            value = getattr(metrics, name)
            array[index] = np.nan if value is None else value
    return xr.Dataset({name: (kept, array) for name, array in values.items()}, coordinates)


def rmse(forecast: Data, truth: Data, *, region: str = "global", over: Sequence[str] = ()) -> Data:
    """Root-mean-square error, sqrt <(f - t)2>, in the variable's unit; < > the mean by exact cell area.

    >>> import xarray as xr
    >>> point = {"lat": [50.0], "lon": [10.0]}
    >>> forecast, truth = (xr.DataArray([[t]], point, dims=("lat", "lon")) for t in (281.0, 278.0))
    >>> float(rmse(forecast, truth))
    3.0
    """
    return _one("rmse", forecast, truth, region=region, over=over)


def mse(forecast: Data, truth: Data, *, region: str = "global", over: Sequence[str] = ()) -> Data:
    """Mean squared error, <(f - t)2>, in the variable's unit squared."""
    return _one("mse", forecast, truth, region=region, over=over)


def mae(forecast: Data, truth: Data, *, region: str = "global", over: Sequence[str] = ()) -> Data:
    """Mean absolute error, <abs(f - t)>, in the variable's unit."""
    return _one("mae", forecast, truth, region=region, over=over)


def bias(forecast: Data, truth: Data, *, region: str = "global", over: Sequence[str] = ()) -> Data:
    """Mean error, <f - t>, in the variable's unit; positive: the forecast is too high."""
    return _one("bias", forecast, truth, region=region, over=over)


def pattern_correlation(forecast: Data, truth: Data, *, region: str = "global", over: Sequence[str] = ()) -> Data:
    """Centred spatial correlation of forecast and truth, -1 to 1; NaN where either is flat."""
    return _one("pattern_correlation", forecast, truth, region=region, over=over)


def acc(forecast: Data, truth: Data, climatology: Data, *, region: str = "global", over: Sequence[str] = ()) -> Data:
    """Anomaly correlation, uncentred: <a b> / sqrt(<a2> <b2>), a = f - c, b = t - c; -1 to 1.

    Source: WeatherBench 2, Rasp et al. 2024, doi:10.1029/2023MS004019.

    >>> import xarray as xr
    >>> point = {"lat": [50.0], "lon": [10.0]}
    >>> forecast, truth, usual = (xr.DataArray([[t]], point, dims=("lat", "lon")) for t in (281.0, 278.0, 280.0))
    >>> float(acc(forecast, truth, usual))
    -1.0
    """
    _require(type(forecast), {CLIMATOLOGY: climatology}, {})
    return _one("acc", forecast, truth, climatology=climatology, region=region, over=over)


def skill_score(
    forecast: Data,
    truth: Data,
    *,
    climatology: Data | None = None,
    reference: Data | None = None,
    region: str = "global",
    over: Sequence[str] = (),
) -> Data:
    """1 - MSE / MSE_x: 1 is perfect, 0 as good as x, which is either the climatology or a reference forecast.

    >>> import xarray as xr
    >>> point = {"lat": [50.0], "lon": [10.0]}
    >>> forecast, truth, rival = (xr.DataArray([[t]], point, dims=("lat", "lon")) for t in (281.0, 280.0, 282.0))
    >>> float(skill_score(forecast, truth, reference=rival))
    0.75
    """
    if (climatology is None) == (reference is None):
        raise BadRequest("skill is against something: give either climatology or reference")
    if climatology is not None:
        return _one("skill_clim", forecast, truth, climatology=climatology, region=region, over=over)
    return _one("skill_ref", forecast, truth, reference=reference, region=region, over=over)


def score_table(
    forecast: xr.Dataset,
    truth: xr.Dataset,
    *,
    climatology: xr.Dataset | None = None,
    reference: xr.Dataset | None = None,
    extremes: xr.Dataset | None = None,
    mask: xr.DataArray | None = None,
    variables: Sequence[str] | None = None,
    region: str = "global",
) -> xr.Dataset:
    """What `gaia score` makes of files, of datasets: all its columns over `field` (`z500`, `wind850` ...), `lead_time`.

    Known are the variables of `weather.variables` under any of their names; units are checked by attribute, and the
    attribute `warnings` says what looks wrong. Initial times are merged. extremes: thresholds, with the axes of a
    climatology. mask, region: as for `score`.

    >>> import numpy as np, xarray as xr
    >>> axes = {"time": np.array(["2020-01-01"], "M8[ns]"), "lead_time": [24], "lat": [0.0], "lon": [0.0]}
    >>> forecast = xr.Dataset({"t2m": (tuple(axes), [[[[281.0]]]])}, axes)
    >>> truth = xr.Dataset({"2m_temperature": (("time", "lat", "lon"), [[[280.5]]])},
    ...                    {**axes, "time": np.array(["2020-01-02"], "M8[ns]")})
    >>> table = score_table(forecast, truth)
    >>> float(table.rmse.sel(field="2t", lead_time=24))
    0.5
    """
    given = {FORECAST: forecast, TRUTH: truth, CLIMATOLOGY: climatology, REFERENCE: reference, EXTREMES: extremes}
    _require(xr.Dataset, {FORECAST: forecast, TRUTH: truth}, given)
    _require(xr.DataArray, {}, {_MASK: mask})
    opened = {what: (XarraySeries(d, _NAMES[what]), None) for what, d in given.items() if d is not None}
    request = Request(
        forecast=(_NAMES[FORECAST],),
        truth=_NAMES[TRUTH],
        variables=None if variables is None else tuple(variables),
        areas=(_area(region, mask),),
    )
    return _table_dataset(evaluate_series(opened, request, mask=None if mask is None else _land_mask(mask)))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Input:
    """One array, with what its axes mean."""

    array: xr.DataArray
    grid: Grid
    instants: tuple[Instant, ...]
    rows: str | None
    """The name of the dimension of latitude; None: it is a scalar."""
    columns: str | None
    outer: tuple[str, ...]
    """All other dimensions."""
    temporal: frozenset[str]

    @staticmethod
    def of(array: xr.DataArray, what: str) -> _Input:
        if array.dtype.kind not in "f":
            raise UnusableValues(f"{_NAMES[what]} holds {array.dtype}, not floating-point numbers")
        dataset = array.to_dataset(name="field")
        axes = find_axes(dataset)
        dims = tuple(map(str, array.dims))
        rows, columns = (next((d for d in dims if axes.get(d) is axis), None) for axis in HORIZONTAL)
        return _Input(
            array=array,
            grid=find_grid(dataset, axes, _NAMES[what]),
            instants=find_instants(dataset, axes, dims, _NAMES[what]),
            rows=rows,
            columns=columns,
            outer=tuple(d for d in dims if d not in (rows, columns)),
            temporal=frozenset(d for d in dims if axes.get(d) in TEMPORAL),
        )

    def field(self, at: Mapping[str, int]) -> Field:
        """(nlat, nlon), float32; `at` names every outer dimension."""
        picked = self.array.isel({dim: at[dim] for dim in self.outer})
        order = [dim for dim in (self.rows, self.columns) if dim is not None]
        return np.ascontiguousarray(picked.transpose(*order).values, dtype=np.float32).reshape(self.grid.shape)


def _require(kind: type | tuple[type, ...], needed: Mapping[str, object], optional: Mapping[str, object]) -> None:
    """Raise BadRequest for what is of another kind, or is needed and not there."""
    for what, value in {**{k: v for k, v in optional.items() if v is not None}, **needed}.items():
        if not isinstance(value, kind):
            kinds = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
            raise BadRequest(f"the {what} is a {type(value).__name__}; a {kinds} is expected")


def _one(metric: str, forecast: Data, truth: Data, **options: Any) -> Data:
    """One metric, of an array or of each variable that all datasets have."""
    _require((xr.DataArray, xr.Dataset), {FORECAST: forecast}, {})
    baselines: dict[str, Any] = {k: options[k] for k in (CLIMATOLOGY, REFERENCE) if options.get(k) is not None}
    _require(type(forecast), {TRUTH: truth}, baselines)
    if isinstance(forecast, xr.DataArray):
        found = score(forecast, truth, **options)[metric]
        return found.rename(forecast.name)
    shared = [name for name in forecast.data_vars if all(name in other for other in (truth, *baselines.values()))]
    if not shared:
        raise BadRequest(f"the datasets share no variable; the forecast has {list(forecast.data_vars)}")
    each = {
        name: _one(metric, forecast[name], truth[name], **options | {k: b[name] for k, b in baselines.items()})
        for name in shared
    }
    return xr.Dataset(each)


def _area(region: str, mask: xr.DataArray | None) -> Area:
    area = parse_area(region)
    if area.surface is not Surface.ANY and mask is None:
        raise BadRequest(f"region {region!r} needs a land-sea mask: give mask=")
    return area


def _land_mask(mask: xr.DataArray) -> LandMask:
    return mask_of(mask.to_dataset(name=_MASK), (_MASK,), "the mask given")


def _weights(grid: Grid, region: str, mask: xr.DataArray | None) -> NDArray[np.float64]:
    area, land = _area(region, mask), None
    if mask is not None:
        known = _land_mask(mask)
        land = points_of(known.grid, grid, "the mask").of(known.land)
    return region_weights(grid, area.region, land_fraction=land, surface=area.surface)


def _parts(
    inputs: Mapping[str, _Input], weights: NDArray[np.float64], kept: Sequence[str]
) -> dict[tuple[int, ...], list[Moments]]:
    """The moments of every field, by their place along the axes that are kept."""
    forecast = inputs[FORECAST]
    points = {what: points_of(i.grid, forecast.grid, _NAMES[what]) for what, i in inputs.items()}
    parts: dict[tuple[int, ...], list[Moments]] = {}
    matching = match(
        forecast.instants,
        inputs[TRUTH].instants,
        climatology=inputs[CLIMATOLOGY].instants if CLIMATOLOGY in inputs else None,
        reference=inputs[REFERENCE].instants if REFERENCE in inputs else None,
        names=_NAMES,
    )
    others = [dim for dim in forecast.outer if dim not in forecast.temporal]
    for case in matching.cases:
        instants = {
            FORECAST: case.forecast,
            TRUTH: case.truth,
            CLIMATOLOGY: case.climatology,
            REFERENCE: case.reference,
        }
        for place in np.ndindex(*(forecast.array.sizes[dim] for dim in others)):
            at = dict(case.forecast.at) | dict(zip(others, place, strict=True))
            fields = {
                what: _field(inputs[what], instant, forecast=forecast, at=at, points=points[what], what=what)
                for what, instant in instants.items()
                if what in inputs and instant is not None
            }
            moments = field_moments(**fields, area_weights=weights)
            parts.setdefault(tuple(at[dim] for dim in kept), []).append(moments)
    return parts


def _field(
    source: _Input, instant: Instant, *, forecast: _Input, at: Mapping[str, int], points: Points, what: str
) -> Field:
    """The field of `source` that belongs to the forecast's field `at`: same instant, equal values elsewhere."""
    if what == FORECAST:
        return source.field(at)
    here = dict(instant.at)
    for dim in source.outer:
        if dim not in here:
            here[dim] = _same_value(source, forecast, dim, at, what)
    return points.of(source.field(here))


def _same_value(source: _Input, forecast: _Input, dim: str, at: Mapping[str, int], what: str) -> int:
    if source.array.sizes[dim] == 1 and dim not in forecast.array.dims:
        return 0
    if dim not in forecast.array.dims:
        raise BadRequest(f"{_NAMES[what]} has an axis {dim!r} of {source.array.sizes[dim]} that the forecast has not")
    wanted = forecast.array[dim].values[at[dim]]
    found = np.flatnonzero(source.array[dim].values == wanted)
    if found.size != 1:
        raise UnmatchedTimes(
            f"{_NAMES[what]} has {found.size} entries at {dim} {wanted}, expected one; it has "
            f"{source.array[dim].values.tolist()[:40]}"
        )
    return int(found[0])


def _table_dataset(table: ScoreTable) -> xr.Dataset:
    fields = list(dict.fromkeys(str(row.field) for row in table.rows))
    lead_h = sorted({row.lead_h for row in table.rows if row.lead_h is not None})
    shape = (len(fields), max(len(lead_h), 1))
    written = list(records(table))
    values = {name: np.full(shape, np.nan) for name in ("cases", *list(written[0])[len(ROW_KEYS) :])}
    for row, record in zip(table.rows, written, strict=True):
        at = fields.index(str(row.field)), 0 if row.lead_h is None else lead_h.index(row.lead_h)
        for name, array in values.items():
            array[at] = np.nan if record[name] is None else record[name]
    unit_of = {str(row.field): row.unit for row in table.rows}
    units = [unit_of[field] for field in fields]
    coordinates: dict[str, Any] = {"field": fields, "unit": ("field", units)}
    if lead_h:
        coordinates["lead_time"] = ("lead_time", np.array(lead_h), {"units": "hours"})
    dims = ("field", "lead_time")
    result = {name: (dims, array) for name, array in values.items()}
    return xr.Dataset(result, coordinates, {"warnings": list(table.warnings)})
