"""Only files are opened, and nothing is waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gaia.tasks.defined_tasks.weather.files import netcdf_size
from gaia.tasks.defined_tasks.weather.files.errors import StoreMissing, UnusableStore
from gaia.tasks.defined_tasks.weather.files.safe_open import open_regular
from gaia.tasks.defined_tasks.weather.files.store import grib
from gaia.tasks.defined_tasks.weather.files.store.open_store import open_store

pytestmark = pytest.mark.timeout(60)


def test_a_file_is_read_from_its_beginning_through_a_link_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"content"


def test_whatever_is_no_file_is_refused_by_name_and_left_closed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path, why in ((tmp_path / "pipe", "is no file"), (tmp_path, "is no file"), (Path("/dev/zero"), "is no file"),
                      (tmp_path / "no", "No such file")):  # fmt: skip
        with pytest.raises(StoreMissing, match=f"{path.name} .*{why}"):
            open_regular(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_no_reader_waits_for_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(StoreMissing, match="is no file"):
        open_store(pipe)
    (tmp_path / "flat").mkdir()
    os.mkfifo(tmp_path / "flat" / "fields.json")
    with pytest.raises(UnusableStore, match="neither a flat store nor Zarr"):
        open_store(tmp_path / "flat")
    with pytest.raises(StoreMissing, match="is no file"):
        list(grib.iterate(pipe))
    with pytest.raises(StoreMissing, match="is no file"):
        netcdf_size.refuse_cut_netcdf(pipe)
