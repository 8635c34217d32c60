"""The table of variables: their names, units, names in files, plausible limits and weights in the score.

Units are those of ERA5 (CF canonical). `z` is geopotential in m2 s-2 everywhere; GFS geopotential height (gpm) is
multiplied by `STANDARD_GRAVITY` when it is decoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from gaia.contracts.errors import ValidatorFault

STANDARD_GRAVITY = 9.80665
"""m s-2, by definition (3rd CGPM, 1901); geopotential = gravity x geopotential height."""

PRESSURE_LEVELS_HPA = (50, 100, 150, 200, 250, 300, 400, 500, 600, 700, 850, 925, 1000)
"""The 13 levels of WeatherBench 2."""


class UnknownVariable(ValidatorFault):
    """A name that is not in the table."""


class Variable(Struct, frozen=True, kw_only=True):
    """One physical quantity."""

    name: str
    cf_name: str
    unit: str
    on_levels: bool
    aliases: tuple[str, ...]
    """Other names in use for it: ERA5 long names, WeatherBench names, common abbreviations."""
    grib_short_names: tuple[str, ...]
    """The ecCodes shortNames of the same quantity in the same unit."""
    plausible: tuple[float, float]
    """The least and greatest possible value on Earth. A forecast with a value outside is refused."""
    component_weight: float
    """The weight in a lead's score, shared by the variable's levels. `policy.skill.field_weights` normalises it."""


_TABLE = (
    Variable(
        name="2t",
        cf_name="air_temperature",
        unit="K",
        on_levels=False,
        aliases=("t2m", "2m_temperature", "temperature_2m"),
        grib_short_names=("2t",),
        plausible=(150.0, 350.0),
        component_weight=0.20,
    ),
    Variable(
        name="msl",
        cf_name="air_pressure_at_mean_sea_level",
        unit="Pa",
        on_levels=False,
        aliases=("mean_sea_level_pressure", "prmsl"),
        grib_short_names=("msl", "prmsl"),
        plausible=(85_000.0, 110_000.0),
        component_weight=0.15,
    ),
    Variable(
        name="10u",
        cf_name="eastward_wind",
        unit="m s-1",
        on_levels=False,
        aliases=("u10", "10m_u_component_of_wind"),
        grib_short_names=("10u",),
        plausible=(-120.0, 120.0),
        component_weight=0.05,
    ),
    Variable(
        name="10v",
        cf_name="northward_wind",
        unit="m s-1",
        on_levels=False,
        aliases=("v10", "10m_v_component_of_wind"),
        grib_short_names=("10v",),
        plausible=(-120.0, 120.0),
        component_weight=0.05,
    ),
    Variable(
        name="z",
        cf_name="geopotential",
        unit="m2 s-2",
        on_levels=True,
        aliases=("geopotential",),
        grib_short_names=("z",),
        plausible=(-15_000.0, 350_000.0),
        component_weight=0.20,
    ),
    Variable(
        name="t",
        cf_name="air_temperature",
        unit="K",
        on_levels=True,
        aliases=("temperature",),
        grib_short_names=("t",),
        plausible=(130.0, 350.0),
        component_weight=0.15,
    ),
    Variable(
        name="u",
        cf_name="eastward_wind",
        unit="m s-1",
        on_levels=True,
        aliases=("u_component_of_wind",),
        grib_short_names=("u",),
        plausible=(-200.0, 200.0),
        component_weight=0.07,
    ),
    Variable(
        name="v",
        cf_name="northward_wind",
        unit="m s-1",
        on_levels=True,
        aliases=("v_component_of_wind",),
        grib_short_names=("v",),
        plausible=(-200.0, 200.0),
        component_weight=0.07,
    ),
    Variable(
        name="q",
        cf_name="specific_humidity",
        unit="kg kg-1",
        on_levels=True,
        aliases=("specific_humidity",),
        grib_short_names=("q",),
        plausible=(-0.005, 0.1),
        component_weight=0.06,
    ),
)

VARIABLES: Mapping[str, Variable] = MappingProxyType({v.name: v for v in _TABLE})
"""Short name -> variable, in the order of the run specification."""

_BY_ALIAS = {alias: v for v in _TABLE for alias in (v.name, *v.aliases)}


def variable(name: str) -> Variable:
    """The variable that a file calls `name`. Raises UnknownVariable.

    >>> variable("t2m").name
    '2t'
    """
    try:
        return _BY_ALIAS[name]
    except KeyError:
        raise UnknownVariable(f"unknown variable {name!r}; known are {', '.join(sorted(_BY_ALIAS))}") from None
