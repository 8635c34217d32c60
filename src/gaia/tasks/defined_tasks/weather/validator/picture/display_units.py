"""How a field is shown to people: its name, the unit that meteorologists read it in, its colours.

Display only. Scores and stores keep the units of the variable table.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.variables import STANDARD_GRAVITY, variable


class Quantity(Struct, frozen=True, kw_only=True):
    """A field's dress. shown = value x factor + offset; an error has no offset and may have a finer unit."""

    name: str
    unit: str
    colours: str
    """A Matplotlib colour map."""
    factor: float = 1.0
    offset: float = 0.0
    error_unit: str
    error_factor: float = 1.0

    def shown(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Values of the table's unit, in the display unit, float64."""
        return values.astype(np.float64) * self.factor + self.offset

    def error_shown(self, errors: NDArray[Any]) -> NDArray[np.float64]:
        """Differences in the table's unit, in the error unit, float64."""
        return errors.astype(np.float64) * self.error_factor


_DRESS: Final = MappingProxyType(
    {
        "z": Quantity(
            name="geopotential height", unit="dam", colours="viridis", factor=0.1 / STANDARD_GRAVITY,
            error_unit="m", error_factor=1.0 / STANDARD_GRAVITY,
        ),
        "t": Quantity(name="temperature", unit="°C", colours="RdYlBu_r", offset=-273.15, error_unit="K"),
        "2t": Quantity(name="2 m temperature", unit="°C", colours="RdYlBu_r", offset=-273.15, error_unit="K"),
        "msl": Quantity(
            name="mean sea level pressure", unit="hPa", colours="viridis", factor=0.01, error_unit="hPa",
            error_factor=0.01,
        ),
        "u": Quantity(name="eastward wind", unit="m/s", colours="PuOr_r", error_unit="m/s"),
        "v": Quantity(name="northward wind", unit="m/s", colours="PuOr_r", error_unit="m/s"),
        "10u": Quantity(name="10 m eastward wind", unit="m/s", colours="PuOr_r", error_unit="m/s"),
        "10v": Quantity(name="10 m northward wind", unit="m/s", colours="PuOr_r", error_unit="m/s"),
        "q": Quantity(
            name="specific humidity", unit="g/kg", colours="YlGnBu", factor=1000.0, error_unit="g/kg",
            error_factor=1000.0,
        ),
    }
)  # fmt: skip


def quantity_of(field: FieldId) -> Quantity:
    """How to show a field; its name carries the level.

    >>> quantity_of(FieldId("z", 500)).name
    '500 hPa geopotential height'
    """
    known = variable(field.variable)
    plain = Quantity(name=known.cf_name.replace("_", " "), unit=known.unit, colours="viridis", error_unit=known.unit)
    dress = _DRESS.get(known.name, plain)
    if field.level_hpa is None:
        return dress
    return Quantity(
        name=f"{field.level_hpa} hPa {dress.name}",
        unit=dress.unit,
        colours=dress.colours,
        factor=dress.factor,
        offset=dress.offset,
        error_unit=dress.error_unit,
        error_factor=dress.error_factor,
    )
