"""The scoring policy: every weight and threshold that turns metrics into money, as versioned data with a
digest.

Owns the numbers, not the formulas. Imports no numpy: the IO-Engine puts a policy into every unit of work. A
changed number is a new version and a line in the changelog. docs/scoring.md gives the reason for each.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct, field

from gaia.contracts.errors import ConfigurationError
from gaia.tasks.defined_tasks.weather.variables import VARIABLES


class BadPolicy(ConfigurationError):
    """A scoring policy contradicts itself or does not cover what is to be scored."""


class AreaWeighting(StrEnum):
    """How much of the sphere a row of the grid stands for."""

    CELL = "cell"
    """Exact: sin(upper edge) - sin(lower edge), edges half-way between rows, clipped at the poles."""
    COSINE = "cosine"
    """cos(latitude), as much of the literature has it; a row at the pole counts nothing."""


class ScoredField(Protocol):
    """What scoring needs to know of a field's name; gaia.protocol.run_spec.FieldId is one."""

    @property
    def variable(self) -> str: ...

    @property
    def level_hpa(self) -> int | None: ...


FieldT = TypeVar("FieldT", bound=ScoredField)


class TermWeights(Struct, frozen=True, kw_only=True):
    """What the terms of a component score weigh. Null terms drop out and the rest is scaled up to 1."""

    skill_clim: float = 0.3
    """Of clamp(1 - MSE / MSE_clim, 0, 1)."""
    skill_ref: float = 0.4
    """Of clamp(1 - MSE / MSE_ref, 0, 1)."""
    acc: float = 0.2
    """Of max(ACC, 0)."""
    closeness: float = 0.1
    """Of 1 / (1 + RMSE / RMSE_clim): never quite zero, so that it still tells two bad forecasts apart."""


class GatePolicy(Struct, frozen=True, kw_only=True):
    """The day-1 gate: a forecast that fails it has score 0 for the whole run."""

    skill_ref: float = 0.6
    acc: float = 0.4
    minimum: float = 0.1


class CloneThreshold(Struct, frozen=True, kw_only=True):
    """Two forecasts nearer than `mse` in *all* of these fields are one. They make the day-1 gate, too."""

    variable: str
    level_hpa: int | None = None
    mse: float
    """The variable's unit, squared."""


class LeadBand(Struct, frozen=True, kw_only=True):
    """What each lead up to and including `up_to_h` weighs, beyond the previous band."""

    up_to_h: int
    lead_weight: float


class WindowPolicy(Struct, frozen=True, kw_only=True):
    """How runs become one score per hotkey."""

    runs: int = 10
    """Of each lead, so many of the latest runs count."""
    lead_bands: tuple[LeadBand, ...] = (
        LeadBand(up_to_h=168, lead_weight=1.0),
        LeadBand(up_to_h=240, lead_weight=0.5),
    )
    unknown_quantile: float = 0.25
    """Where among the established miners a lead stands of which nothing is known yet."""
    void_failed_share: float = 0.5
    """A run in which more than this share of the asked miners failed is void."""


class ScoringPolicy(Struct, frozen=True, kw_only=True):
    """All of it. The default instance is the one in force."""

    version: int = 1
    area_weighting: AreaWeighting = AreaWeighting.CELL
    terms: TermWeights = TermWeights()
    component_weights: Mapping[str, float] = field(
        default_factory=lambda: {v.name: v.component_weight for v in VARIABLES.values()}
    )
    """Variable -> weight; from the variable table."""
    gate: GatePolicy = GatePolicy()
    clone_thresholds: tuple[CloneThreshold, ...] = (
        CloneThreshold(variable="2t", mse=0.0025),
        CloneThreshold(variable="msl", mse=400.0),
        CloneThreshold(variable="10u", mse=0.01),
        CloneThreshold(variable="10v", mse=0.01),
        CloneThreshold(variable="z", level_hpa=500, mse=100.0),
    )
    window: WindowPolicy = WindowPolicy()

    def __post_init__(self) -> None:
        weights = [*msgspec.structs.astuple(self.terms), self.gate.skill_ref, self.gate.acc]
        weights += [*self.component_weights.values(), *(band.lead_weight for band in self.window.lead_bands)]
        if not all(math.isfinite(w) and w >= 0 for w in weights):
            raise BadPolicy("a policy's weights must be finite and not negative")
        if not math.isclose(sum(msgspec.structs.astuple(self.terms)), 1.0):
            raise BadPolicy(f"the weights of the terms must sum to 1, they sum to {sum(weights[:4]):g}")
        if not all(threshold.mse > 0 for threshold in self.clone_thresholds):
            raise BadPolicy("a clone threshold must be above zero")
        bands = [band.up_to_h for band in self.window.lead_bands]
        if not bands or bands != sorted(set(bands)):
            raise BadPolicy("the lead bands must be given in ascending order")
        if self.window.runs < 1 or not 0 <= self.window.unknown_quantile <= 1 or self.window.void_failed_share <= 0:
            raise BadPolicy(f"the window makes no sense: {self.window}")

    def digest(self) -> str:
        """sha256 of the canonical JSON, hexadecimal: stored with every score."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def lead_weight(self, lead_h: int) -> float:
        """What a lead weighs among the leads; beyond the last band as in the last band."""
        bands = self.window.lead_bands
        return next((band.lead_weight for band in bands if lead_h <= band.up_to_h), bands[-1].lead_weight)

    def clone_threshold(self, scored: ScoredField) -> float | None:
        """The distance below which two forecasts of this field are one; None: not a gate field."""
        return next(
            (
                threshold.mse
                for threshold in self.clone_thresholds
                if (threshold.variable, threshold.level_hpa) == (scored.variable, scored.level_hpa)
            ),
            None,
        )

    def gate_fields(self, fields: Sequence[FieldT]) -> tuple[FieldT, ...]:
        """Those of `fields` that the day-1 gate and the clone check look at."""
        return tuple(f for f in fields if self.clone_threshold(f) is not None)


DEFAULT_POLICY = ScoringPolicy()
"""The policy in force."""
