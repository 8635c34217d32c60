"""Writes the embedded world as an archive of flat stores: truth, operational reference and climatology of one run.

An archive is published whole or not at all; `catalog` names its layout. Must never be used for a run on real weather.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gaia.contracts.decoding import UNDECODABLE
from gaia.contracts.errors import ConfigurationError
from gaia.protocol.run_spec import GridSpec, RunSpec
from gaia.simulation.nature import run_nature
from gaia.simulation.structure import ChartMaker
from gaia.simulation.twin import twin_forecast
from gaia.tasks.defined_tasks.weather.files.archive import ARCHIVE_HEADER, SourceRole, archive_store
from gaia.tasks.defined_tasks.weather.files.store.flat_store import write_flat_store, write_synced

MODEL = "embedded T42 barotropic atmosphere, version 1"
REFERENCE_TRUNCATION = 42
REFERENCE_INITIAL_ERROR = 0.3
"""The operational reference starts from an analysis with an error of 30 % of the climatological spread."""
_REFERENCE_SEED_OFFSET = 1 << 40
"""Gives the reference another initial error than the miners have, whose seeds are small numbers."""
_PREVIOUS_ANALYSIS_H = 6


class ArchiveUnwritable(ConfigurationError):
    """The folder for an archive cannot be used."""


class ArchiveHeader(Struct, frozen=True, kw_only=True):
    """The content of `archive.json`."""

    format: Literal["gaia-archive/1"] = "gaia-archive/1"
    model: str
    seed: int
    init_time: datetime
    lead_h: tuple[int, ...]
    grid: GridSpec
    fields: tuple[tuple[str, int | None], ...]
    reference_initial_error: float


class ArchiveSummary(Struct, frozen=True, kw_only=True):
    """Describes the archive that was written."""

    path: str
    header: ArchiveHeader
    stores: int


def build_archive(path: Path, spec: RunSpec, init_time: datetime, seed: int) -> ArchiveSummary:
    """Compute the embedded world for a run of `spec` from `init_time` (aware, whole hours) and publish it at `path`.

    It holds the truth 6 h before `init_time`, at `init_time` and at every committed lead; the reference forecast at
    every lead; and the climatology of all these instants. An archive of the same content is left unchanged. Raises
    ArchiveUnwritable.
    """
    header = ArchiveHeader(
        model=MODEL,
        seed=seed,
        init_time=init_time.astimezone(UTC),
        lead_h=spec.lead_h,
        grid=spec.grid,
        fields=tuple((f.variable, f.level_hpa) for f in spec.fields()),
        reference_initial_error=REFERENCE_INITIAL_ERROR,
    )
    summary = ArchiveSummary(path=str(path), header=header, stores=3 * len(spec.lead_h) + 4)
    if path.exists():
        _require_same(path, header)
        return summary
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _building_folder(path) as folder:
            _write_world(folder, spec, header)
            write_synced(folder / ARCHIVE_HEADER, msgspec.json.format(msgspec.json.encode(header)))
            folder.rename(path)
    except OSError as error:
        raise ArchiveUnwritable(
            f"cannot write the archive {path}: {error.strerror or error}; choose a writable folder with free space"
        ) from error
    return summary


def _require_same(path: Path, header: ArchiveHeader) -> None:
    try:
        there = msgspec.json.decode((path / ARCHIVE_HEADER).read_bytes(), type=ArchiveHeader)
    except (OSError, *UNDECODABLE):
        raise ArchiveUnwritable(
            f"{path} exists and is not an archive, or is damaged; choose another place, or delete it"
        ) from None
    if there != header:
        raise ArchiveUnwritable(f"{path} is the archive of another run; choose another place, or delete it")


@contextmanager
def _building_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` for this process alone. Leftovers of a killed build are removed.

    The lock is on the folder itself and ends with the process that holds it. After locking, the folder must still have
    its name: another process may have published it in between.
    """
    folder = path.parent / f".{path.name}.building"
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(descriptor, folder, path)
        _wipe(folder)
        try:
            yield folder
        except BaseException:  # raised again
            shutil.rmtree(folder, ignore_errors=True)
            raise
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ArchiveUnwritable(f"another process is building {path}; wait for it") from None
    if not folder.exists() or not os.path.samestat(os.fstat(descriptor), folder.stat()):
        raise ArchiveUnwritable(f"another process has just built {path}; start again")


def _wipe(folder: Path) -> None:
    for leftover in folder.iterdir():
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def _write_world(folder: Path, spec: RunSpec, header: ArchiveHeader) -> None:
    """Write every flat store of the archive."""
    hours = (-_PREVIOUS_ANALYSIS_H, 0, *(h for h in spec.lead_h if h > 0))
    nature = run_nature(header.seed, [h + _PREVIOUS_ANALYSIS_H for h in hours])
    initial = nature.states[1]
    maker, fields, init_time = ChartMaker(spec.grid), spec.fields(), header.init_time
    usual = maker.charts(nature.climatology, fields)
    reference = twin_forecast(
        initial,
        spec.lead_h,
        truncation=REFERENCE_TRUNCATION,
        initial_error=REFERENCE_INITIAL_ERROR,
        seed=_REFERENCE_SEED_OFFSET + header.seed,
    )

    def write(place: Path, valid_time: datetime, charts: NDArray[np.float32], source: str) -> None:
        write_flat_store(place, grid=spec.grid, valid_time=valid_time, fields=fields, data=charts, source=source)

    for hour, state in zip(hours, nature.states, strict=True):
        valid_time = init_time + timedelta(hours=hour)
        place = archive_store(folder, SourceRole.TRUTH, valid_time=valid_time)
        write(place, valid_time, maker.charts(state, fields), f"{MODEL}, seed {header.seed}")
        place = archive_store(folder, SourceRole.CLIMATOLOGY, valid_time=valid_time)
        write(place, valid_time, usual, f"{MODEL}, climatology")
    for lead_h, state in zip(spec.lead_h, reference, strict=True):
        valid_time = init_time + timedelta(hours=lead_h)
        place = archive_store(folder, SourceRole.REFERENCE, valid_time=valid_time, init_time=init_time, lead_h=lead_h)
        write(place, valid_time, maker.charts(state, fields), f"{MODEL}, operational reference")
