"""The Zarr 3 metadata and coordinate arrays of a forecast store, written from the run specification alone.

The validator writes them for its own copy, so that nothing a miner says about layout, type or codec is ever
believed. Format: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html, with CF names for the
attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gaia.protocol.run_spec import RunSpec, VariableSpec
from gaia.tasks.defined_tasks.weather.files.grid_axes import coordinates
from gaia.tasks.defined_tasks.weather.forecast.chunk_codec import CODEC_LEVEL, CODEC_NAME, TYPESIZE_BYTES
from gaia.tasks.defined_tasks.weather.variables import variable

_BYTES_CODEC = {"name": "bytes", "configuration": {"endian": "little"}}
_BLOSC_CODEC = {
    "name": "blosc",
    "configuration": {
        "cname": CODEC_NAME,
        "clevel": CODEC_LEVEL,
        "shuffle": "shuffle",
        "typesize": TYPESIZE_BYTES,
        "blocksize": 0,
    },
}


def write_zarr_metadata(path: Path, spec: RunSpec, init_time: datetime) -> None:
    """Make the folder `path` a valid Zarr 3 group around the chunks of a forecast, present or still to come.

    Stock zarr-python and xarray open it; a chunk that is not there reads as NaN. Existing metadata are
    replaced.
    """
    nodes: dict[str, dict[str, Any]] = {v.name: _field_array(spec, v) for v in spec.variables}
    for name, (values, attributes) in _coordinate_arrays(spec).items():
        nodes[name] = _coordinate_array(name, values, attributes)
        _write(path / name / "c" / "0", values.tobytes())
    for name, node in nodes.items():
        _write(path / name / "zarr.json", msgspec.json.encode(node))
    group = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {
            "Conventions": "CF-1.11",
            "init_time": f"{init_time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        },
        # what zarr-python writes and reads to open a store in one step; others may ignore it
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": nodes},
    }
    _write(path / "zarr.json", msgspec.json.encode(group))


def level_dimension(spec: RunSpec, of: VariableSpec) -> str:
    """`level`, or `level_<variable>` where the variables of the run lie on different levels."""
    shared = len({v.levels_hpa for v in spec.variables if v.levels_hpa}) == 1
    return "level" if shared else f"level_{of.name}"


def _coordinate_arrays(spec: RunSpec) -> dict[str, tuple[NDArray[Any], Mapping[str, str]]]:
    latitude, longitude = coordinates(spec.grid)
    leads = np.array(spec.lead_h, dtype="<i8")
    arrays: dict[str, tuple[NDArray[Any], Mapping[str, str]]] = {
        "lead_time": (leads, {"units": "hours", "standard_name": "forecast_period"}),
        "latitude": (latitude.astype("<f8"), {"units": "degrees_north", "standard_name": "latitude"}),
        "longitude": (longitude.astype("<f8"), {"units": "degrees_east", "standard_name": "longitude"}),
    }
    for of in spec.variables:
        if of.levels_hpa:
            levels = np.array(of.levels_hpa, dtype="<i8")
            attributes = {"units": "hPa", "standard_name": "air_pressure", "positive": "down"}
            arrays[level_dimension(spec, of)] = (levels, attributes)
    return arrays


def _coordinate_array(name: str, values: NDArray[Any], attributes: Mapping[str, str]) -> dict[str, Any]:
    return _array(
        shape=values.shape,
        chunk_shape=values.shape,
        data_type=values.dtype.name,
        fill_value=0,
        codecs=[_BYTES_CODEC],
        dimension_names=[name],
        attributes=attributes,
    )


def _field_array(spec: RunSpec, of: VariableSpec) -> dict[str, Any]:
    known = variable(of.name)
    levels = [level_dimension(spec, of)] if of.levels_hpa else []
    return _array(
        shape=spec.shape_of(of),
        chunk_shape=(1,) * (1 + len(levels)) + spec.grid.shape,
        data_type="float32",
        fill_value="NaN",
        codecs=[_BYTES_CODEC, _BLOSC_CODEC],
        dimension_names=["lead_time", *levels, "latitude", "longitude"],
        attributes={"units": known.unit, "standard_name": known.cf_name},
    )


def _array(
    *,
    shape: tuple[int, ...],
    chunk_shape: tuple[int, ...],
    data_type: str,
    fill_value: float | str,
    codecs: list[dict[str, Any]],
    dimension_names: list[str],
    attributes: Mapping[str, str],
) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill_value,
        "codecs": codecs,
        "attributes": attributes,
        "dimension_names": dimension_names,
        "storage_transformers": [],
    }


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
