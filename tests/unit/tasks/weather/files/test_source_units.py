"""Units as files spell them."""

from __future__ import annotations

import pytest

from gaia.tasks.defined_tasks.weather.files.errors import UnusableStore
from gaia.tasks.defined_tasks.weather.files.source_units import factor_to_hpa, factor_to_table
from gaia.tasks.defined_tasks.weather.variables import VARIABLES


@pytest.mark.parametrize(
    ("name", "unit", "factor"),
    [
        ("z", "m**2 s**-2", 1.0),
        ("z", "m^2/s^2", 1.0),
        ("z", "gpm", 9.80665),
        ("z", "m", 9.80665),
        ("z", None, 1.0),
        ("t", "K", 1.0),
        ("t", "  ", 1.0),
        ("msl", "hPa", 100.0),
        ("u", "m s**-1", 1.0),
        ("10v", "m/s", 1.0),
        ("q", "kg kg**-1", 1.0),
        ("q", "g/kg", 0.001),
    ],
)
def test_known_spellings_convert(name: str, unit: str | None, factor: float) -> None:
    assert factor_to_table(VARIABLES[name], unit) == factor


def test_name_that_says_height_cannot_carry_a_geopotential_unit() -> None:
    assert factor_to_table(VARIABLES["z"], None, is_height=True) == 9.80665
    assert factor_to_table(VARIABLES["z"], "gpm", is_height=True) == 9.80665
    with pytest.raises(UnusableStore, match=r"z in unit 'm2 s-2'"):
        factor_to_table(VARIABLES["z"], "m2 s-2", is_height=True)


@pytest.mark.parametrize(("name", "unit"), [("t", "degC"), ("u", "knots"), ("msl", "K"), ("q", "%")])
def test_unknown_units_are_refused(name: str, unit: str) -> None:
    with pytest.raises(UnusableStore, match=f"{name} in unit '{unit}' is not understood"):
        factor_to_table(VARIABLES[name], unit)


@pytest.mark.parametrize(
    ("unit", "largest", "factor"),
    [("hPa", 1000, 1.0), ("millibars", 1000, 1.0), ("Pa", 100_000, 0.01), (None, 1000, 1.0), (None, 100_000, 0.01)],
)
def test_level_units(unit: str | None, largest: float, factor: float) -> None:
    assert factor_to_hpa(unit, largest) == factor


def test_unknown_level_unit_is_refused() -> None:
    with pytest.raises(UnusableStore, match="levels in unit 'sigma'"):
        factor_to_hpa("sigma", 1.0)
