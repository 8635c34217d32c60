"""What must hold of the policy as a whole, on small grids through the real kernel: no cheap way to a better score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from gaia.contracts.ids import Hotkey, RunId
from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.policy.clones import are_clones, distance
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from gaia.tasks.defined_tasks.weather.policy.skill import component_score, gate, lead_score, skill_beyond_reference
from gaia.tasks.defined_tasks.weather.policy.window import RunOutcome, Zeroed, window_scores
from gaia.tasks.defined_tasks.weather.scoring.grid import Grid
from gaia.tasks.defined_tasks.weather.scoring.metrics import ComponentMetrics, metrics_of
from gaia.tasks.defined_tasks.weather.scoring.moments import Field, NonFiniteForecast, field_moments
from gaia.validator.weights import emission_weights

_GRID = Grid.of(np.linspace(90.0, -90.0, 7), np.arange(0.0, 360.0, 30.0))
_AREA = _GRID.area_weights()
_ROUNDING = 1e-5
"""Of float32 fields."""
_SEEDS = st.integers(0, 2**32 - 1)
_SHARES = st.floats(0.0, 1.0)
_SIZES = st.floats(0.05, 3.0)

_FADES = st.floats(0.01, 2.0)
"""Far below, a float32 forecast loses its pattern to rounding."""

Pattern = NDArray[np.float64]


def _product(first: Pattern, second: Pattern) -> float:
    return float((_AREA[:, None] * first * second).mean(axis=1).sum())


def _pattern(rng: np.random.Generator) -> Pattern:
    """Random weather with a mean square of 1."""
    raw = rng.standard_normal(_GRID.shape)
    return np.asarray(raw / np.sqrt(_product(raw, raw)), dtype=np.float64)


def _field(anomaly: Pattern) -> Field:
    return anomaly.astype(np.float32)


def _metrics(forecast: Pattern, truth: Pattern, reference: Pattern) -> ComponentMetrics:
    """Of anomalies: the climatology is zero."""
    return metrics_of(
        field_moments(
            forecast=_field(forecast),
            truth=_field(truth),
            climatology=_field(np.zeros(_GRID.shape)),
            reference=_field(reference),
            area_weights=_AREA,
        )
    )


def _score(metrics: ComponentMetrics) -> float:
    score = component_score(metrics, DEFAULT_POLICY)
    assert score is not None
    return score


@given(_SEEDS, st.tuples(_SIZES, _SIZES), st.tuples(_SHARES, _SHARES), _SIZES)
def test_a_lower_error_with_no_lower_correlation_never_scores_lower(
    seed: int, amplitudes: tuple[float, float], known: tuple[float, float], reference_error: float
) -> None:
    rng = np.random.default_rng(seed)
    truth = _pattern(rng)
    reference = truth + reference_error * _pattern(rng)
    two = [
        _metrics(a * (k * truth + (1.0 - k) * _pattern(rng)), truth, reference)
        for a, k in zip(amplitudes, known, strict=True)
    ]
    better, worse = sorted(two, key=lambda m: m.mse)
    assume((better.acc or 0.0) >= (worse.acc or 0.0))
    assert _score(better) >= _score(worse) - 1e-12


@given(_SEEDS, _SIZES, _FADES, _SIZES)
def test_a_hedge_scores_what_any_forecast_of_its_error_and_correlation_scores(
    seed: int, error: float, fade: float, reference_error: float
) -> None:
    rng = np.random.default_rng(seed)
    truth = _pattern(rng)
    reference = truth + reference_error * _pattern(rng)
    hedge = fade * (truth + error * _pattern(rng))
    # Another forecast altogether, mirrored about the truth: the same product with it, the same variance.
    honest = 2.0 * _product(hedge, truth) * truth - hedge
    hedged, mirrored = _metrics(hedge, truth, reference), _metrics(honest, truth, reference)
    assert mirrored.mse == pytest.approx(hedged.mse, rel=_ROUNDING, abs=_ROUNDING)
    assert _score(mirrored) == pytest.approx(_score(hedged), abs=1e-4)


@given(_SEEDS, st.floats(0.05, 5.0), st.floats(-0.5, 1.5))
def test_the_reference_faded_to_the_climatology_has_no_skill_beyond_it(seed: int, error: float, fade: float) -> None:
    rng = np.random.default_rng(seed)
    truth = _pattern(rng)
    reference = truth + error * _pattern(rng)
    reference /= np.sqrt(_product(reference, reference))  # anomalies as strong as the truth's, as a model's are
    found = skill_beyond_reference(_metrics(fade * reference, truth, reference), DEFAULT_POLICY)
    assert found is not None
    assert found <= 1e-4


@pytest.mark.slow
@given(_SEEDS, _SIZES, _FADES)
def test_fading_gains_no_more_than_its_error_does(seed: int, error: float, fade: float) -> None:
    # Fading leaves the correlation as it is, so that the gain is that of the squared error, and of nothing else.
    rng = np.random.default_rng(seed)
    truth = _pattern(rng)
    reference = truth + 0.5 * _pattern(rng)
    forecast = truth + error * _pattern(rng)
    faded, plain = (_metrics(f, truth, reference) for f in (fade * forecast, forecast))
    if faded.mse >= plain.mse:
        assert _score(faded) <= _score(plain) + 1e-6
    else:
        assert _score(faded) - _score(plain) <= _score(replace(plain, **_errors_of(faded))) - _score(plain) + 1e-6


def _errors_of(metrics: ComponentMetrics) -> dict[str, float | None]:
    names = ("mse", "rmse", "skill_clim", "skill_ref")
    return {name: getattr(metrics, name) for name in names}


@given(_SEEDS, st.sampled_from([np.nan, np.inf]), st.integers(1, 83))
def test_a_region_that_is_left_out_is_refused(seed: int, hole: float, points: int) -> None:
    rng = np.random.default_rng(seed)
    truth = _pattern(rng)
    forecast = truth.copy()
    forecast.flat[rng.choice(forecast.size, points, replace=False)] = hole
    with pytest.raises(NonFiniteForecast):
        _metrics(forecast, truth, truth)


@given(_SEEDS, _SIZES, st.floats(0.5, 2.0), st.integers(1, 6))
def test_a_region_left_to_the_climatology_never_helps_a_forecast_as_active_as_it_is_skilful(
    seed: int, error: float, amplitude: float, rows: int
) -> None:
    rng = np.random.default_rng(seed)
    truth = _pattern(rng)
    reference = truth + 0.5 * _pattern(rng)
    forecast = amplitude * (truth + error * _pattern(rng))
    forecast[:rows] = truth[:rows]
    lazy = forecast.copy()
    lazy[:rows] = 0.0
    # Anomalies no smaller than the best fading leaves: who says less than it knows has a correlation to lose.
    assume(0.0 <= _product(lazy, truth) <= _product(lazy, lazy))
    assert _score(_metrics(forecast, truth, reference)) >= _score(_metrics(lazy, truth, reference)) - 1e-6


_FIELDS = (FieldId("2t"), FieldId("msl"), FieldId("10u"), FieldId("10v"), FieldId("z", 500), FieldId("t", 850))


@given(st.lists(_SHARES, min_size=6, max_size=6), st.integers(0, 5), _SHARES)
def test_a_field_that_is_scored_lower_lowers_the_lead(components: list[float], which: int, share: float) -> None:
    less = [c * share if i == which else c for i, c in enumerate(components)]
    assert lead_score(_FIELDS, less, DEFAULT_POLICY) <= lead_score(_FIELDS, components, DEFAULT_POLICY) + 1e-12


_NAMES = [Hotkey(name) for name in "ABCDEFGHIJ"]
_A = _NAMES[0]


def _runs(scores: Sequence[dict[Hotkey, dict[int, float | None]]], due: frozenset[int]) -> list[RunOutcome]:
    return [
        RunOutcome(run_id=RunId(f"r{i}"), asked=frozenset(one), due_lead_h=due, lead_scores=one)
        for i, one in enumerate(scores)
    ]


def _window(runs: Sequence[RunOutcome]) -> dict[Hotkey, float | None]:
    return {hotkey: found.score for hotkey, found in window_scores(runs, DEFAULT_POLICY).items()}


def _pay(scores: dict[Hotkey, float | None]) -> float:
    return emission_weights(scores).get(_A, 0.0)


_LEADS = (24, 240)
_CARRIED = (FieldId("2t"), FieldId("z", 500))


def _forecasts(rng: np.random.Generator, truth: Pattern, errors: Sequence[float]) -> list[Pattern]:
    return [truth + error * _pattern(rng) for error in errors]


def _scored(rng: np.random.Generator, errors: Sequence[float], hole: tuple[int, int, int] | None) -> RunOutcome:
    """A run from fields to lead scores; `hole`: where A, the first, leaves a lead, a field and so many points out."""
    scores: dict[Hotkey, dict[int, float | None]] = {name: {} for name in _NAMES}
    zeroed: dict[Hotkey, Zeroed] = {}
    for lead_number, lead in enumerate(_LEADS):
        components: dict[Hotkey, list[float]] = {name: [] for name in _NAMES}
        for field_number, _ in enumerate(_CARRIED):
            truth = _pattern(rng)
            reference = truth + 0.6 * _pattern(rng)
            for name, forecast in zip(_NAMES, _forecasts(rng, truth, errors), strict=True):
                if name == _A and hole is not None and hole[:2] == (lead_number, field_number):
                    forecast.flat[: hole[2]] = np.nan
                try:
                    components[name].append(_score(_metrics(forecast, truth, reference)))
                except NonFiniteForecast as error:  # as the step that scores: out of the whole run
                    zeroed[name] = Zeroed(reason_code=error.code, reason=str(error))
        for name, found in components.items():
            if name not in zeroed:
                scores[name][lead] = lead_score(_CARRIED, found, DEFAULT_POLICY)
    return RunOutcome(
        run_id=RunId(f"r{rng.integers(2**32)}"),
        asked=frozenset(_NAMES),
        due_lead_h=frozenset(_LEADS),
        lead_scores=scores,
        zeroed=zeroed,
    )


_ERRORS = st.lists(st.floats(0.05, 3.0), min_size=10, max_size=10)


@settings(max_examples=15)
@given(
    _SEEDS,
    st.lists(_ERRORS, min_size=1, max_size=2),
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from([1, 12, 84])),
)
def test_from_field_to_pay_nothing_that_is_left_out_ever_helps(
    seed: int, errors: list[list[float]], hole: tuple[int, int, int]
) -> None:
    """A point, a row or a whole field of one lead; the validator puts who does that out of the run."""
    whole = [_scored(np.random.default_rng((seed, n)), each, None) for n, each in enumerate(errors)]
    less = [_scored(np.random.default_rng((seed, 0)), errors[0], hole), *whole[1:]]
    assert set(less[0].zeroed) == {_A}
    _check_nothing_gained(whole, less)


_LEAD_SCORES = st.dictionaries(st.sampled_from(_LEADS), _SHARES, min_size=2, max_size=2)
_TABLE = st.lists(_LEAD_SCORES, min_size=10, max_size=10)


@pytest.mark.slow
@given(st.lists(_TABLE, min_size=1, max_size=4), st.sampled_from(_LEADS), st.data())
def test_leaving_out_a_lead_or_a_run_never_pays_and_takes_nothing_from_the_others(
    tables: list[list[dict[int, float]]], lead: int, data: st.DataObject
) -> None:
    # However bad it was: also a score that lies below a tenth of the field's mean.
    whole = _runs([{name: dict(row) for name, row in zip(_NAMES, t, strict=True)} for t in tables], frozenset(_LEADS))
    number = data.draw(st.integers(0, len(whole) - 1))
    one = whole[number]
    if data.draw(st.booleans()):
        kept = {h: score for h, score in one.lead_scores[_A].items() if h != lead}
        fewer = replace(one, lead_scores={**one.lead_scores, _A: kept})
    else:
        fewer = replace(one, zeroed={_A: Zeroed(reason_code="chunk_missing", reason="a chunk is missing")})
    _check_nothing_gained(whole, [*whole[:number], fewer, *whole[number + 1 :]])


def _check_nothing_gained(whole: Sequence[RunOutcome], less: Sequence[RunOutcome]) -> None:
    """Everybody else has the same to the last bit, and A no more."""
    before, after = _window(whole), _window(less)
    assert {h: s for h, s in after.items() if h != _A} == {h: s for h, s in before.items() if h != _A}
    assert (after[_A] or 0.0) <= (before[_A] or 0.0)
    assert _pay(after) <= _pay(before) * (1.0 + 1e-15)


@pytest.mark.slow
@given(st.lists(_TABLE, min_size=2, max_size=4), st.integers(1, 2), st.sampled_from([0.0, 0.01, 0.5]), st.data())
def test_leaving_out_a_run_does_not_pay_beside_newcomers_either(
    tables: list[list[dict[int, float]]], newcomers: int, share: float, data: st.DataObject
) -> None:
    since = data.draw(st.integers(1, len(tables)))
    number = data.draw(st.integers(0, len(tables) - 1))
    runs: list[dict[Hotkey, dict[int, float | None]]] = []
    for n, table in enumerate(tables):
        there = len(_NAMES) - (newcomers if n >= since else 0)
        scores: dict[Hotkey, dict[int, float | None]] = {
            name: dict(row) for name, row in list(zip(_NAMES, table, strict=True))[:there]
        }
        if n == number:
            scores[_A] = {h: share * score for h, score in table[0].items()}  # a day so bad that one would hide it
        runs.append(scores)
    whole = _runs(runs, frozenset(_LEADS))
    out = replace(whole[number], zeroed={_A: Zeroed(reason_code="chunk_missing", reason="a chunk is missing")})
    less = [*whole[:number], out, *whole[number + 1 :]]
    assert _pay(_window(less)) <= _pay(_window(whole)) * (1.0 + 1e-12)


_QUALITY = st.floats(0.05, 0.3)
_EASE = st.lists(st.floats(0.5, 1.0), min_size=2, max_size=6)
"""Within the limit: none is twice as easy as the usual one."""


def _constant(qualities: Sequence[float], ease: Sequence[float], newcomer_since: int) -> list[RunOutcome]:
    """Miners who are always equally good, in runs newest first; A is asked in the newest `newcomer_since` alone."""
    scores: list[dict[Hotkey, dict[int, float | None]]] = []
    for number, easy in enumerate(ease):
        there = _NAMES if number < newcomer_since else _NAMES[1:]
        scores.append({name: {24: qualities[_NAMES.index(name)] * easy} for name in there})
    return _runs(scores, frozenset({24}))


@given(st.lists(_QUALITY, min_size=10, max_size=10), _EASE, st.integers(1, 5))
def test_a_newcomer_is_paid_like_one_with_a_history_of_the_same_forecasts(
    qualities: list[float], ease: list[float], since: int
) -> None:
    new = _window(_constant(qualities, ease, min(since, len(ease))))
    old = _window(_constant(qualities, ease, len(ease)))
    assert _pay(new) == pytest.approx(_pay(old), rel=1e-5)


@given(st.lists(_QUALITY, min_size=10, max_size=10), _EASE)
def test_a_lead_not_yet_due_stands_at_the_low_quantile_and_pays_no_good_miner_more(
    qualities: list[float], ease: list[float]
) -> None:
    known = _constant(qualities, ease, len(ease))
    unknown = [replace(run, lead_scores={**run.lead_scores, _A: {24: None}}) for run in known]
    old = _window(known)
    low = sorted(qualities[1:])[int(0.25 * 8)]
    found = window_scores(unknown, DEFAULT_POLICY)
    # Nothing is known of A at any lead: no score, and the emission's own low quantile.
    assert found[_A].score is None
    if qualities[0] >= low:
        assert _pay({hotkey: one.score for hotkey, one in found.items()}) <= _pay(old) * (1 + 1e-6)


@given(st.lists(_QUALITY, min_size=20, max_size=20), _EASE)
def test_of_two_leads_the_unknown_one_is_the_low_quantile_of_the_others(
    qualities: list[float], ease: list[float]
) -> None:
    first, second = qualities[:10], qualities[10:]
    scores: list[dict[Hotkey, dict[int, float | None]]] = [
        {name: {24: first[i] * easy, 48: second[i] * easy if name != _A else None} for i, name in enumerate(_NAMES)}
        for easy in ease
    ]
    leaderboard = {
        hotkey: {lead.lead_h: lead for lead in found.leads}
        for hotkey, found in window_scores(_runs(scores, frozenset({24, 48})), DEFAULT_POLICY).items()
    }
    others = sorted(leaderboard[name][48].score for name in _NAMES[1:])
    assert leaderboard[_A][48].run_count == 0
    assert leaderboard[_A][48].score == others[2]  # the 25th percentile of nine, never interpolated upward


_SILENT = Zeroed(reason_code="no_commitment", reason="no commitment by the deadline")


@given(st.lists(_QUALITY, min_size=10, max_size=10), _EASE, st.data())
def test_a_void_run_changes_nobodys_score(qualities: list[float], ease: list[float], data: st.DataObject) -> None:
    runs = _constant(qualities, ease, len(ease))
    silent = data.draw(st.sets(st.sampled_from(_NAMES), min_size=6))
    void = RunOutcome(
        run_id=RunId("void"),
        asked=frozenset(_NAMES),
        due_lead_h=frozenset({24}),
        lead_scores={name: {24: 0.9} for name in _NAMES if name not in silent},
        zeroed=dict.fromkeys(silent, _SILENT),
    )
    place = data.draw(st.integers(0, len(runs)))
    assert _window([*runs[:place], void, *runs[place:]]) == _window(runs)


@given(_SEEDS, st.lists(_SHARES, min_size=5, max_size=5), st.integers(0, 2))
def test_a_copy_of_the_reference_gains_nothing_on_day_1(seed: int, noise: list[float], loud: int) -> None:
    rng = np.random.default_rng(seed)
    fields = DEFAULT_POLICY.gate_fields(_FIELDS)
    distances, copied, exact = {}, [], []
    for number, scored in enumerate(fields):
        threshold = DEFAULT_POLICY.clone_threshold(scored)
        assert threshold is not None
        truth = _pattern(rng)
        truth *= 100.0 * np.sqrt(threshold)
        reference = truth + 0.1 * np.sqrt(threshold) * _pattern(rng)
        # Below the threshold everywhere, but for up to two fields, that may hold any noise at all.
        size = 50.0 if number < loud else 0.99 * noise[number]
        copy = reference + size * np.sqrt(threshold) * _pattern(rng)
        distances[scored] = distance(_field(copy), _field(reference), _AREA)
        copied.append(_metrics(copy, truth, reference))
        exact.append(_metrics(reference, truth, reference))
    assert are_clones(distances, DEFAULT_POLICY) is True
    verdict = gate(exact, DEFAULT_POLICY)
    assert verdict.score is not None
    assert verdict.score <= DEFAULT_POLICY.gate.acc  # nothing for skill against itself
    clone = Zeroed(reason_code="clone_of_reference", reason="is the reference", delivered=True)
    found = _window(
        [
            RunOutcome(
                run_id=RunId("r"),
                asked=frozenset(_NAMES[:2]),
                due_lead_h=frozenset({24}),
                lead_scores={_A: {24: _score(copied[0])}, _NAMES[1]: {24: 0.1}},
                zeroed={_A: clone},
            )
        ]
    )
    assert (found[_A], _pay(found)) == (0.0, 0.0)
