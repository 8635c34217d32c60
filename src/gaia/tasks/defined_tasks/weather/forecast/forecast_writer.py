"""Writes a forecast as a Zarr 3 store, field by field: the miner's side of `forecast_store`.

Owns the promise that a store at its final path is complete: it is built beside it and renamed. It never
writes a value that the validator would refuse, so that a broken model is found out before its forecast is
committed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np
from blake3 import blake3

from gaia.contracts.errors import MinerFault
from gaia.protocol.manifest import ChunkDigest
from gaia.protocol.run_spec import FieldId, RunSpec
from gaia.tasks.defined_tasks.weather.forecast.chunk_codec import Field, encode_field, range_of
from gaia.tasks.defined_tasks.weather.forecast.chunk_errors import Chunk
from gaia.tasks.defined_tasks.weather.forecast.zarr_metadata import write_zarr_metadata


class UnwantedField(MinerFault):
    """A model produced a field, lead or shape that the run does not ask for."""


class IncompleteForecast(MinerFault):
    """A forecast lacks fields that the run asks for."""


class ForecastExists(MinerFault):
    """There is already a forecast at the path; a committed forecast is never written over."""


class ForecastUnwritable(MinerFault):
    """The miner's disk would not take the forecast."""


class ForecastWriter:
    """Builds the store at `path`. One writer a path; what an earlier one left unfinished is removed."""

    def __init__(self, path: Path, spec: RunSpec, init_time: datetime) -> None:
        if path.exists():
            raise ForecastExists(f"{path} already holds a forecast; give another path or remove it")
        self._path = path
        self._spec = spec
        self._building = path.with_name(f".{path.name}.unfinished")
        self._chunks = {(field, lead): Chunk(key=key, field=field, lead_h=lead) for key, field, lead in spec.chunks()}
        self._written: dict[str, ChunkDigest] = {}
        with self._disk():
            shutil.rmtree(self._building, ignore_errors=True)
            self._building.mkdir(parents=True)
            write_zarr_metadata(self._building, spec, init_time)

    def write(self, field: FieldId, lead_h: int, values: Field) -> None:
        """Add one field, float32 (nlat, nlon) in the table's unit; writing it again replaces it.

        Raises UnwantedField, NonFiniteValue, ImplausibleValue, ForecastUnwritable.
        """
        chunk = self._chunks.get((field, lead_h))
        if chunk is None:
            raise UnwantedField(f"the run does not ask for {field} at lead {lead_h} h")
        if values.shape != self._spec.grid.shape or values.dtype != np.float32:
            raise UnwantedField(f"{chunk} must be float32 {self._spec.grid.shape}, got {values.dtype} {values.shape}")
        range_of(values, chunk)
        encoded = encode_field(values)
        file = self._building / chunk.key
        with self._disk():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded)
        self._written[chunk.key] = ChunkDigest(size_bytes=len(encoded), blake3=blake3(encoded).hexdigest())

    def finish(self) -> dict[str, ChunkDigest]:
        """Publish the store at its path and return each chunk's digest by key, in the specification's order.

        Raises IncompleteForecast, ForecastUnwritable.
        """
        missing = [chunk for chunk in self._chunks.values() if chunk.key not in self._written]
        if missing:
            named = ", ".join(str(chunk) for chunk in missing[:5])
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise IncompleteForecast(f"the forecast at {self._path} lacks {named}{more}")
        with self._disk():
            self._building.rename(self._path)
        return {chunk.key: self._written[chunk.key] for chunk in self._chunks.values()}

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ForecastUnwritable(
                f"cannot write the forecast {self._path}: {error.strerror}; check free space and rights"
            ) from error
