"""A classic NetCDF file that lost its end is noticed, to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import netCDF4
import numpy as np
import pytest

from gaia.tasks.defined_tasks.weather.files.errors import UnusableStore
from gaia.tasks.defined_tasks.weather.files.netcdf_size import refuse_cut_netcdf
from tests.support.real_data import REAL_DATA, needs_real_data

Form = Literal["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]


def build(path: Path, form: Form, record_types: tuple[str, ...]) -> Path:
    """One fixed variable of 5 doubles and, along an unlimited axis of 3 records, one of 7 values for each type."""
    with netCDF4.Dataset(path, "w", format=form) as dataset:
        dataset.title = "odd"
        dataset.createDimension("x", 5)
        dataset.createDimension("y", 7)
        dataset.createDimension("time", None)
        fixed = dataset.createVariable("fixed", "f8", ("x",))
        fixed.units = "K"
        fixed[:] = np.arange(5)
        for number, kind in enumerate(record_types):
            variable = dataset.createVariable(f"record{number}", kind, ("time", "y"))
            variable[:] = np.arange(21).reshape(3, 7)
    return path


@pytest.mark.parametrize("form", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("record_types", [(), ("f4",), ("i2",), ("i2", "f8")])
def test_whole_file_passes_and_any_shorter_one_is_refused(
    tmp_path: Path, form: Form, record_types: tuple[str, ...]
) -> None:
    whole = build(tmp_path / "a.nc", form, record_types)
    refuse_cut_netcdf(whole)
    content = whole.read_bytes()
    for lost in (1, 10, 50, len(content) // 2, len(content) - 30, len(content) - 4):
        (tmp_path / "cut.nc").write_bytes(content[: len(content) - lost])
        with pytest.raises(UnusableStore, match=r"cut\.nc is cut short"):
            refuse_cut_netcdf(tmp_path / "cut.nc")


@pytest.mark.parametrize("content", [b"", b"GRIB", b"\x89HDF\r\n", b"CDF\x07 some other format"])
def test_other_formats_pass(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    refuse_cut_netcdf(tmp_path / "a")


@pytest.mark.parametrize(
    "header",
    [
        b"CDF\x01" + b"\x00" * 4 + b"\x00\x00\x00\x0a" + b"\xff" * 4,  # four thousand million dimensions
        b"CDF\x01" + b"\x00" * 12 + b"\x00\x00\x00\x0c" + b"\x00\x00\x00\x01" + b"\x00" * 4 + b"\x00\x00\x00\x63" * 2,
    ],
)
def test_absurd_header_is_refused(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "a.nc").write_bytes(header + b"\x00" * 1000)
    with pytest.raises(UnusableStore, match="inside its NetCDF header"):
        refuse_cut_netcdf(tmp_path / "a.nc")


@needs_real_data
@pytest.mark.real_data
@pytest.mark.parametrize("pattern", ["climatology/*.nc", "era5/*.nc", "ncep/*.cdf"])
def test_real_files_are_whole(pattern: str) -> None:
    for path in REAL_DATA.glob(pattern):
        refuse_cut_netcdf(path)
