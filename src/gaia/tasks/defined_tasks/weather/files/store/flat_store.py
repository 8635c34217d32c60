"""Our own format for the fields of one instant: a folder with `fields.json` and `data.f32`.

A store is written once and whole, never changed, and mapped read-only by every worker.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from blake3 import blake3
from msgspec import Struct
from numpy.typing import NDArray

from gaia.contracts.decoding import UNDECODABLE
from gaia.protocol.run_spec import BadRunSpec, FieldId, GridSpec
from gaia.tasks.defined_tasks.weather.files.errors import StoreDamaged, StoreMissing, StoreUnwritable
from gaia.tasks.defined_tasks.weather.files.grid_axes import coordinates
from gaia.tasks.defined_tasks.weather.files.store.field_store import missing_field
from gaia.tasks.defined_tasks.weather.variables import VARIABLES

HEADER_NAME = "fields.json"
DATA_NAME = "data.f32"
_HEADER_LIMIT_BYTES = 1 << 20


class FlatHeader(Struct, frozen=True, kw_only=True):
    """The content of `fields.json`."""

    format: Literal["gaia-fields/1"] = "gaia-fields/1"
    grid: GridSpec
    valid_time: datetime | None
    source: str
    fields: tuple[tuple[str, int | None], ...]
    units: tuple[str, ...]
    content_digest: str
    """blake3 of grid, instant, fields and data, in hexadecimal. It identifies the data that a score was made with."""

    @property
    def data_bytes(self) -> int:
        """The size that `data.f32` must have."""
        return len(self.fields) * self.grid.latitude_count * self.grid.longitude_count * 4


class FlatStore:
    """A published flat store, mapped read-only.

    Raises StoreMissing or StoreDamaged before anything is mapped, because a read past the end of a mapped file kills
    the process with SIGBUS.
    """

    def __init__(self, path: str | Path) -> None:
        folder = Path(path)
        self.header = read_header(folder)
        data_path = folder / DATA_NAME
        size_bytes = _size_of(data_path)
        if size_bytes != self.header.data_bytes:
            raise StoreDamaged(
                f"{data_path} has {size_bytes} bytes, but its header says {self.header.data_bytes}; delete {folder}"
            )
        self.name = str(folder)
        self.latitude, self.longitude = coordinates(self.header.grid)
        self._index = {FieldId(v, level): i for i, (v, level) in enumerate(self.header.fields)}
        shape = (len(self.header.fields), *self.header.grid.shape)
        self._data = np.memmap(data_path, dtype="<f4", mode="r", shape=shape)

    @property
    def grid(self) -> GridSpec:
        """The exact grid."""
        return self.header.grid

    @property
    def valid_time(self) -> datetime | None:
        """The valid time; None if the source has none."""
        return self.header.valid_time

    def fields(self) -> tuple[FieldId, ...]:
        return tuple(self._index)

    def verify(self) -> None:
        """Raise StoreDamaged unless the fields have the digest in the header.

        Reads all of them, 0.1 s for 0.3 GB; once in the life of a process for every store that is published.
        """
        _verify(self.name, stamp_of(self.name))

    def read(self, field: FieldId) -> NDArray[np.float32]:
        """A read-only view of the mapped file, without a copy."""
        if field not in self._index:
            raise missing_field(self.name, field, self.fields())
        return np.asarray(self._data[self._index[field]])


StoreStamp = tuple[tuple[int, int, int, int], ...]
"""Device, inode, size and time of change of both files."""


def stamp_of(folder: str) -> StoreStamp:
    """A stamp that changes when the store is replaced. Raises StoreMissing if there is no flat store."""
    try:
        found = [os.stat(f"{folder}/{name}") for name in (HEADER_NAME, DATA_NAME)]  # noqa: PTH116  takes a tenth of the time
    except OSError as error:
        raise StoreMissing(f"{folder} is not a flat store: {error.strerror}") from None
    return tuple((file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns) for file in found)


@lru_cache(maxsize=1024)
def _verify(folder: str, _stamp: StoreStamp) -> None:
    store = FlatStore(folder)
    found = _content_digest(store.grid, store.valid_time, store.fields(), store._data)
    if found != store.header.content_digest:
        raise StoreDamaged(
            f"{folder} has content of blake3 {found}, but its header says {store.header.content_digest}; delete it"
        )


def read_header(folder: Path) -> FlatHeader:
    """The checked header of a flat store."""
    path = folder / HEADER_NAME
    if _size_of(path) > _HEADER_LIMIT_BYTES:
        raise StoreDamaged(f"{path} is too large for a header; delete {folder}")
    try:
        header = msgspec.json.decode(path.read_bytes(), type=FlatHeader)
    except (*UNDECODABLE, BadRunSpec) as error:
        raise StoreDamaged(f"{path} is not a header of gaia-fields/1 ({error}); delete {folder}") from None
    if not header.fields or len(header.units) != len(header.fields) or len(set(header.fields)) != len(header.fields):
        raise StoreDamaged(f"{path} must name at least one field, each once and with its unit; delete {folder}")
    return header


def write_flat_store(
    path: str | Path,
    *,
    grid: GridSpec,
    valid_time: datetime | None,
    fields: Sequence[FieldId],
    data: NDArray[np.float32],
    source: str,
) -> None:
    """Publish `data`, (n_fields, nlat, nlon) in the table's units, at `path`, whole or not at all.

    An existing store is left unchanged, because published stores never change. Raises StoreUnwritable.
    """
    if data.shape != (len(fields), *grid.shape) or data.dtype != np.float32:
        wanted = (len(fields), *grid.shape)
        raise StoreDamaged(f"cannot write {path}: float32 of shape {wanted} expected, got {data.dtype} {data.shape}")
    target = Path(path)
    if target.exists():
        return
    header = FlatHeader(
        grid=grid,
        valid_time=valid_time,
        source=source,
        fields=tuple((f.variable, f.level_hpa) for f in fields),
        units=tuple(VARIABLES[f.variable].unit for f in fields),
        content_digest=_content_digest(grid, valid_time, fields, data),
    )
    temporary = target.parent / f".{target.name}.{secrets.token_hex(8)}.tmp"
    try:
        temporary.mkdir(parents=True)
        write_synced(temporary / DATA_NAME, np.ascontiguousarray(data, dtype="<f4").data.cast("B"))
        write_synced(temporary / HEADER_NAME, memoryview(msgspec.json.encode(header)))
        _sync_folder(temporary)
        _publish(temporary, target)
    except OSError as error:
        raise StoreUnwritable(
            f"cannot write {target}: {error.strerror or error}; check free space and rights"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise StoreMissing(f"{path} cannot be read: {error.strerror}") from None


def _content_digest(
    grid: GridSpec, valid_time: datetime | None, fields: Sequence[FieldId], data: NDArray[np.float32]
) -> str:
    what = msgspec.json.encode((grid, valid_time, fields), order="sorted")
    return blake3(what).update(np.ascontiguousarray(data, dtype="<f4").data.cast("B")).hexdigest()


def write_synced(path: Path, data: memoryview | bytes) -> None:
    """Write a file that is on the disk when this returns. Raises OSError."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(temporary: Path, target: Path) -> None:
    """Rename atomically. If another process was first, its store stays: rename does not replace a non-empty folder."""
    try:
        temporary.rename(target)
    except OSError:
        if not (target / HEADER_NAME).exists():
            raise
        return
    _sync_folder(target.parent)
