"""Reading, checking and scoring what lies on disk, against decoding it alone; and zarr-python beside our readers.

The forecast is scored by the validator's own handler, from the payload that a worker gets. Small chunks are a
stranger's layout: read by `ZarrBlocks`, digested, and scored level by level.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr
from blake3 import blake3
from numcodecs import blosc
from zarr.codecs import BloscCodec

from benchmarks.measuring import Figure, Report, Size, Timings, interleaved
from benchmarks.scoring.fields import Cube, Sample, area_weights, samples, turned
from benchmarks.scoring.frozen import Frozen, freeze
from gaia.tasks.defined_tasks.weather.scoring.moments import field_moments
from gaia.tasks.defined_tasks.weather.sources.zarr_blocks import ZarrBlocks
from gaia.tasks.defined_tasks.weather.validator.scoring import handle_era5_unit

_FIELD_BOUND, _SMALL_BOUND = 1.6, 1.9


def run(size: Size, _out: Path) -> Report:
    """Every sample in both layouts."""
    figures: list[Figure] = []
    medians: dict[str, float] = {}
    zarr.config.set({"threading.max_workers": 1, "async.concurrency": 1})  # one core, as everybody else here
    for sample in samples(size):
        with tempfile.TemporaryDirectory() as folder:
            for layout, measured in (("fields", _fields), ("small", _small_chunks)):
                timings = measured(Path(folder) / layout, sample, size)
                figures += _figures(sample, layout, timings)
                medians |= {f"{sample.name}, {layout}: {case}": taken for case, taken in timings.medians().items()}
    return Report(benchmark="reading", size=size.name, figures=tuple(figures), medians_s=medians)


def _figures(sample: Sample, layout: str, timings: Timings) -> list[Figure]:
    chunk, bound = {"fields": ("one field a chunk", _FIELD_BOUND), "small": ("small chunks", _SMALL_BOUND)}[layout]
    return [
        Figure(
            what=f"{sample.name}, {chunk}: read, digest, decode, check and score, to decoding",
            value=timings.ratio("score", "decode"),
            unit="x",
            bound=bound,
        ),
        Figure(
            what=f"{sample.name}, {chunk}: zarr-python to our reader, reading only",
            value=timings.ratio("zarr-python", "our reader"),
            unit="x",
        ),
    ]


def _fields(folder: Path, sample: Sample, size: Size) -> Timings:
    frozen = freeze(folder, sample, size)
    array = zarr.open_array(folder / "forecast" / sample.variable, mode="r")
    blocks = ZarrBlocks.open(folder / "forecast" / sample.variable)
    assert blocks is not None  # noqa: S101  our own writer made it
    field = np.empty_like(sample.truth)
    cases: dict[str, Callable[[], object]] = {
        "decode": _decoding(frozen.chunks, (1, 1, *sample.truth.shape)),
        "score": lambda: handle_era5_unit(frozen.payload),
        "our reader": lambda: [blocks.read((0, level), out=field) for level in range(size.levels)],
        "zarr-python": lambda: [array[0, level] for level in range(size.levels)],
    }
    return interleaved(cases, size.rounds)


def _small_chunks(folder: Path, sample: Sample, size: Size) -> Timings:
    nlat, nlon = sample.truth.shape
    chunks = (1, size.levels, nlat // 4 + 1, nlon // 4)
    codec = BloscCodec(typesize=4, cname="zstd", clevel=3, shuffle="shuffle")
    shape = (1, size.levels, nlat, nlon)
    array = zarr.create_array(folder, shape=shape, chunks=chunks, dtype="float32", compressors=codec)
    array[:] = turned(sample.forecast, size.levels)[None]
    files = tuple(path for path in sorted((folder / "c").rglob("*")) if path.is_file())
    blocks = ZarrBlocks.open(folder)
    assert blocks is not None  # noqa: S101  the codec above is its kind
    block = np.empty(shape[1:], dtype=np.float32)
    rest = [turned(np.roll(sample.truth, shift, axis=1), size.levels) for shift in (0, 3, 6)]
    cases: dict[str, Callable[[], object]] = {
        "decode": _decoding(files, chunks),
        "score": lambda: _score_blocks(blocks, block, rest),
        "our reader": lambda: blocks.read((0,), out=block),
        "zarr-python": lambda: array[0],
    }
    return interleaved(cases, size.rounds)


def _decoding(files: tuple[Path, ...], chunk_shape: tuple[int, ...]) -> Callable[[], None]:
    """Nothing but Blosc, from memory into one buffer."""
    encoded = [path.read_bytes() for path in files]
    decoded = np.empty(chunk_shape, dtype=np.float32)

    def decode() -> None:
        for chunk in encoded:
            blosc.decompress(chunk, decoded)

    return decode


def _score_blocks(blocks: ZarrBlocks, block: Cube, rest: list[Cube]) -> None:
    digests: dict[str, str] = {}

    def digest(key: str, encoded: memoryview) -> None:
        digests[key] = blake3(encoded).hexdigest()

    forecast = blocks.read((0,), out=block, seen=digest)
    weights = area_weights(forecast.shape[1:])
    for values, truth, climatology, reference in zip(forecast, *rest, strict=True):
        field_moments(forecast=values, truth=truth, climatology=climatology, reference=reference, area_weights=weights)


def frozen_lead(folder: Path, size: Size, *, fields: int | None = None) -> Frozen:
    """One lead of the first sample, on disk."""
    return freeze(folder, samples(size)[0], size, fields=fields)
