"""Whether a classic NetCDF file is whole.

The classic format has neither length nor checksum, and the library reads zeros past the end of a file that was
cut short: a temperature of 0 K instead of an error. So the header is read here for where the data must end.
Layout: NetCDF Classic Format Specification,
https://docs.unidata.ucar.edu/netcdf-c/current/file_format_specifications.html
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import BinaryIO

from gaia.tasks.defined_tasks.weather.files.errors import UnusableStore
from gaia.tasks.defined_tasks.weather.files.safe_open import open_regular

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
_LIST_LIMIT = 100_000
_STREAMING = 0xFFFFFFFF
"""The number of records in a file that was never closed."""


def refuse_cut_netcdf(path: Path) -> None:
    """Raises UnusableStore for a classic NetCDF file shorter than its header says, StoreMissing for what is no file.
    Other files pass.
    """
    with open_regular(path) as file:
        magic = file.read(4)
        if magic[:3] != b"CDF" or magic[3:] not in (b"\x01", b"\x02", b"\x05"):
            return
        needed_bytes = _Header(path, file, version=magic[3]).data_end()
    size_bytes = path.stat().st_size
    if size_bytes < needed_bytes:
        raise UnusableStore(
            f"{path} is cut short: {size_bytes} bytes of {needed_bytes}, as its NetCDF header says; fetch it again"
        )


class _Header:
    """A reader of the header's numbers, which are big-endian and padded to four bytes."""

    def __init__(self, path: Path, file: BinaryIO, *, version: int) -> None:
        self._path = path
        self._file = file
        self._count_bytes = 8 if version == 5 else 4
        self._offset_bytes = 4 if version == 1 else 8

    def data_end(self) -> int:
        """The byte after the last value."""
        records = self._number(self._count_bytes)
        dimensions = [self._dimension() for _ in range(self._list_length())]
        self._skip_attributes()
        fixed_ends, per_record = [0], []
        for _ in range(self._list_length()):
            shape, item_bytes, begin = self._variable(dimensions)
            if shape and shape[0] == 0:  # the record dimension is stored as 0
                per_record.append((begin, prod(shape[1:]) * item_bytes))
            else:
                fixed_ends.append(begin + prod(shape) * item_bytes)
        if not per_record or records in (0, _STREAMING):
            return max(fixed_ends)
        # one record variable alone is packed without padding
        stride = per_record[0][1] if len(per_record) == 1 else sum(-(-size // 4) * 4 for _, size in per_record)
        return max(*fixed_ends, *(begin + (records - 1) * stride + size for begin, size in per_record))

    def _variable(self, dimensions: list[int]) -> tuple[list[int], int, int]:
        """(shape, bytes of one value, first byte)."""
        self._skip_name()
        ids = [self._number(self._count_bytes) for _ in range(self._bounded())]
        self._skip_attributes()
        kind = self._number(4)
        self._number(self._count_bytes)  # vsize: derivable, and wrong in large files
        begin = self._number(self._offset_bytes)
        if kind not in _TYPE_BYTES or any(i >= len(dimensions) for i in ids):
            raise self._damaged()
        return [dimensions[i] for i in ids], _TYPE_BYTES[kind], begin

    def _dimension(self) -> int:
        self._skip_name()
        return self._number(self._count_bytes)

    def _skip_attributes(self) -> None:
        for _ in range(self._list_length()):
            self._skip_name()
            kind, count = self._number(4), self._number(self._count_bytes)
            if kind not in _TYPE_BYTES:
                raise self._damaged()
            self._skip(count * _TYPE_BYTES[kind])

    def _skip_name(self) -> None:
        self._skip(self._number(self._count_bytes))

    def _skip(self, size_bytes: int) -> None:
        padded = -(-size_bytes // 4) * 4
        if self._file.seek(padded, 1) > self._path.stat().st_size:
            raise self._damaged()

    def _list_length(self) -> int:
        self._number(4)  # the tag, or 0 for an absent list
        return self._bounded()

    def _bounded(self) -> int:
        length = self._number(self._count_bytes)
        if length > _LIST_LIMIT:
            raise self._damaged()
        return length

    def _number(self, size_bytes: int) -> int:
        raw = self._file.read(size_bytes)
        if len(raw) != size_bytes:
            raise self._damaged()
        return int.from_bytes(raw, "big")

    def _damaged(self) -> UnusableStore:
        return UnusableStore(f"{self._path} is cut short or damaged inside its NetCDF header; fetch it again")
