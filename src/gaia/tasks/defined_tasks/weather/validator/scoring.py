"""The compute handlers that score: stores in, numbers out. Runs in the workers.

Owns the way from paths to metrics, for the validator, `gaia score` and `gaia explain` alike. Never opens a
network or a database connection, and never scores a field that was not read through a checked store.

`handle_day1_scoring` is public: its path, its call and the keys that it returns stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gaia.contracts.errors import GaiaError
from gaia.protocol.run_spec import FieldId
from gaia.tasks.defined_tasks.weather.files.errors import MissingField
from gaia.tasks.defined_tasks.weather.files.store.field_store import FieldStore
from gaia.tasks.defined_tasks.weather.files.store.open_store import open_store
from gaia.tasks.defined_tasks.weather.forecast.forecast_store import ForecastReader, LeadFields
from gaia.tasks.defined_tasks.weather.policy.clones import are_clones, distance
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY, ScoringPolicy
from gaia.tasks.defined_tasks.weather.policy.skill import component_score, gate, lead_score
from gaia.tasks.defined_tasks.weather.scoring.grid import GridMismatch
from gaia.tasks.defined_tasks.weather.scoring.metrics import ComponentMetrics, metrics_of
from gaia.tasks.defined_tasks.weather.scoring.moments import (
    BadField,
    Moments,
    NoFiniteTruth,
    NonFiniteForecast,
)
from gaia.tasks.defined_tasks.weather.validator.handlers.comparison_fields import Baselines
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import (
    Day1Payload,
    Day1Result,
    Era5Payload,
    Era5Result,
)
from gaia.tasks.defined_tasks.weather.variables import VARIABLES

DAY1_LEAD_H = 12
"""The lead that `handle_day1_scoring` reads from a store that has several."""

_DAY1 = ("rmse", "bias", "mae", "mse", "acc", "skill_clim", "skill_ref")


def handle_day1_scoring(
    miner_path: str | Path,
    gfs_path: str | Path,
    clim_path: str | Path | None,
    *,
    reference_path: str | Path | None = None,
) -> dict[str, float | bool | None]:
    """Score a forecast of +12 h against the GFS analysis. Paths of stores: flat, Zarr v2 or v3, NetCDF, GRIB.

    A store may hold a single point and have no time axis, and may use any known name for a variable. Scored
    are the fields that forecast and analysis share. Returns, for each of them (`2t`, `z500` ...),
    `day1_rmse_2t`, `day1_bias_2t`, `day1_mae_2t`, `day1_mse_2t` in the variable's unit (squared); with a
    climatology also `day1_acc_2t` and `day1_skill_clim_2t`, with a reference forecast `day1_skill_ref_2t`. A
    metric that cannot be had has no key: a `clim_path` that does not exist leaves out those that need it.
    Then `day1_score`, `day1_passed` and `day1_clone_of_reference`, None where the gate or the clone check is
    not applicable.

    Raises StoreMissing for a forecast or analysis that does not exist, MissingField if they share no field,
    GridMismatch, NonFiniteForecast, NoFiniteTruth.
    """
    forecast, truth = (open_store(path, lead_h=DAY1_LEAD_H) for path in (miner_path, gfs_path))
    fields = tuple(f for f in truth.fields() if f in set(forecast.fields()))
    if not fields:
        raise MissingField(f"{forecast.name} has none of the fields of {truth.name}: {_names(truth.fields())}")
    baselines = Baselines(
        truth=truth,
        climatology=_open_existing(clim_path),
        reference=_open_existing(reference_path),
        weighting=DEFAULT_POLICY.area_weighting,
    )
    result = _day1(forecast=forecast, baselines=baselines, fields=fields, policy=DEFAULT_POLICY)
    return {
        **result.metrics,
        "day1_score": result.score,
        "day1_passed": result.passed,
        "day1_clone_of_reference": result.clone_of_reference,
    }


def handle_day1_unit(payload: Mapping[str, Any]) -> dict[str, Any]:
    """`weather.score.day1`: Day1Payload -> Day1Result. Scores the gate fields; in a run without any, all."""
    request = msgspec.convert(payload, Day1Payload)
    fields = request.spec.fields()
    result = _day1(
        forecast=_forecast(request),
        baselines=_baselines(request),
        fields=request.policy.gate_fields(fields) or fields,
        policy=request.policy,
    )
    return _plain(result)


def handle_era5_unit(payload: Mapping[str, Any]) -> dict[str, Any]:
    """`weather.score.era5`: Era5Payload -> Era5Result. Scores every field of the run at one lead."""
    request = msgspec.convert(payload, Era5Payload)
    baselines = _baselines(request)
    moments = score_fields(forecast=_forecast(request), baselines=baselines, fields=request.spec.fields())
    fields = tuple(moments)
    metrics = [metrics_of(m) for m in moments.values()]
    components = tuple(component_score(m, request.policy) for m in metrics)
    result = Era5Result(
        lead_h=request.lead_h,
        fields=tuple((f.variable, f.level_hpa) for f in fields),
        bias=tuple(m.bias for m in metrics),
        mae=tuple(m.mae for m in metrics),
        rmse=tuple(m.rmse for m in metrics),
        coverage=tuple(m.coverage for m in metrics),
        acc=tuple(m.acc for m in metrics),
        skill_clim=tuple(m.skill_clim for m in metrics),
        skill_ref=tuple(m.skill_ref for m in metrics),
        component=components,
        lead_score=lead_score(fields, components, request.policy),
        policy_digest=request.policy.digest(),
        against=baselines.against,
    )
    return _plain(result)


def score_fields(*, forecast: FieldStore, baselines: Baselines, fields: Iterable[FieldId]) -> dict[FieldId, Moments]:
    """The moments of each field, in the order of `fields`; on one grid, in the table's units.

    A field that the climatology or the reference lacks is scored without it; one that forecast or truth lacks
    raises MissingField. Other errors are those of `field_moments`, naming the field, and GridMismatch.
    """
    baselines.require_same_grid(forecast, "forecast")
    return {field: _field_moments(field, forecast, baselines) for field in fields}


def _field_moments(field: FieldId, forecast: FieldStore, baselines: Baselines) -> Moments:
    """Of one field. A miner's is checked in the pass that scores it, which finds out that a value is implausible;
    which one, and in which chunk, a second look finds.
    """
    own = forecast if isinstance(forecast, LeadFields) else None
    values = forecast.read(field) if own is None else own.decode(field)
    try:
        limits = None if own is None else VARIABLES[field.variable].plausible
        return baselines.yardstick(field).moments(values, limits)
    except GaiaError as error:
        if own is not None:
            own.check(field, values)  # a forecast's own fault comes before any other
        if isinstance(error, (NonFiniteForecast, NoFiniteTruth, GridMismatch, BadField)):
            raise type(error)(f"field {field}: {error}") from error
        raise


def _day1(
    *, forecast: FieldStore, baselines: Baselines, fields: tuple[FieldId, ...], policy: ScoringPolicy
) -> Day1Result:
    moments = score_fields(forecast=forecast, baselines=baselines, fields=fields)
    metrics = {field: metrics_of(m) for field, m in moments.items()}
    verdict = gate([metrics[field] for field in policy.gate_fields(fields)], policy)
    return Day1Result(
        metrics=_named(metrics),
        score=verdict.score,
        passed=verdict.passed,
        clone_of_reference=_is_clone_of(baselines, forecast, fields, policy),
        not_applicable=verdict.not_applicable,
        policy_digest=policy.digest(),
        against=baselines.against,
    )


def _named(metrics: Mapping[FieldId, ComponentMetrics]) -> dict[str, float]:
    named = {f"day1_{name}_{field}": getattr(m, name) for field, m in metrics.items() for name in _DAY1}
    return {key: value for key, value in named.items() if value is not None}


def _is_clone_of(
    baselines: Baselines, forecast: FieldStore, fields: tuple[FieldId, ...], policy: ScoringPolicy
) -> bool | None:
    reference = baselines.reference
    if reference is None:
        return None
    shared = [field for field in policy.gate_fields(fields) if field in reference.fields()]
    return are_clones(
        {field: distance(forecast.read(field), reference.read(field), baselines.area_weights) for field in shared},
        policy,
    )


def _forecast(request: Day1Payload | Era5Payload) -> FieldStore:
    reader = ForecastReader.open(
        Path(request.forecast_path), spec=request.spec, manifest_digest=request.manifest_digest
    )
    return reader.at_lead(request.lead_h)


def _baselines(request: Day1Payload | Era5Payload) -> Baselines:
    return Baselines.of(
        request.truth_path, request.climatology_path, request.reference_path, request.policy.area_weighting
    )


def _open_existing(path: str | Path | None) -> FieldStore | None:
    return open_store(path, lead_h=DAY1_LEAD_H) if path is not None and Path(path).exists() else None


def _names(fields: Iterable[FieldId]) -> str:
    return ", ".join(map(str, fields))


def _plain(result: Day1Result | Era5Result) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(result)
    return plain
