"""The miners of the policy's trial: what each of them hands in, from an honest model run to a copy in disguise.

Owns the forecasts; `try_policy` scores them. Everything follows from the number of a world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gaia.miner.models.damped import damping_factor
from gaia.protocol.run_spec import FieldId, GridSpec
from gaia.simulation.nature import run_nature
from gaia.simulation.spectral import Coefficients, with_truncation
from gaia.simulation.structure import ChartMaker
from gaia.simulation.twin import twin_forecast
from gaia.tasks.defined_tasks.weather.files.grid_axes import coordinates
from gaia.tasks.defined_tasks.weather.policy.policy import ScoringPolicy
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid

Charts = NDArray[np.float32]
"""(lead, field, latitude, longitude)."""

FIELDS = (
    *(FieldId(name) for name in ("2t", "msl", "10u", "10v")),
    *(FieldId(name, level) for name in ("z", "t", "u", "v", "q") for level in (500, 850)),
)
GATE_LEAD_H = 12
GRID_DEGREES = 3.0
REFERENCE_ERROR = 0.3
"""As the embedded world's archive: T42 from a state that is wrong by 30 % of the climatological spread."""


class Trial(Struct, frozen=True, kw_only=True):
    """How much is computed."""

    worlds: int = 2
    starts: int = 5
    start_every_h: int = 48
    scored_lead_h: tuple[int, ...] = tuple(range(24, 241, 24))

    @property
    def lead_h(self) -> tuple[int, ...]:
        """The gate's lead and the scored ones."""
        return (GATE_LEAD_H, *self.scored_lead_h)


QUICK = Trial(worlds=1, starts=2, scored_lead_h=(24, 72))


class Honest(Struct, frozen=True, kw_only=True):
    """A model run of a miner's own."""

    truncation: int
    initial_error: float


HONEST = {
    "T42, error 0.02": Honest(truncation=42, initial_error=0.02),
    "T42, error 0.1": Honest(truncation=42, initial_error=0.1),
    "T42, error 0.2": Honest(truncation=42, initial_error=0.2),
    "T42, error 0.27": Honest(truncation=42, initial_error=0.27),
    "T42, error 0.3": Honest(truncation=42, initial_error=REFERENCE_ERROR),
    "T42, error 0.5": Honest(truncation=42, initial_error=0.5),
    "T42, error 1.0": Honest(truncation=42, initial_error=1.0),
    "T21, error 0.1": Honest(truncation=21, initial_error=0.1),
}
BENCHMARK = "T42, error 0.27"
"""Everybody's pay is put in proportion to this: a fifth less squared error than the reference, a fair good model."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """All that is computed of one start. Charts but for `climatology` and `initial` (field, latitude, longitude)."""

    truth: Charts
    climatology: Charts
    initial: Charts
    reference: Charts
    smooth_reference: Charts
    """Without waves shorter than T15's."""
    honest: Mapping[str, Charts]


def compute_world(world: int, trial: Trial) -> list[Start]:
    """Truth, reference and the honest miners' forecasts of every start in one world."""
    first = [trial.start_every_h * index for index in range(trial.starts)]
    hours = sorted({at + lead for at in first for lead in (0, *trial.lead_h)})
    nature = run_nature(seed=world + 1, hours=hours)
    states = dict(zip(hours, nature.states, strict=True))
    maker = ChartMaker(GridSpec.global_grid(GRID_DEGREES))

    def charts(flows: Coefficients | Sequence[Coefficients]) -> Charts:
        return np.stack([maker.charts(flow, FIELDS) for flow in flows])

    starts = []
    for index, at in enumerate(first):
        seeds = iter(range(1000 * (1 + index + world * trial.starts), 10**9))

        def forecast(model: Honest, seed: int, state: Coefficients = states[at]) -> Coefficients:
            return twin_forecast(
                state, trial.lead_h, truncation=model.truncation, initial_error=model.initial_error, seed=seed
            )

        reference = forecast(Honest(truncation=42, initial_error=REFERENCE_ERROR), next(seeds))
        smooth = with_truncation(with_truncation(reference, 15), 42)
        starts.append(
            Start(
                truth=charts([states[at + lead] for lead in trial.lead_h]),
                climatology=maker.charts(nature.climatology, FIELDS),
                initial=maker.charts(states[at], FIELDS),
                reference=charts(reference),
                smooth_reference=charts(smooth),
                honest={name: charts(forecast(model, next(seeds))) for name, model in HONEST.items()},
            )
        )
    return starts


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A forecast that is handed in."""

    kind: str
    charts: Charts
    twin: str | None = None
    """The miner it was copied from."""
    missing_lead_h: frozenset[int] = field(default_factory=frozenset)


def best_fade(starts: Sequence[Start], forecasts: Sequence[Charts]) -> NDArray[np.float32]:
    """For each lead and field the one factor on the anomaly with the least squared error over all starts, (lead, field,
    1, 1): hindsight, so no honest fading can do better.
    """
    area = trial_grid().area_weights()[:, None]
    pairs = [(f - s.climatology, s.truth - s.climatology) for s, f in zip(starts, forecasts, strict=True)]
    product = sum((a * b * area).sum(axis=(-2, -1), dtype=np.float64) for a, b in pairs)
    square = sum((a * a * area).sum(axis=(-2, -1), dtype=np.float64) for a, _ in pairs)
    return np.asarray(product / square, dtype=np.float32)[:, :, None, None]


def entries(
    start: Start, fades: Mapping[str, NDArray[np.float32]], policy: ScoringPolicy, trial: Trial, seed: tuple[int, int]
) -> dict[str, Entry]:
    """Everybody who hands in a forecast of one start, by name."""
    rng = np.random.default_rng(seed)
    return {
        **_models(start, trial),
        **_copies(start, policy, trial, rng),
        **_hedges(start, fades, policy, trial, rng),
        **_omissions(start, trial),
        **_sybils(start, policy, trial, rng),
    }


def _models(start: Start, trial: Trial) -> dict[str, Entry]:
    """Forecasts of the miners' own, and what needs no forecasting."""
    usual, shape = start.climatology, start.truth.shape
    persistence = np.broadcast_to(start.initial, shape)
    damping = np.array([damping_factor(h) for h in trial.lead_h], dtype=np.float32)[:, None, None, None]
    damped = np.asarray(usual + damping * (persistence - usual), dtype=np.float32)
    elsewhere = np.roll(start.truth, shape[-1] // 2, axis=-1)
    return {
        **{name: Entry(kind="honest", charts=charts) for name, charts in start.honest.items()},
        "damped persistence": Entry(kind="honest", charts=damped),
        "persistence": Entry(kind="honest", charts=persistence),
        "climatology": Entry(kind="free", charts=np.broadcast_to(usual, shape)),
        "weather of another place": Entry(kind="free", charts=elsewhere),
    }


def _copies(start: Start, policy: ScoringPolicy, trial: Trial, rng: np.random.Generator) -> dict[str, Entry]:
    """The reference, disguised."""
    reference = start.reference
    elsewhere = np.roll(reference - start.truth, reference.shape[-1] // 2, axis=-1)  # as large and rough as its error
    tenth = np.asarray(reference + np.sqrt(0.1) * elsewhere, dtype=np.float32)

    def noisy(share: float, *, variable: str | None = None, lead_h: int | None = None) -> Entry:
        charts = _noisy(reference, share, policy, trial, rng, variable=variable, lead_h=lead_h)
        return Entry(kind="copy", charts=charts)

    return {
        "reference": Entry(kind="copy", charts=reference),
        "reference + noise 0.5 x threshold": noisy(0.5),
        "reference + noise 1.1 x threshold": noisy(1.1),
        "reference + noise 1.1 x, 2t only": noisy(1.1, variable="2t"),
        "reference + noise 1.1 x, +12 h only": noisy(1.1, lead_h=GATE_LEAD_H),
        "reference + a tenth of an error": Entry(kind="copy", charts=tenth),
        "reference + an error": Entry(kind="copy", charts=reference + elsewhere),
    }


def _hedges(
    start: Start,
    fades: Mapping[str, NDArray[np.float32]],
    policy: ScoringPolicy,
    trial: Trial,
    rng: np.random.Generator,
) -> dict[str, Entry]:
    """Blends: with the climatology, and of two forecasts."""
    usual, reference, honest = start.climatology, start.reference, start.honest
    good, equal, poor = honest[BENCHMARK], honest["T42, error 0.3"], honest["T42, error 1.0"]

    half = np.float32(0.5)

    def faded(name: str, charts: Charts) -> Charts:
        return usual + fades[name] * (charts - usual)

    hidden = _noisy(np.asarray(faded("reference", reference)), 1.1, policy, trial, rng)
    return {
        "reference, faded": Entry(kind="hedge", charts=faded("reference", reference)),
        "reference, faded + noise 1.1 x": Entry(kind="hedge", charts=hidden),
        "reference, half climatology": Entry(kind="hedge", charts=half * (reference + usual)),
        "reference, smoothed to T15": Entry(kind="hedge", charts=start.smooth_reference),
        "T42, error 0.27, faded": Entry(kind="hedge", charts=faded(BENCHMARK, good)),
        "T42, error 1.0, faded": Entry(kind="hedge", charts=faded("T42, error 1.0", poor)),
        "mean of reference and T42, error 0.3": Entry(kind="blend", charts=half * (reference + equal)),
        "mean of T42, error 0.27 and 0.3": Entry(kind="blend", charts=half * (good + equal)),
    }


def _omissions(start: Start, trial: Trial) -> dict[str, Entry]:
    """A good forecast, but not all of it."""
    good = start.honest["T42, error 0.1"]
    calm = good.copy()
    calm[:, [FIELDS.index(FieldId("10u")), FIELDS.index(FieldId("10v"))]] = 0.0
    late = frozenset(h for h in trial.scored_lead_h if h > max(trial.scored_lead_h) // 2)
    return {
        "T42, error 0.1, winds zero": Entry(kind="omits", charts=calm),
        "T42, error 0.1, first half of the leads": Entry(kind="omits", charts=good, missing_lead_h=late),
    }


def _sybils(start: Start, policy: ScoringPolicy, trial: Trial, rng: np.random.Generator) -> dict[str, Entry]:
    """Another miner's forecast, disguised."""
    good = start.honest[BENCHMARK]

    def sybil(share: float, lead_h: int | None = None) -> Entry:
        return Entry(kind="sybil", charts=_noisy(good, share, policy, trial, rng, lead_h=lead_h), twin=BENCHMARK)

    return {
        **{f"copy of {BENCHMARK}, noise {share:g} x": sybil(share) for share in (0.5, 1.1, 20.0)},
        f"copy of {BENCHMARK}, noise 1.1 x, +12 h only": sybil(1.1, GATE_LEAD_H),
    }


def _noisy(
    charts: Charts,
    share: float,
    policy: ScoringPolicy,
    trial: Trial,
    rng: np.random.Generator,
    *,
    variable: str | None = None,
    lead_h: int | None = None,
) -> Charts:
    """White noise whose variance is `share` x the clone threshold of its lead, in all gate fields or one variable, at
    every lead or one.
    """
    out = charts.copy()
    for index, scored in enumerate(FIELDS):
        for k, lead in enumerate(trial.lead_h):
            threshold = policy.clone_threshold(scored, lead)
            if threshold is not None and variable in (None, scored.variable) and lead_h in (None, lead):
                sigma = np.float32(np.sqrt(share * threshold))
                out[k, index] += sigma * rng.standard_normal(charts[k, index].shape, dtype=np.float32)
    return out


def trial_grid() -> Grid:
    """The grid that everything is computed on."""
    return Grid.of(*coordinates(GridSpec.global_grid(GRID_DEGREES)))
