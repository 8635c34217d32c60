"""A complete little forecast on disk, frozen as the validator holds it, and the ways a cheat changes it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from gaia.contracts.ids import Hotkey, RunId
from gaia.protocol.manifest import ChunkDigest, Manifest, canonical_bytes
from gaia.protocol.run_spec import FieldId, GridSpec, RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.files.store.flat_store import write_flat_store
from gaia.tasks.defined_tasks.weather.forecast.forecast_store import ForecastReader
from gaia.tasks.defined_tasks.weather.forecast.forecast_writer import ForecastWriter

INIT_TIME = datetime(2017, 1, 1, tzinfo=UTC)
RUN_ID = RunId("sn57-weather-20170101T00Z")
HOTKEY = Hotkey("5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty")
SPEC = RunSpec(
    variables=(VariableSpec(name="2t"), VariableSpec(name="z", levels_hpa=(500, 850))),
    lead_h=(12, 24),
    scored_lead_h=(24,),
    gate_lead_h=12,
    grid=GridSpec.global_grid(6.0),
)

Field = NDArray[np.float32]


def smooth_field(field: FieldId, lead_h: int, spec: RunSpec = SPEC) -> Field:
    """Something like weather: plausible for its variable, different for every field and lead."""
    nlat, nlon = spec.grid.shape
    latitude = np.linspace(np.pi / 2, -np.pi / 2, nlat)[:, None]
    longitude = np.linspace(0, 2 * np.pi, nlon, endpoint=False)[None, :]
    wave = np.cos(latitude) ** 2 * np.sin(3 * longitude + lead_h / 7)
    middle, reach = {"2t": (280.0, 20.0), "z": (54_000.0, 2_000.0)}[field.variable]
    return np.asarray(middle + reach * wave + (field.level_hpa or 0), dtype=np.float32)


def flat_store(path: Path, values: Mapping[FieldId, Field], grid: GridSpec) -> str:
    """Publish some fields of the initial time as a source would; where they lie."""
    write_flat_store(
        path,
        grid=grid,
        valid_time=INIT_TIME,
        fields=tuple(values),
        data=np.stack(list(values.values())),
        source="a test",
    )
    return str(path)


@dataclass(frozen=True, kw_only=True)
class FrozenForecast:
    """A folder with chunks and manifest, and the digest that the database would hold."""

    path: Path
    manifest: Manifest
    manifest_digest: str
    spec: RunSpec = SPEC

    def reader(self) -> ForecastReader:
        """Open it as the validator does."""
        return ForecastReader.open(self.path, spec=self.spec, manifest_digest=self.manifest_digest)

    def payload(self, **changes: Any) -> dict[str, Any]:
        """A VerifyPayload in the plain form that crosses the channel."""
        plain = {
            "run_id": RUN_ID,
            "hotkey": HOTKEY,
            "forecast_path": str(self.path),
            "spec": msgspec.to_builtins(self.spec),
            "manifest_digest": self.manifest_digest,
            "lead_h": None,
        }
        decoded: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(plain | changes))
        return decoded

    def replace_chunk(self, key: str, encoded: bytes) -> FrozenForecast:
        """Put other bytes there, promised honestly: what a cheat can do before it commits."""
        (self.path / key).write_bytes(encoded)
        digest = ChunkDigest(size_bytes=len(encoded), blake3=blake3(encoded).hexdigest())
        return self.frozen_with({**self.manifest.chunks, key: digest})

    def frozen_with(self, chunks: dict[str, ChunkDigest]) -> FrozenForecast:
        """The same folder under a manifest of other chunks."""
        return freeze(self.path, chunks, self.spec)


def freeze(path: Path, chunks: dict[str, ChunkDigest], spec: RunSpec = SPEC) -> FrozenForecast:
    """Write the manifest beside the chunks."""
    manifest = Manifest(run_id=RUN_ID, hotkey=HOTKEY, init_time=INIT_TIME, spec_digest=spec.digest(), chunks=chunks)
    encoded = canonical_bytes(manifest)
    (path / "manifest.json").write_bytes(encoded)
    return FrozenForecast(path=path, manifest=manifest, manifest_digest=hashlib.sha256(encoded).hexdigest(), spec=spec)


def small_forecast(path: Path, spec: RunSpec = SPEC) -> FrozenForecast:
    """An honest forecast of `smooth_field`s at `path`, frozen."""
    writer = ForecastWriter(path, spec, INIT_TIME)
    for _, field, lead_h in spec.chunks():
        writer.write(field, lead_h, smooth_field(field, lead_h, spec))
    return freeze(path, writer.finish(), spec)
