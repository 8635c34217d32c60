"""Units as files spell them, turned into factors to the units of the variable table. No numpy.

A unit that is not understood is refused, never guessed: a geopotential taken for a height is wrong by a
factor of 9.8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gaia.tasks.defined_tasks.weather.files.errors import UnusableStore
from gaia.tasks.defined_tasks.weather.variables import STANDARD_GRAVITY, Variable

HEIGHT_NAMES = frozenset({"gh", "hgt", "HGT", "geopotential_height"})
"""What files call geopotential height: `z` divided by standard gravity."""

_FACTORS: dict[str, dict[str, float]] = {
    "m2 s-2": {"m2 s-2": 1.0, "m2/s2": 1.0, "j kg-1": 1.0, "gpm": STANDARD_GRAVITY, "m": STANDARD_GRAVITY},
    "K": {"k": 1.0, "kelvin": 1.0},
    "Pa": {"pa": 1.0, "pascal": 1.0, "hpa": 100.0, "mbar": 100.0, "millibars": 100.0},
    "m s-1": {"m s-1": 1.0, "m/s": 1.0},
    "kg kg-1": {"kg kg-1": 1.0, "kg/kg": 1.0, "1": 1.0, "g kg-1": 1e-3, "g/kg": 1e-3},
}
_HECTOPASCAL = {
    "hpa": 1.0,
    "mbar": 1.0,
    "mb": 1.0,
    "millibar": 1.0,
    "millibars": 1.0,
    "pa": 0.01,
    "pascal": 0.01,
}


def factor_to_table(variable: Variable, unit: str | None, *, is_height: bool = False) -> float:
    """By what to multiply values of `unit` to have them in the table's; raises UnusableStore.

    No unit: the table's own, or metres where the name says height.

    >>> from gaia.tasks.defined_tasks.weather.variables import VARIABLES
    >>> factor_to_table(VARIABLES["z"], "gpm"), factor_to_table(VARIABLES["z"], "m**2 s**-2")
    (9.80665, 1.0)
    """
    if unit is None or not unit.strip():
        return STANDARD_GRAVITY if is_height else 1.0
    known = _FACTORS[variable.unit]
    factor = known.get(_plain(unit))
    if factor is None or (is_height and factor == 1.0):
        raise UnusableStore(f"{variable.name} in unit {unit!r} is not understood; known are {', '.join(known)}")
    return factor


def factor_to_hpa(unit: str | None, largest: float) -> float:
    """By what to multiply level values to have hPa. Without a unit, values above 1100 are taken for Pa."""
    if unit is None or not unit.strip():
        return 0.01 if largest > 1100.0 else 1.0
    factor = _HECTOPASCAL.get(_plain(unit))
    if factor is None:
        raise UnusableStore(f"levels in unit {unit!r} are not understood; hPa and Pa are")
    return factor


def unit_of(attributes: Mapping[Any, Any], where: str) -> str | None:
    """The attribute `units`, None if there is none; raises UnusableStore if it is no text."""
    unit = attributes.get("units")
    if unit is None or isinstance(unit, str):
        return unit
    raise UnusableStore(f"{where}: its attribute units is {unit!r}; a text is expected")


def _plain(unit: str) -> str:
    return re.sub(r"\s+", " ", unit.strip().lower().replace("**", "").replace("^", ""))
