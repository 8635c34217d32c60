"""The payloads and results of the score handlers.

Owns only data. Never imports numpy, because the IO-Engine builds these payloads and reads these results.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gaia.contracts.ids import Hotkey, RunId
from gaia.protocol.run_spec import GridSpec, RunSpec
from gaia.tasks.defined_tasks.weather.policy.policy import ScoringPolicy


class _ScorePayload(Struct, frozen=True, kw_only=True):
    run_id: RunId
    hotkey: Hotkey
    spec: RunSpec
    policy: ScoringPolicy
    lead_h: int
    forecast_path: str
    """The folder of the forecast, with manifest.json and the fetched chunks."""
    manifest_digest: str
    """sha256 of the frozen manifest, in hexadecimal."""
    truth_path: str
    """A flat store of the valid time. The next two paths are also flat stores."""
    climatology_path: str | None = None
    reference_path: str | None = None


class Day1Payload(_ScorePayload, frozen=True, kw_only=True):
    """`weather.score.day1`: one forecast at the gate lead against the analysis."""


class Era5Payload(_ScorePayload, frozen=True, kw_only=True):
    """`weather.score.era5`: one forecast at one lead against ERA5."""


class ForecastRef(Struct, frozen=True, kw_only=True):
    """A frozen forecast on disk, and its miner."""

    hotkey: Hotkey
    path: str
    manifest_digest: str


class ClonesPayload(Struct, frozen=True, kw_only=True):
    """`weather.clones`: compare the forecasts of a run with each other and with the reference, at one lead."""

    run_id: RunId
    spec: RunSpec
    policy: ScoringPolicy
    lead_h: int
    forecasts: tuple[ForecastRef, ...]
    """In the order of commitment. Of several equal forecasts the first is the original."""
    reference_path: str | None = None
    climatology_path: str | None = None
    """The climatology of the valid time. Fields that have faded to it are no evidence. None: all fields are."""


class ScoredAgainst(Struct, frozen=True, kw_only=True):
    """The data that a forecast was scored against. With the policy digest and the fields a score can be repeated.

    A store is named by the digest of its content. A file that was read in place is named by `path:` and its path. None:
    there was none, and its terms are null.
    """

    grid: GridSpec
    """The grid on which it was scored."""
    truth: str
    climatology: str | None = None
    reference: str | None = None


class Day1Result(Struct, frozen=True, kw_only=True):
    """The gate's verdict on one forecast."""

    metrics: Mapping[str, float]
    """By the keys of handle_day1_scoring: `day1_rmse_2t`, `day1_acc_z500` ..."""
    score: float | None
    passed: bool | None
    """None: not applicable."""
    clone_of_reference: bool | None
    """None: not applicable."""
    not_applicable: str | None
    """Why `score` and `passed` are None."""
    policy_digest: str
    against: ScoredAgainst


class Era5Result(Struct, frozen=True, kw_only=True):
    """One lead of one forecast. The tuples run along `fields`; None: not available."""

    lead_h: int
    fields: tuple[tuple[str, int | None], ...]
    """(variable, level_hpa)."""
    bias: tuple[float, ...]
    mae: tuple[float, ...]
    rmse: tuple[float, ...]
    coverage: tuple[float, ...]
    acc: tuple[float | None, ...]
    skill_clim: tuple[float | None, ...]
    skill_ref: tuple[float | None, ...]
    component: tuple[float | None, ...]
    lead_score: float
    policy_digest: str
    against: ScoredAgainst


class CloneFound(Struct, frozen=True, kw_only=True):
    """A forecast that is a copy, with the evidence. The keys of both mappings are gate fields, such as `z500`."""

    hotkey: Hotkey
    original: Hotkey | None
    """The miner who committed to the original; None: the original is the operational reference."""
    mse: Mapping[str, float]
    """The mean squared difference, in the variable's unit squared."""
    threshold: Mapping[str, float]
    """Below this difference, at this lead, a field counts as equal."""


class ClonesResult(Struct, frozen=True, kw_only=True):
    """The copies among the forecasts at one lead."""

    lead_h: int
    clones: tuple[CloneFound, ...]
    unreadable: Mapping[Hotkey, str]
    """Forecasts that were left out because they could not be read, with the code of the miner's fault."""
    uncompared: int
    """The number of pairs with similar sketches that were not compared in full, because closer pairs were."""
    not_applicable: str | None
    """Why nothing was compared."""
    policy_digest: str
