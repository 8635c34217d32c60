"""The scoring policy: every weight and threshold that turns metrics into pay, as versioned data with a digest.

Owns the numbers, not the formulas. Imports no numpy, because the IO-Engine puts a policy into every unit of work. A
changed number is a new version and a line in the changelog. The scoring documentation gives the reason for each.
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
from gaia.tasks.defined_tasks.weather.scoring.area_weighting import AreaWeighting
from gaia.tasks.defined_tasks.weather.variables import VARIABLES


class BadPolicy(ConfigurationError):
    """A scoring policy contradicts itself or does not cover what is to be scored."""


class ReferenceBaseline(StrEnum):
    """Which error a forecast must beat to have skill against the reference."""

    PLAIN = "plain"
    """The error of the reference as it is."""
    FADED = "faded"
    """The error of the best blend of reference and climatology, which anybody can make."""


class Fallback(StrEnum):
    """The score of a component for which neither climatology nor reference exist."""

    TRUTH_EDDY = "truth_eddy"
    """1 / (1 + RMSE / eddy), where eddy is the truth's root-mean-square departure from its own zonal mean."""
    NONE = "none"
    """The component has no score (null)."""


class ScoredField(Protocol):
    """What scoring needs to know of a field. `gaia.protocol.run_spec.FieldId` is one."""

    @property
    def variable(self) -> str: ...

    @property
    def level_hpa(self) -> int | None: ...


FieldT = TypeVar("FieldT", bound=ScoredField)


class TermWeights(Struct, frozen=True, kw_only=True):
    """The weights of the terms of a component score. Null terms drop out, and the other weights are scaled up to 1.

    The reference is public before the deadline. Anybody can copy what it earns in the other three terms, so they serve
    only to rank forecasts that do not beat it.
    """

    skill_clim: float = 0.10
    """Weight of clamp(1 - MSE / MSE_clim, 0, 1)."""
    skill_ref: float = 0.80
    """Weight of clamp(1 - MSE / MSE_base, 0, 1); `ReferenceBaseline` says what MSE_base is."""
    acc: float = 0.07
    """Weight of max(ACC, 0)."""
    closeness: float = 0.03
    """Weight of 1 / (1 + RMSE / RMSE_clim). This term is never zero, so it ranks bad forecasts too."""


class GatePolicy(Struct, frozen=True, kw_only=True):
    """The day-1 gate. A forecast that fails it has score 0 for the whole run."""

    skill_ref: float = 0.6
    """Weight of the mean of max(0, skill against the reference)."""
    acc: float = 0.4
    """Weight of the mean of (ACC + 1) / 2."""
    minimum: float = 0.3
    """The least score that passes. Without skill against the reference it takes a mean ACC of 0.5; the climatology and
    the weather of a random day have 0.2."""


class CloneThreshold(Struct, frozen=True, kw_only=True):
    """Two forecasts nearer than `mse` count as one in this field. These fields are also those of the day-1 gate."""

    variable: str
    level_hpa: int | None = None
    mse: float
    """In the variable's unit squared. From the leads of `clone_growth` on it is multiplied by their factors."""


class CloneGrowth(Struct, frozen=True, kw_only=True):
    """From this lead on the clone thresholds are `factor` times as large, because independent forecasts drift apart."""

    lead_h: int
    factor: float


class LeadBand(Struct, frozen=True, kw_only=True):
    """The weight of each lead above the previous band, up to and including `up_to_h`."""

    up_to_h: int
    lead_weight: float


class WindowPolicy(Struct, frozen=True, kw_only=True):
    """How the scores of several runs become one score per hotkey."""

    runs: int = 10
    """How many of the latest runs count, for each lead."""
    lead_bands: tuple[LeadBand, ...] = (
        LeadBand(up_to_h=168, lead_weight=1.0),
        LeadBand(up_to_h=240, lead_weight=0.5),
    )
    ease_share: float = 0.25
    """How easy a run was is measured by this best share of the miners who have a score in all of the latest runs."""
    ease_judges: int = 8
    """With fewer such miners than this, all runs count as equally easy."""
    ease_limit: float = 2.0
    """A run counts as at most this many times easier or harder than the average run."""
    unknown_quantile: float = 0.25
    """A lead without any score yet gets this quantile of the other miners' scores above zero."""
    void_failed_share: float = 0.5
    """A run in which more than this share of the asked miners failed is void."""


class ScoringPolicy(Struct, frozen=True, kw_only=True):
    """The whole policy. The default instance is the one in force."""

    version: int = 3
    area_weighting: AreaWeighting = AreaWeighting.CELL
    terms: TermWeights = TermWeights()
    reference_baseline: ReferenceBaseline = ReferenceBaseline.FADED
    fallback: Fallback = Fallback.TRUTH_EDDY
    component_weights: Mapping[str, float] = field(
        default_factory=lambda: {v.name: v.component_weight for v in VARIABLES.values()}
    )
    """Variable -> weight, from the variable table."""
    gate: GatePolicy = GatePolicy()
    clone_thresholds: tuple[CloneThreshold, ...] = (
        CloneThreshold(variable="2t", mse=0.04),
        CloneThreshold(variable="msl", mse=400.0),
        CloneThreshold(variable="10u", mse=0.04),
        CloneThreshold(variable="10v", mse=0.04),
        CloneThreshold(variable="z", level_hpa=500, mse=250.0),
    )
    clone_agreement: float = 0.6
    """Two forecasts count as one if at least this share of the gate fields does. Noise in one field hides no copy."""
    clone_faded: float = 4.0
    """A field nearer to the climatology than this many clone thresholds does not count as evidence of a copy, because
    damped forecasts all approach the climatology. As a root mean square it is twice the threshold: two fields that are
    both within one threshold of the climatology are at most so far apart."""
    clone_growth: tuple[CloneGrowth, ...] = (
        CloneGrowth(lead_h=120, factor=1.25),
        CloneGrowth(lead_h=168, factor=1.7),
        CloneGrowth(lead_h=192, factor=2.7),
    )
    """Each factor is at most half of the distance, in thresholds, between the closest independent forecasts of the
    trial at that lead or any later one."""
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
        if not 0.0 < self.clone_agreement <= 1.0:
            raise BadPolicy(f"the clone agreement must be above 0 and at most 1, got {self.clone_agreement:g}")
        if not 0.0 <= self.clone_faded < math.inf:
            raise BadPolicy(f"the clone check's bound on faded fields must not be negative, got {self.clone_faded:g}")
        leads, factors = [step.lead_h for step in self.clone_growth], [step.factor for step in self.clone_growth]
        if leads != sorted(set(leads)) or factors != sorted(factors) or not all(1.0 <= f < math.inf for f in factors):
            raise BadPolicy("the clone growth must be given by ascending lead, its factors not falling and at least 1")
        bands = [band.up_to_h for band in self.window.lead_bands]
        if not bands or bands != sorted(set(bands)):
            raise BadPolicy("the lead bands must be given in ascending order")
        window = self.window
        shares = (window.unknown_quantile, window.ease_share)
        if window.runs < 1 or not all(0 <= s <= 1 for s in shares) or window.void_failed_share <= 0:
            raise BadPolicy(f"the window makes no sense: {window}")
        if not 1.0 <= window.ease_limit < math.inf:
            raise BadPolicy(f"the ease limit must be at least 1, got {window.ease_limit:g}")

    def digest(self) -> str:
        """sha256 of the canonical JSON, in hexadecimal. It is stored with every score."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def lead_weight(self, lead_h: int) -> float:
        """The weight of a lead. Leads beyond the last band have the weight of the last band."""
        bands = self.window.lead_bands
        return next((band.lead_weight for band in bands if lead_h <= band.up_to_h), bands[-1].lead_weight)

    def clone_growth_at(self, lead_h: int) -> float:
        """The factor of the clone thresholds at a lead; 1 before the first lead of `clone_growth`."""
        return next((step.factor for step in reversed(self.clone_growth) if step.lead_h <= lead_h), 1.0)

    def clone_threshold(self, scored: ScoredField, lead_h: int = 0) -> float | None:
        """The distance below which two forecasts of this field count as one at a lead, in the variable's unit squared.

        Returns:
            None if the field is no gate field.
        """
        return next(
            (
                threshold.mse * self.clone_growth_at(lead_h)
                for threshold in self.clone_thresholds
                if (threshold.variable, threshold.level_hpa) == (scored.variable, scored.level_hpa)
            ),
            None,
        )

    def gate_fields(self, fields: Sequence[FieldT]) -> tuple[FieldT, ...]:
        """Those of `fields` that the day-1 gate and the clone check use, in their order."""
        return tuple(f for f in fields if self.clone_threshold(f) is not None)


DEFAULT_POLICY = ScoringPolicy()
"""The policy in force."""
