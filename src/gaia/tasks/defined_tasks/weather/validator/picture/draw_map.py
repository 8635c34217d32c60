"""The compute handler `weather.picture`: one field of a forecast beside the truth, and their difference.

It draws and writes one PNG. It computes no score of its own: the numbers of the caption come from `scoring`.
Fields are read through the digest-checked reader, so an altered forecast is refused here as everywhere.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from gaia.contracts.errors import ValidatorFault
from gaia.tasks.defined_tasks.weather.files.store.field_store import FieldStore
from gaia.tasks.defined_tasks.weather.files.store.open_store import open_store
from gaia.tasks.defined_tasks.weather.forecast.forecast_store import ForecastReader
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid
from gaia.tasks.defined_tasks.weather.scoring.metrics import metrics_of
from gaia.tasks.defined_tasks.weather.scoring.moments import field_moments
from gaia.tasks.defined_tasks.weather.validator.handlers.verify_payloads import PicturePayload, PictureResult
from gaia.tasks.defined_tasks.weather.validator.picture.display_units import Quantity, quantity_of
from gaia.tasks.defined_tasks.weather.validator.picture.map_projection import MapFrame, equal_earth, frame_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.contour import QuadContourSet
    from matplotlib.figure import Figure

_SIZE_INCHES: Final = (13.0, 8.4)
_DOTS_PER_INCH: Final = 130
_SHADES: Final = 24
_INK: Final = "#1f2933"
_FAINT: Final = "#6b7785"
_TEXT_LIMIT: Final = 90

Values = NDArray[np.float64]


class NotAMap(ValidatorFault):
    """A field cannot be drawn: it has no extent, its truth lies on another grid or holds no value."""


class PictureUnwritable(ValidatorFault):
    """The machine would not take the picture."""


@dataclass(frozen=True, kw_only=True)
class ForecastPicture:
    """What is drawn, in display units."""

    title: str
    label: str
    run_id: str
    init_time: datetime
    lead_h: int
    quantity: Quantity
    frame: MapFrame
    forecast: Values
    """(nlat, nlon)"""
    truth: Values
    error: Values
    """(nlat, nlon) forecast minus truth, in the quantity's error unit."""
    scores: str
    """The caption's numbers."""


def handle_picture(payload: Mapping[str, Any]) -> dict[str, Any]:
    """PicturePayload -> PictureResult.

    Raises what ForecastReader raises, MissingField, NotAMap, PictureUnwritable.
    """
    request = msgspec.convert(payload, PicturePayload)
    png = draw(scene_of(request))
    destination = Path(request.destination)
    _publish(destination, png)
    built: dict[str, Any] = msgspec.to_builtins(PictureResult(path=str(destination), size_bytes=len(png)))
    return built


def scene_of(request: PicturePayload) -> ForecastPicture:
    """Read, check and convert everything that the picture shows."""
    reader = ForecastReader.open(
        Path(request.forecast_path), spec=request.spec, manifest_digest=request.manifest_digest
    )
    forecast_store = reader.at_lead(request.lead_h)
    truth_store = open_store(request.truth_path)
    _check_grids(forecast_store, truth_store)
    forecast, truth = forecast_store.read(request.field), truth_store.read(request.field)
    if not np.isfinite(truth).any():
        raise NotAMap(f"{truth_store.name} holds no value of {request.field}")
    climatology = _climatology(request)
    quantity = quantity_of(request.field)
    axes = forecast_store.latitude, forecast_store.longitude
    return ForecastPicture(
        title=_one_line(request.title),
        label=_one_line(request.label),
        run_id=request.run_id,
        init_time=reader.manifest.init_time,
        lead_h=request.lead_h,
        quantity=quantity,
        frame=frame_of(*axes),
        forecast=quantity.shown(forecast),
        truth=quantity.shown(truth),
        error=quantity.error_shown(forecast.astype(np.float64) - truth),
        scores=_scores(forecast, truth, climatology, Grid.of(*axes).area_weights(), quantity),
    )


def _climatology(request: PicturePayload) -> NDArray[np.float32] | None:
    """The climatology of the field, where there is one: many know only some of the variables."""
    if request.climatology_path is None:
        return None
    store = open_store(request.climatology_path)
    return store.read(request.field) if request.field in store.fields() else None


def _scores(
    forecast: NDArray[np.float32],
    truth: NDArray[np.float32],
    climatology: NDArray[np.float32] | None,
    area_weights: NDArray[np.float64],
    quantity: Quantity,
) -> str:
    metrics = metrics_of(
        field_moments(forecast=forecast, truth=truth, climatology=climatology, area_weights=area_weights)
    )
    factor, unit = quantity.error_factor, quantity.error_unit
    parts = [f"RMSE {metrics.rmse * factor:.3g} {unit}", f"bias {metrics.bias * factor:+.2g} {unit}"]
    if metrics.acc is not None:
        parts.append(f"ACC {metrics.acc:.3f}")
    return "   ".join(parts)


def draw(scene: ForecastPicture) -> bytes:
    """The picture as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_INCHES, dpi=_DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        2, 2, left=0.03, right=0.985, top=0.865, bottom=0.09, hspace=0.36, wspace=0.05, height_ratios=[1, 1]
    )
    forecast_axes, truth_axes = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    error_axes = figure.add_subplot(grid[1, 0])
    levels = _levels(scene.truth, scene.forecast)
    for axes, name, values in (
        (forecast_axes, f"Forecast: {scene.label}", scene.forecast),
        (truth_axes, "Truth", scene.truth),
    ):
        shades = _map(axes, scene.frame, values, levels, scene.quantity.colours)
        _contours(axes, scene.frame, values, levels[::3], labelled=True)
        axes.set_title(name, fontsize=11, color=_INK, loc="left", pad=6, parse_math=False)
    _colour_bar(figure, shades, (0.30, 0.487, 0.40, 0.014), scene.quantity.unit)
    shades = _map(error_axes, scene.frame, scene.error, _error_levels(scene.error), "RdBu_r", grid_ink=_FAINT)
    _contours(error_axes, scene.frame, scene.truth, levels[::3], labelled=False)
    error_axes.set_title("Error: forecast minus truth", fontsize=11, color=_INK, loc="left", pad=6)
    _colour_bar(figure, shades, (0.115, 0.068, 0.30, 0.014), scene.quantity.error_unit)
    _by_latitude(figure.add_axes((0.575, 0.105, 0.375, 0.29)), scene)
    _headings(figure, scene)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Title": scene.title, "Software": "gaia"})
    return buffer.getvalue()


def _map(
    axes: Axes, frame: MapFrame, values: Values, levels: Values, colours: str, *, grid_ink: str = "white"
) -> QuadContourSet:
    x, y = frame.coordinates()
    shades = axes.contourf(
        x, y, _masked(values[:, frame.order]), levels=levels, cmap=colours, extend="both", antialiased=False
    )
    _graticule(axes, frame, grid_ink)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.margins(0.01)
    return shades


def _contours(axes: Axes, frame: MapFrame, values: Values, levels: Values, *, labelled: bool) -> None:
    x, y = frame.coordinates()
    lines = axes.contour(
        x,
        y,
        _masked(values[:, frame.order]),
        levels=levels,
        colors=_INK,
        linewidths=0.55,
        linestyles="solid",
        alpha=0.7,
    )
    if labelled:
        axes.clabel(lines, fontsize=6.5, fmt="%g", inline_spacing=2)


def _graticule(axes: Axes, frame: MapFrame, ink: str) -> None:
    """Meridians and parallels, and the map's edge."""
    south, north = float(frame.latitude.min()), float(frame.latitude.max())
    west, east = float(frame.longitude[0]), float(frame.longitude[-1])
    spacing = 30.0 if frame.is_global else 10.0
    along_latitude, along_longitude = np.linspace(south, north, 181), np.linspace(west, east, 361)
    style: dict[str, Any] = {"color": ink, "linewidth": 0.5, "alpha": 0.5}
    centre = frame.central_longitude
    for meridian in np.arange(np.ceil((west + centre) / spacing), np.floor((east + centre) / spacing) + 1):
        axes.plot(*equal_earth(along_latitude, np.full(181, meridian * spacing - centre)), **style)
    for parallel in np.arange(np.ceil(south / spacing), np.floor(north / spacing) + 1) * spacing:
        axes.plot(*equal_earth(np.full(361, parallel), along_longitude), **style)
        if abs(parallel) == 90.0:
            continue  # the map's own edge
        x, y = equal_earth(parallel, west)
        axes.annotate(
            _latitude_name(parallel), (float(x), float(y)), xytext=(-3, 0), textcoords="offset points",
            ha="right", va="center", fontsize=6.5, color=_FAINT,
        )  # fmt: skip
    rim_latitude = np.concatenate([along_latitude, np.full(361, north), along_latitude[::-1], np.full(361, south)])
    rim_longitude = np.concatenate([np.full(181, west), along_longitude, np.full(181, east), along_longitude[::-1]])
    axes.plot(*equal_earth(rim_latitude, rim_longitude), color=_INK, linewidth=0.8)


def _by_latitude(axes: Axes, scene: ForecastPicture) -> None:
    """Root mean square error along each circle of latitude."""
    square = scene.error**2
    finite = np.isfinite(square)
    count = finite.sum(axis=1)
    has_values = count > 0
    mean_square = np.where(finite, square, 0.0).sum(axis=1)[has_values] / count[has_values]
    rms, latitude = np.sqrt(mean_square), scene.frame.latitude[has_values]
    axes.fill_between(latitude, rms, color="#2f6f9f", alpha=0.18, linewidth=0)
    axes.plot(latitude, rms, color="#2f6f9f", linewidth=1.6)
    axes.set_xlim(float(latitude.min()), float(latitude.max()))
    axes.set_ylim(0.0, float(rms.max()) * 1.12 or 1.0)
    axes.set_title("RMS error by latitude", fontsize=11, color=_INK, loc="left", pad=6)
    axes.xaxis.set_major_formatter(lambda at, _position: _latitude_name(at))
    axes.set_ylabel(scene.quantity.error_unit, fontsize=8.5, color=_FAINT)
    if scene.frame.is_global:
        axes.set_xticks(range(-90, 91, 30))
    axes.tick_params(labelsize=8, colors=_FAINT, length=3)
    axes.grid(color="#d7dde3", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b6c0ca")


def _colour_bar(figure: Figure, shades: QuadContourSet, box: tuple[float, float, float, float], unit: str) -> None:
    bar = figure.colorbar(shades, cax=figure.add_axes(box), orientation="horizontal")
    bar.set_label(unit, fontsize=8.5, color=_FAINT, labelpad=2)
    bar.outline.set_linewidth(0.5)
    bar.ax.tick_params(labelsize=8, colors=_FAINT, length=2)
    bar.ax.locator_params(nbins=9)


def _headings(figure: Figure, scene: ForecastPicture) -> None:
    valid_time = scene.init_time + timedelta(hours=scene.lead_h)
    when = f"init {scene.init_time:%Y-%m-%d %H} UTC   valid {valid_time:%Y-%m-%d %H} UTC (+{scene.lead_h} h)"
    heading = f"{scene.title}: {scene.quantity.name}"
    figure.text(0.035, 0.945, heading, fontsize=16, weight="bold", color=_INK, parse_math=False)
    figure.text(0.035, 0.91, f"{when}   run {scene.run_id}", fontsize=10, color=_FAINT, parse_math=False)
    figure.text(0.965, 0.945, scene.scores, fontsize=12.5, color=_INK, ha="right", weight="bold")


def _levels(*fields: Values) -> Values:
    """Round shading levels that span all fields, so that equal colours are equal values."""
    from matplotlib.ticker import MaxNLocator

    low = min(float(np.nanmin(values)) for values in fields)
    high = max(float(np.nanmax(values)) for values in fields)
    if not high > low:
        low, high = low - 1.0, high + 1.0
    levels: Values = np.asarray(MaxNLocator(nbins=_SHADES, steps=[1, 2, 4, 5, 10]).tick_values(low, high))
    return levels


def _error_levels(error: Values) -> Values:
    """Round levels about 0, to the 99.5th percentile of the error's size: one bad point bleaches nothing."""
    from matplotlib.ticker import MaxNLocator

    reach = float(np.nanpercentile(np.abs(error), 99.5)) or 1.0
    levels: Values = np.asarray(MaxNLocator(nbins=14, symmetric=True).tick_values(-reach, reach))
    return levels


def _latitude_name(latitude: float) -> str:
    hemisphere = "N" if latitude > 0 else "S" if latitude < 0 else ""
    return f"{abs(latitude):g}°{hemisphere}"


def _masked(values: Values) -> Any:
    return np.ma.masked_invalid(values)


def _check_grids(forecast: FieldStore, truth: FieldStore) -> None:
    if min(len(forecast.latitude), len(forecast.longitude)) < 2:
        raise NotAMap(f"{forecast.name} has {len(forecast.latitude)} x {len(forecast.longitude)} points")
    same = np.array_equal(forecast.latitude, truth.latitude) and np.array_equal(forecast.longitude, truth.longitude)
    if not same:
        raise NotAMap(f"{truth.name} lies on another grid than {forecast.name}")


def _one_line(text: str) -> str:
    """Text for people, some of it a miner's, without line breaks or control characters."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[:_TEXT_LIMIT]


def _publish(destination: Path, png: bytes) -> None:
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.tmp")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(png)
        temporary.replace(destination)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise PictureUnwritable(f"cannot write {destination}: {error.strerror}; check free space and rights") from error
