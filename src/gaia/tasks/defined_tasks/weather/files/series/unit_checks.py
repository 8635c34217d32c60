"""Whether two files hold a variable in the same unit: by what they say, and by what their numbers look like.

Owns both checks. What files say and differ in raises; what only looks wrong is a warning in words. Must never
convert: that a file's own unit is the table's up to a factor is settled where it is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.errors import UnitMismatch
from gaia.tasks.defined_tasks.weather.files.source_units import factor_to_table
from gaia.tasks.defined_tasks.weather.scoring.moments import Field
from gaia.tasks.defined_tasks.weather.variables import STANDARD_GRAVITY, VARIABLES

_SAMPLE = 20_000
"""Points that a look at the magnitudes takes."""
_BETTER = 25.0
"""How many times smaller the mean squared error must become for another unit to be suspected."""


class _Reading(NamedTuple):
    """Another way to read numbers: values x factor + offset."""

    words: str
    factor: float
    offset: float


_READINGS: Mapping[str, tuple[_Reading, ...]] = {
    "m2 s-2": (
        _Reading("geopotential height (gpm) where geopotential (m2 s-2) is expected", STANDARD_GRAVITY, 0.0),
        _Reading("geopotential multiplied by gravity once too often", 1.0 / STANDARD_GRAVITY, 0.0),
    ),
    "K": (
        _Reading("degrees Celsius where kelvin are expected", 1.0, 273.15),
        _Reading("degrees Fahrenheit where kelvin are expected", 5.0 / 9.0, 459.67 * 5.0 / 9.0),
    ),
    "Pa": (_Reading("hPa where Pa are expected", 100.0, 0.0),),
    "m s-1": (
        _Reading("knots where m s-1 are expected", 1852.0 / 3600.0, 0.0),
        _Reading("km h-1 where m s-1 are expected", 1.0 / 3.6, 0.0),
    ),
    "kg kg-1": (_Reading("g kg-1 where kg kg-1 are expected", 1e-3, 0.0),),
}


def require_same_unit(field: FieldId, here: tuple[str, str | None], there: tuple[str, str | None]) -> None:
    """Raise UnitMismatch if both files, (name, unit), say their unit, and the units differ by a factor."""
    known = VARIABLES[field.variable]
    if not (here[1] or "").strip() or not (there[1] or "").strip():
        return
    ours, theirs = (factor_to_table(known, unit) for _, unit in (here, there))
    if ours != theirs:
        raise UnitMismatch(
            f"{field} is in {here[1]!r} in {here[0]} and in {there[1]!r} in {there[0]}, a factor of "
            f"{max(ours, theirs) / min(ours, theirs):g}; convert one of them"
        )


def height_remark(file: str, name: str) -> str:
    """What a reader should know of heights that were read as geopotential."""
    return f"{file} holds geopotential height, {name!r}: multiplied by {STANDARD_GRAVITY:g} to be geopotential"


def suspicion(field: FieldId, values: Field, expected: Field) -> str | None:
    """What `values` look like if they would fit `expected` far better in another unit; None: nothing.

    Compares mean squared errors over at most 20,000 points, both fields (nlat, nlon) in the table's unit. Of a
    geopotential and a height the one is suspected that is further from the standard atmosphere.
    """
    step = max(1, values.size // _SAMPLE)
    mine, theirs = (array.reshape(-1)[::step].astype(np.float64) for array in (values, expected))
    finite = np.isfinite(mine) & np.isfinite(theirs)
    mine, theirs = mine[finite], theirs[finite]
    if mine.size == 0:
        return None
    as_is = float(np.mean((mine - theirs) ** 2))
    readings = _READINGS[VARIABLES[field.variable].unit]
    errors = [float(np.mean((mine * reading.factor + reading.offset - theirs) ** 2)) for reading in readings]
    best = readings[int(np.argmin(errors))]
    if _BETTER * min(errors) >= as_is or (field.variable == "z" and _is_usual(field, float(mine.mean()), best.factor)):
        return None
    return f"looks like {best.words}"


def _is_usual(field: FieldId, mean: float, factor: float) -> bool:
    """Whether a geopotential is nearer to that of the standard atmosphere as it is than multiplied by `factor`.

    Height below 11 km as in ICAO Doc 7488, h = 44,331 m (1 - (p / 1013.25 hPa)^0.19026); above it is too low by a
    tenth, where factors of 9.8 are to be told apart.
    """
    if field.level_hpa is None or not 0 < field.level_hpa < 1000 or mean <= 0.0:
        return False
    usual = STANDARD_GRAVITY * 44_331.0 * (1.0 - (field.level_hpa / 1013.25) ** 0.19026)
    return abs(math.log(mean / usual)) < abs(math.log(mean * factor / usual))


def implausibility(field: FieldId, values: Field) -> str | None:
    """What is wrong with numbers that lie outside what is possible on Earth, or are all the same; None: nothing."""
    known = VARIABLES[field.variable]
    low, high = float(values.min()), float(values.max())
    if not np.isfinite((low, high)).all():
        finite = values[np.isfinite(values)]
        if finite.size == 0:
            return None
        low, high = float(finite.min()), float(finite.max())
    if low == high and values.size > 1:
        return f"is {low:g} everywhere, as where a chunk was never written"
    if known.plausible[0] <= low and high <= known.plausible[1]:
        return None
    wrong = (
        f"reaches from {low:g} to {high:g}; {known.plausible[0]:g} to {known.plausible[1]:g} {known.unit} is possible"
    )
    for reading in _READINGS[known.unit]:
        ends = low * reading.factor + reading.offset, high * reading.factor + reading.offset
        if known.plausible[0] <= ends[0] and ends[1] <= known.plausible[1]:
            return f"{wrong}: looks like {reading.words}"
    return wrong
