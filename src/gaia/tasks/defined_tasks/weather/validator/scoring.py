"""The compute handlers that score a forecast: stores in, numbers out. Runs in the compute workers.

Owns the way from paths to metrics. Never opens a network or database connection, and never scores a field that was not
read through a checked store.

`handle_day1_scoring` is public: its import path, its arguments and the keys of its result do not change.
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
    """Score a forecast at +12 h against the GFS analysis: the metrics of each field, and the day-1 gate.

    A store may be flat, Zarr 2 or 3, NetCDF or GRIB. It may hold a single point, have no time axis, and use any known
    name for a variable. The fields that forecast and analysis share are scored, by `metrics.metrics_of` and
    `skill.gate` with the default policy.

    Args:
        miner_path: The forecast. From a store with several leads, +12 h is read.
        gfs_path: The analysis, on the same grid. A point that is NaN or infinite here, or in a baseline, is left out.
        clim_path: The climatology, on the same grid. Without it (None, or a path that does not exist) ACC and skill
            against climatology are left out.
        reference_path: The operational forecast, on the same grid. Without it skill against the reference, the gate
            and the clone check are left out.

    Returns:
        For each field (`2t`, `z500` ...): `day1_rmse_2t`, `day1_bias_2t` and `day1_mae_2t` in the variable's unit,
        `day1_mse_2t` in the unit squared; with a climatology `day1_acc_2t` and `day1_skill_clim_2t`; with a reference
        `day1_skill_ref_2t`. A metric that is not available has no key. Also `day1_score` (0 to 1) and
        `day1_passed`, None if the gate is not applicable, and `day1_clone_of_reference`, None without a reference.

    Raises:
        NonFiniteForecast: The forecast is NaN or infinite at a point that counts (miner's fault).
        NoFiniteTruth: No point of a field counts (source's fault).
        MissingField: Forecast and analysis share no field, or a store lacks +12 h (source's fault).
        UnusableStore, IrregularGrid: A store cannot be read (source's fault).
        StoreMissing: The forecast or the analysis does not exist (operator's fault).
        GridMismatch: The stores lie on different points (validator's fault).
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
    """`weather.score.day1`: Day1Payload -> Day1Result. Scores the gate fields, or all fields if the run has none."""
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
    """`weather.score.era5`: Era5Payload -> Era5Result. Scores every field of the run at one lead against ERA5.

    Args:
        payload: An `Era5Payload` as plain data: the paths of the stores, the run's specification, the lead, the policy.

    Returns:
        An `Era5Result` as plain data: bias, MAE and RMSE of each field in its unit, ACC, skills and component scores
        (None: not available), and the lead score, 0 to 1.

    Raises:
        MinerFault: A chunk is missing, damaged, not finite or implausible.
        SourceFault: The truth lacks a field, or has no finite value in one.
        ValidatorFault: Our own files are damaged, or a grid differs.
    """
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
    """The moments of each field.

    Args:
        forecast: The forecast of one instant, in the table's units.
        baselines: Truth, climatology and reference of the same instant and grid. A field that the climatology or the
            reference lacks is scored without it.
        fields: The fields to score.

    Returns:
        Field -> moments, in the order of `fields`.

    Raises:
        MissingField: Forecast or truth lacks a field (source's fault).
        GridMismatch: The forecast lies on other points (validator's fault).
        GaiaError: The errors of `field_moments`, naming the field; those of a forecast's chunks.
    """
    baselines.require_same_grid(forecast, "forecast")
    return {field: _field_moments(field, forecast, baselines) for field in fields}


def _field_moments(field: FieldId, forecast: FieldStore, baselines: Baselines) -> Moments:
    """The moments of one field. A miner's field is checked for plausible values in the same pass.

    If that pass fails, a second one finds the bad value and names its chunk.
    """
    own = forecast if isinstance(forecast, LeadFields) else None
    values = forecast.read(field) if own is None else own.decode(field)
    try:
        limits = None if own is None else VARIABLES[field.variable].plausible
        return baselines.yardstick(field).moments(values, limits)
    except GaiaError as error:
        if own is not None:
            own.check(field, values)  # a fault of the forecast is reported before any other
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
