"""The scoring policy: every weight and threshold that turns metrics into money, as versioned data with a
digest.

Owns the numbers, not the formulas. Imports no numpy: the IO-Engine puts a policy into every unit of work. A
changed number is a new version and a line in the changelog. docs/explanation/scoring.md gives the reason for each.
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
    """What a forecast must beat to have skill against the reference."""

    PLAIN = "plain"
    """The reference as it is."""
    FADED = "faded"
    """The reference after what anybody can do to it: its anomaly faded to the best blend with the climatology."""


class Fallback(StrEnum):
    """The score of a component for which neither climatology nor reference exist."""

    TRUTH_EDDY = "truth_eddy"
    """1 / (1 + RMSE / eddy), eddy the truth's own root-mean-square departure from its zonal mean."""
    NONE = "none"
    """There is none: the component is null."""


class ScoredField(Protocol):
    """What scoring needs to know of a field's name; gaia.protocol.run_spec.FieldId is one."""

    @property
    def variable(self) -> str: ...

    @property
    def level_hpa(self) -> int | None: ...


FieldT = TypeVar("FieldT", bound=ScoredField)


class TermWeights(Struct, frozen=True, kw_only=True):
    """What the terms of a component score weigh. Null terms drop out and the rest is scaled up to 1.

    The reference is public before the deadline, so whatever it has of the other three terms is free: they rank
    forecasts that do not beat it, and no more.
    """

    skill_clim: float = 0.10
    """Of clamp(1 - MSE / MSE_clim, 0, 1)."""
    skill_ref: float = 0.80
    """Of clamp(1 - MSE / MSE_base, 0, 1), MSE_base by `ReferenceBaseline`."""
    acc: float = 0.07
    """Of max(ACC, 0)."""
    closeness: float = 0.03
    """Of 1 / (1 + RMSE / RMSE_clim): never quite zero, so that it still tells two bad forecasts apart."""


class GatePolicy(Struct, frozen=True, kw_only=True):
    """The day-1 gate: a forecast that fails it has score 0 for the whole run."""

    skill_ref: float = 0.6
    acc: float = 0.4
    minimum: float = 0.3
    """Without skill against the reference that is a mean ACC of 0.5; climatology has 0.2, weather at random 0.2."""


class CloneThreshold(Struct, frozen=True, kw_only=True):
    """Nearer than `mse` two forecasts are one, as far as this field goes. The fields make the day-1 gate, too."""

    variable: str
    level_hpa: int | None = None
    mse: float
    """The variable's unit, squared; up to the first lead of `clone_growth`, and times its factor beyond."""


class CloneGrowth(Struct, frozen=True, kw_only=True):
    """From this lead on the clone thresholds are `factor` times as large: forecasts that are not one grow apart."""

    lead_h: int
    factor: float


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
    ease_share: float = 0.25
    """How easy a run was, say the best of those who are known in all of the latest runs: so large a share of them."""
    ease_judges: int = 8
    """Fewer of them cannot say, and all runs count alike."""
    ease_limit: float = 2.0
    """No run counts as more than so many times easier or harder than the usual one."""
    unknown_quantile: float = 0.25
    """Where among the established miners a lead stands of which nothing is known yet."""
    void_failed_share: float = 0.5
    """A run in which more than this share of the asked miners failed is void."""


class ScoringPolicy(Struct, frozen=True, kw_only=True):
    """All of it. The default instance is the one in force."""

    version: int = 3
    area_weighting: AreaWeighting = AreaWeighting.CELL
    terms: TermWeights = TermWeights()
    reference_baseline: ReferenceBaseline = ReferenceBaseline.FADED
    fallback: Fallback = Fallback.TRUTH_EDDY
    component_weights: Mapping[str, float] = field(
        default_factory=lambda: {v.name: v.component_weight for v in VARIABLES.values()}
    )
    """Variable -> weight; from the variable table."""
    gate: GatePolicy = GatePolicy()
    clone_thresholds: tuple[CloneThreshold, ...] = (
        CloneThreshold(variable="2t", mse=0.04),
        CloneThreshold(variable="msl", mse=400.0),
        CloneThreshold(variable="10u", mse=0.04),
        CloneThreshold(variable="10v", mse=0.04),
        CloneThreshold(variable="z", level_hpa=500, mse=250.0),
    )
    clone_agreement: float = 0.6
    """Two forecasts are one if they are in at least this share of the gate fields: noise in one hides no copy."""
    clone_faded: float = 4.0
    """A field nearer to the climatology than so many clone thresholds says nothing of whose it is: all who fade there
    meet. In root mean square that is twice a threshold, the furthest that two may be apart who are both within one."""
    clone_growth: tuple[CloneGrowth, ...] = (
        CloneGrowth(lead_h=120, factor=1.25),
        CloneGrowth(lead_h=168, factor=1.7),
        CloneGrowth(lead_h=192, factor=2.7),
    )
    """At most half of the distance, in thresholds, of the trial's closest independent forecasts, then or later."""
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
        """sha256 of the canonical JSON, hexadecimal: stored with every score."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def lead_weight(self, lead_h: int) -> float:
        """What a lead weighs among the leads; beyond the last band as in the last band."""
        bands = self.window.lead_bands
        return next((band.lead_weight for band in bands if lead_h <= band.up_to_h), bands[-1].lead_weight)

    def clone_growth_at(self, lead_h: int) -> float:
        """By what the clone thresholds are multiplied at a lead; 1 before the first of `clone_growth`."""
        return next((step.factor for step in reversed(self.clone_growth) if step.lead_h <= lead_h), 1.0)

    def clone_threshold(self, scored: ScoredField, lead_h: int = 0) -> float | None:
        """The distance below which two forecasts of this field are one at a lead; None: not a gate field."""
        return next(
            (
                threshold.mse * self.clone_growth_at(lead_h)
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
