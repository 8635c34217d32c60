"""What the score handlers are given and what they return, as both sides of the channel see it.

Owns only shapes of data. Never imports numpy: the IO-Engine builds these payloads and reads these results.
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
    """Folder of the forecast: manifest.json and the chunks that were fetched."""
    manifest_digest: str
    """sha256 of the frozen manifest, hexadecimal."""
    truth_path: str
    """Flat field store of the one valid time; so are the next two."""
    climatology_path: str | None = None
    reference_path: str | None = None


class Day1Payload(_ScorePayload, frozen=True, kw_only=True):
    """`weather.score.day1`: one forecast at the gate lead against the analysis."""


class Era5Payload(_ScorePayload, frozen=True, kw_only=True):
    """`weather.score.era5`: one forecast at one lead against ERA5."""


class ForecastRef(Struct, frozen=True, kw_only=True):
    """A frozen forecast on disk, and whose it is."""

    hotkey: Hotkey
    path: str
    manifest_digest: str


class ClonesPayload(Struct, frozen=True, kw_only=True):
    """`weather.clones`: the forecasts of a run with one another and with the reference, at one lead."""

    run_id: RunId
    spec: RunSpec
    policy: ScoringPolicy
    lead_h: int
    forecasts: tuple[ForecastRef, ...]
    """In the order of commitment: of forecasts that are one, the first is the original."""
    reference_path: str | None = None
    climatology_path: str | None = None
    """Of the lead's time. Fields that have faded to it tell nobody apart; None: no field is taken to have."""


class ScoredAgainst(Struct, frozen=True, kw_only=True):
    """What a score was made from beside the forecast: with policy digest and fields, all that it takes to repeat it.

    Contents, not places: the digest of a decoded field store, or `path:` and its place for a file that was read as it
    lies. None: there was none, and its terms are null.
    """

    grid: GridSpec
    """The resolution at which it was scored."""
    truth: str
    climatology: str | None = None
    reference: str | None = None


class Day1Result(Struct, frozen=True, kw_only=True):
    """The gate's verdict on one forecast."""

    metrics: Mapping[str, float]
    """As handle_day1_scoring names them: `day1_rmse_2t`, `day1_acc_z500` ..."""
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
    """A forecast that is another one, with the evidence: the mappings go by gate field, as in `z500`."""

    hotkey: Hotkey
    original: Hotkey | None
    """Who committed to it earlier; None: it is the operational reference."""
    mse: Mapping[str, float]
    """The mean squared difference, in the variable's unit squared."""
    threshold: Mapping[str, float]
    """Nearer than that at this lead counts."""


class ClonesResult(Struct, frozen=True, kw_only=True):
    """Whose forecast is another's, at one lead."""

    lead_h: int
    clones: tuple[CloneFound, ...]
    unreadable: Mapping[Hotkey, str]
    """Forecasts that could not be read, with the code of the miner's fault; they were left out."""
    uncompared: int
    """Pairs alike in outline that were not compared in full, because closer ones were."""
    not_applicable: str | None
    """Why nothing was compared."""
    policy_digest: str
