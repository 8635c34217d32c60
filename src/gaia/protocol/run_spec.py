"""The run specification: the fields, the leads and the grid that a forecast must have.

It is data, so the same code serves a small demonstration and a full run of 69 fields, 40 steps and 0.25 degrees. A
forecast has one array for each variable, with the axes (lead, latitude, longitude) for a surface variable and (lead,
level, latitude, longitude) for one on pressure levels. Each horizontal field is one chunk.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Literal

import msgspec
from msgspec import Struct

from gaia.contracts.errors import ValidatorFault


class BadRunSpec(ValidatorFault):
    """A run specification contradicts itself."""


class GridSpec(Struct, frozen=True, kw_only=True):
    """A regular latitude-longitude grid in degrees. A negative step runs southward (or westward).

    Coordinates are always computed from these numbers and never read from files, so they are exact.
    """

    latitude_first: float
    latitude_step: float
    latitude_count: int
    longitude_first: float
    longitude_step: float
    longitude_count: int

    def __post_init__(self) -> None:
        numbers = (self.latitude_first, self.latitude_step, self.longitude_first, self.longitude_step)
        last = self.latitude_first + self.latitude_step * (self.latitude_count - 1)
        stands_still = (self.latitude_step == 0 and self.latitude_count > 1) or (
            self.longitude_step == 0 and self.longitude_count > 1
        )
        if (
            not all(map(math.isfinite, numbers))
            or stands_still
            or self.latitude_count < 1
            or self.longitude_count < 1
            or max(abs(self.latitude_first), abs(last)) > 90.000001
        ):
            raise BadRunSpec(f"not a grid on the sphere: {self}")

    @property
    def shape(self) -> tuple[int, int]:
        """(latitudes, longitudes)."""
        return self.latitude_count, self.longitude_count

    @staticmethod
    def global_grid(degrees: float) -> GridSpec:
        """The global grid of this spacing, with both poles, north to south and eastward from 0 E.

        For 1 degree it has 181 x 360 points.
        """
        return GridSpec(
            latitude_first=90.0,
            latitude_step=-float(degrees),
            latitude_count=round(180 / degrees) + 1,
            longitude_first=0.0,
            longitude_step=float(degrees),
            longitude_count=round(360 / degrees),
        )


class VariableSpec(Struct, frozen=True, kw_only=True):
    """One variable, by its short name, and its levels. Without levels it is a surface variable."""

    name: str
    levels_hpa: tuple[int, ...] = ()


class FieldId(Struct, frozen=True, order=True):
    """The name of a horizontal field: a variable and its level in hPa, None for a surface variable."""

    variable: str
    level_hpa: int | None = None

    def __str__(self) -> str:
        return f"{self.variable}{self.level_hpa or ''}"


class RunSpec(Struct, frozen=True, kw_only=True):
    """The exact content and layout of a forecast."""

    variables: tuple[VariableSpec, ...]
    lead_h: tuple[int, ...]
    """All leads that the miner commits to, in hours after `init_time`, ascending."""
    scored_lead_h: tuple[int, ...]
    """The leads that are scored against the truth."""
    gate_lead_h: int | None
    """The lead of the day-1 gate; None: the run has no gate."""
    grid: GridSpec
    dtype: Literal["<f4"] = "<f4"
    codec: Literal["blosc-zstd-3-shuffle"] = "blosc-zstd-3-shuffle"

    def __post_init__(self) -> None:
        wanted = {*self.scored_lead_h, *([] if self.gate_lead_h is None else [self.gate_lead_h])}
        if not self.variables or not self.lead_h or list(self.lead_h) != sorted(set(self.lead_h)):
            raise BadRunSpec("a run needs variables, and leads in ascending order without repeats")
        if not wanted <= set(self.lead_h):
            raise BadRunSpec(f"scored leads {sorted(wanted - set(self.lead_h))} h are not among the committed ones")
        if len({v.name for v in self.variables}) != len(self.variables):
            raise BadRunSpec("a variable is named twice")

    def fields(self) -> tuple[FieldId, ...]:
        """Every field (variable and level), in the specification's order."""
        return tuple(FieldId(v.name, level) for v in self.variables for level in (v.levels_hpa or (None,)))

    def chunks(self) -> Iterator[tuple[str, FieldId, int]]:
        """Every chunk as (key, field, lead_h). The keys are those of Zarr 3: array, "/c/", indices.

        >>> spec = RunSpec(variables=(VariableSpec(name="z", levels_hpa=(500,)),), lead_h=(6, 12), scored_lead_h=(12,),
        ...                gate_lead_h=None, grid=GridSpec.global_grid(3.0))
        >>> [key for key, _, _ in spec.chunks()]
        ['z/c/0/0/0/0', 'z/c/1/0/0/0']
        """
        for variable in self.variables:
            for lead_index, lead_h in enumerate(self.lead_h):
                if not variable.levels_hpa:
                    yield f"{variable.name}/c/{lead_index}/0/0", FieldId(variable.name), lead_h
                for level_index, level in enumerate(variable.levels_hpa):
                    yield f"{variable.name}/c/{lead_index}/{level_index}/0/0", FieldId(variable.name, level), lead_h

    def shape_of(self, variable: VariableSpec) -> tuple[int, ...]:
        """The shape of a variable's array: (lead, latitude, longitude) or (lead, level, latitude, longitude)."""
        levels = (len(variable.levels_hpa),) if variable.levels_hpa else ()
        return (len(self.lead_h), *levels, *self.grid.shape)

    @property
    def field_bytes(self) -> int:
        """The size of one decoded chunk."""
        return self.grid.shape[0] * self.grid.shape[1] * 4

    def digest(self) -> str:
        """sha256 of the canonical JSON, in hexadecimal."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()
