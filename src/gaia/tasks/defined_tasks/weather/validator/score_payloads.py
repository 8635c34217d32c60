"""What the score handlers are given and what they return, as both sides of the channel see it.

Owns only shapes of data. Never imports numpy: the IO-Engine builds these payloads and reads these results.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gaia.contracts.ids import Hotkey, RunId
from gaia.protocol.run_spec import GridSpec, RunSpec
from gaia.tasks.defined_tasks.weather.scoring.policy import ScoringPolicy


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
    """A frozen forecast on disk."""

    path: str
    manifest_digest: str


class ClonesPayload(Struct, frozen=True, kw_only=True):
    """`weather.clones`: all forecasts of a run with one another and with the reference, at one lead."""

    run_id: RunId
    spec: RunSpec
    policy: ScoringPolicy
    lead_h: int
    forecasts: Mapping[Hotkey, ForecastRef]
    reference_path: str | None = None


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


class ClonePair(Struct, frozen=True, kw_only=True):
    """Two hotkeys, in alphabetical order, with one forecast between them."""

    first: Hotkey
    second: Hotkey
    mse: Mapping[str, float]
    """Gate field, as in `z500`, -> mean squared difference."""


class ClonesResult(Struct, frozen=True, kw_only=True):
    """Who resembles whom too closely."""

    lead_h: int
    pairs: tuple[ClonePair, ...]
    of_reference: tuple[Hotkey, ...]
    unreadable: Mapping[Hotkey, str]
    """Forecasts that could not be read, with the code of the miner's fault; they were left out."""
    not_applicable: str | None
    """Why nothing was compared. Without a reference, only pairs are."""
    policy_digest: str
