"""Reading, checking and scoring what lies on disk, against decoding it alone; and zarr-python beside our readers.

Decoding alone is what nobody can do without: every chunk's file opened, read, and decoded by Blosc into one buffer.
Beside it stand Blosc without the file, the digest, and the sums: no way of scoring costs less than their total.

The forecast is scored by the validator's own handler, from the payload that a worker gets. Small chunks are a
stranger's layout: read by `ZarrBlocks`, digested, and scored level by level. What truth, climatology and reference
come to alone is known in both, as it is from a worker's second forecast on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import numpy as np
import zarr
from blake3 import blake3
from numcodecs import blosc
from zarr.codecs import BloscCodec

from benchmarks.measuring import Figure, Report, Size, Timings, interleaved
from benchmarks.scoring.fields import Cube, Field, Sample, area_weights, samples, turned
from benchmarks.scoring.frozen import Frozen, freeze
from gaia.tasks.defined_tasks.weather.files.store.open_store import open_store
from gaia.tasks.defined_tasks.weather.files.zarr.zarr_blocks import ZarrBlocks
from gaia.tasks.defined_tasks.weather.scoring.moments import Yardstick
from gaia.tasks.defined_tasks.weather.validator.handlers.score_payloads import Era5Payload
from gaia.tasks.defined_tasks.weather.validator.scoring import handle_era5_unit
from gaia.tasks.defined_tasks.weather.variables import VARIABLES

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

    def ratio(what: str, case: str, to: str, bound: float | None = None) -> Figure:
        return Figure(what=f"{sample.name}, {chunk}: {what}", value=timings.ratio(case, to), unit="x", bound=bound)

    return [
        ratio("read, digest, decode, check and score, to reading and decoding", "score", "decode", bound),
        ratio("the same, to Blosc alone, from memory", "score", "blosc"),
        ratio("of it the digest alone, to reading and decoding", "digest", "decode"),
        ratio("of it the sums and the check alone, to reading and decoding", "sums", "decode"),
        ratio("zarr-python to our reader, reading only", "zarr-python", "our reader"),
    ]


def _fields(folder: Path, sample: Sample, size: Size) -> Timings:
    frozen = freeze(folder, sample, size)
    array = zarr.open_array(folder / "forecast" / sample.variable, mode="r")
    blocks = ZarrBlocks.open(folder / "forecast" / sample.variable)
    assert blocks is not None  # noqa: S101  our own writer made it
    field = np.empty_like(sample.truth)
    payload = msgspec.convert(frozen.payload, Era5Payload)
    stores = [
        open_store(path) for path in (payload.truth_path, payload.climatology_path, payload.reference_path) if path
    ]
    yardsticks = _yardsticks([[store.read(wanted) for wanted in payload.spec.fields()] for store in stores], sample)
    cases: dict[str, Callable[[], object]] = {
        **_alone(frozen.chunks, (1, 1, *sample.truth.shape)),
        "sums": lambda: _score_fields([sample.forecast] * size.levels, yardsticks, sample),
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
    forecast = turned(sample.forecast, size.levels)
    array[:] = forecast[None]
    files = tuple(path for path in sorted((folder / "c").rglob("*")) if path.is_file())
    blocks = ZarrBlocks.open(folder)
    assert blocks is not None  # noqa: S101  the codec above is its kind
    block = np.empty(shape[1:], dtype=np.float32)
    rest = [turned(np.roll(sample.truth, shift, axis=1), size.levels) for shift in (0, 3, 6)]
    yardsticks = _yardsticks(rest, sample)
    cases: dict[str, Callable[[], object]] = {
        **_alone(files, chunks),
        "sums": lambda: _score_fields(forecast, yardsticks, sample),
        "score": lambda: _score_blocks(blocks, block, yardsticks, sample),
        "our reader": lambda: blocks.read((0,), out=block),
        "zarr-python": lambda: array[0],
    }
    return interleaved(cases, size.rounds)


def _alone(files: tuple[Path, ...], chunk_shape: tuple[int, ...]) -> dict[str, Callable[[], object]]:
    """Reading and decoding all chunks, decoding them from memory, digesting them: each into one buffer, no more."""
    encoded = [path.read_bytes() for path in files]
    read = np.empty(max(map(len, encoded)), dtype=np.uint8).data
    decoded = np.empty(chunk_shape, dtype=np.float32)

    def decode() -> None:
        for path in files:
            with path.open("rb", buffering=0) as file:
                size_bytes = file.readinto(read)
            blosc.decompress(read[:size_bytes], decoded)

    return {
        "decode": decode,
        "blosc": lambda: [blosc.decompress(chunk, decoded) for chunk in encoded],
        "digest": lambda: [blake3(chunk).hexdigest() for chunk in encoded],
    }


def _score_blocks(blocks: ZarrBlocks, block: Cube, yardsticks: list[Yardstick], sample: Sample) -> None:
    digests: dict[str, str] = {}

    def digest(key: str, encoded: memoryview) -> None:
        digests[key] = blake3(encoded).hexdigest()

    _score_fields(blocks.read((0,), out=block, seen=digest), yardsticks, sample)


def _score_fields(forecast: Iterable[Field], yardsticks: list[Yardstick], sample: Sample) -> None:
    limits = VARIABLES[sample.variable].plausible
    for values, yardstick in zip(forecast, yardsticks, strict=True):
        yardstick.moments(values, limits)


def _yardsticks(baselines: Iterable[Iterable[Field]], sample: Sample) -> list[Yardstick]:
    """Of truths, climatologies and references, as a worker has them after the first forecast."""
    weights = area_weights(sample.truth.shape)
    return [
        Yardstick(truth=truth, climatology=climatology, reference=reference, area_weights=weights)
        for truth, climatology, reference in zip(*baselines, strict=True)
    ]


def frozen_lead(folder: Path, size: Size, *, fields: int | None = None) -> Frozen:
    """One lead of the first sample, on disk."""
    return freeze(folder, samples(size)[0], size, fields=fields)
