"""Forecasts and field stores on disk, as a validator holds them, made through the product's own writers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from benchmarks.measuring import Size
from benchmarks.scoring.fields import Sample, levels
from gaia.contracts.ids import Hotkey, RunId
from gaia.protocol.manifest import Manifest, canonical_bytes
from gaia.protocol.run_spec import GridSpec, RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.files.store.flat_store import write_flat_store
from gaia.tasks.defined_tasks.weather.forecast.forecast_writer import ForecastWriter
from gaia.tasks.defined_tasks.weather.policy.policy import DEFAULT_POLICY
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import Era5Payload

_INIT_TIME = datetime(2026, 3, 10, tzinfo=UTC)
_RUN_ID = RunId("sn57-weather-20260310T00Z")
_HOTKEY = Hotkey("5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty")
LEAD_H = 24


class Frozen(Struct, frozen=True, kw_only=True):
    """One lead of one forecast, with truth, climatology and reference beside it."""

    payload: Mapping[str, Any]
    """What `weather.score.era5` is given."""
    chunks: tuple[Path, ...]


def freeze(folder: Path, sample: Sample, size: Size, *, fields: int | None = None) -> Frozen:
    """Write `fields` (else `levels`) fields of a sample below `folder`."""
    count = fields or size.levels
    spec = RunSpec(
        variables=(VariableSpec(name=sample.variable, levels_hpa=tuple(levels(count))),),
        lead_h=(LEAD_H,),
        scored_lead_h=(LEAD_H,),
        gate_lead_h=None,
        grid=GridSpec.global_grid(size.degrees),
    )
    digest = _write_forecast(folder / "forecast", sample, spec)
    stores = {}
    for role, shift in (("truth", 0), ("climatology", 3), ("reference", 6)):
        stores[role] = str(folder / role)
        _write_store(folder / role, np.roll(sample.truth, shift, axis=1), spec)
    request = Era5Payload(
        run_id=_RUN_ID,
        hotkey=_HOTKEY,
        spec=spec,
        policy=DEFAULT_POLICY,
        lead_h=LEAD_H,
        forecast_path=str(folder / "forecast"),
        manifest_digest=digest,
        truth_path=stores["truth"],
        climatology_path=stores["climatology"],
        reference_path=stores["reference"],
    )
    plain: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(request))
    return Frozen(payload=plain, chunks=tuple(folder / "forecast" / key for key, _, _ in spec.chunks()))


def _write_forecast(path: Path, sample: Sample, spec: RunSpec) -> str:
    """The digest of its manifest."""
    writer = ForecastWriter(path, spec, _INIT_TIME)
    for index, (_, field, lead_h) in enumerate(spec.chunks()):
        writer.write(field, lead_h, np.roll(sample.forecast, 10 * index, axis=1))
    manifest = Manifest(
        run_id=_RUN_ID, hotkey=_HOTKEY, init_time=_INIT_TIME, spec_digest=spec.digest(), chunks=writer.finish()
    )
    encoded = canonical_bytes(manifest)
    (path / "manifest.json").write_bytes(encoded)
    return hashlib.sha256(encoded).hexdigest()


def _write_store(path: Path, values: np.ndarray[Any, np.dtype[np.float32]], spec: RunSpec) -> None:
    fields = spec.fields()
    data = np.stack([np.roll(values, 10 * index, axis=1) for index in range(len(fields))])
    write_flat_store(path, grid=spec.grid, valid_time=_INIT_TIME, fields=fields, data=data, source="benchmark")
