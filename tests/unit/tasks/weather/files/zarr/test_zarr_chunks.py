"""What is missing in a Zarr array is named, wherever its chunks lie; written by zarr-python itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from gaia.tasks.defined_tasks.weather.files.errors import UnusableStore
from gaia.tasks.defined_tasks.weather.files.zarr.zarr_chunks import ZarrChunks

SHAPE = (3, 5, 7)
WHOLE = [range(n) for n in SHAPE]


def array(folder: Path, **layout: Any) -> zarr.Array[Any]:
    """2 x 2 x 4 chunks of which nothing is written yet; chunks reach beyond every end."""
    return zarr.create_array(folder, shape=SHAPE, chunks=(2, 3, 2), dtype="f4", fill_value=0.0, **layout)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_chunk_is_missing_for_whoever_needs_it(tmp_path: Path, zarr_format: Any) -> None:
    made = array(tmp_path / "a", zarr_format=zarr_format)
    made[:2] = 1.0
    chunks = ZarrChunks(tmp_path / "a")
    chunks.refuse_missing([range(2), *WHOLE[1:]])
    chunks.refuse_missing([range(1, 2), range(4, 5), range(6, 7)])
    key = {2: r"chunk 1\.1\.3", 3: "chunk c/1/1/3"}[zarr_format]
    with pytest.raises(UnusableStore, match=rf"{key} of .*/a is missing; nothing is filled in"):
        chunks.refuse_missing([range(1, 3), range(4, 5), range(6, 7)])
    made[2:] = 1.0
    chunks.refuse_missing(WHOLE)


def test_a_linked_chunk_is_there_and_a_link_to_nothing_is_not(tmp_path: Path) -> None:
    array(tmp_path / "a", zarr_format=2)[:] = 1.0
    chunk = tmp_path / "a" / "0.0.0"
    chunk.rename(tmp_path / "elsewhere")
    chunk.symlink_to(tmp_path / "elsewhere")
    ZarrChunks(tmp_path / "a").refuse_missing(WHOLE)
    (tmp_path / "elsewhere").unlink()
    with pytest.raises(UnusableStore, match=r"chunk 0\.0\.0 of"):
        ZarrChunks(tmp_path / "a").refuse_missing(WHOLE)


@pytest.mark.parametrize("location", ["start", "end"])
def test_a_part_of_a_shard_is_missed_like_a_chunk(tmp_path: Path, location: str) -> None:
    made = array(
        tmp_path / "a",
        zarr_format=3,
        shards={"shape": (2, 3, 8), "index_location": location},
    )
    made[...] = 1.0
    chunks = ZarrChunks(tmp_path / "a")
    chunks.refuse_missing(WHOLE)
    made[0:2, 3:5, 4:6] = 0.0  # zarr-python leaves out what is nothing but the fill value
    chunks.refuse_missing([range(3), range(3), range(7)])
    chunks.refuse_missing([range(3), range(5), range(4)])
    with pytest.raises(UnusableStore, match=r"part \(0, 0, 2\) of chunk c/0/1/0 of"):
        chunks.refuse_missing([range(1), range(4, 5), range(5, 6)])
    made[2:, :3] = 0.0
    with pytest.raises(UnusableStore, match="chunk c/1/0/0 of"):
        chunks.refuse_missing([range(2, 3), range(3), range(7)])


def test_a_shard_without_its_index_is_cut_short(tmp_path: Path) -> None:
    array(tmp_path / "a", zarr_format=3, shards=(4, 6, 8))[:] = np.float32(1)
    (tmp_path / "a" / "c" / "0" / "0" / "0").write_bytes(b"short")
    with pytest.raises(UnusableStore, match=r"chunk c/0/0/0 of .* is cut short"):
        ZarrChunks(tmp_path / "a").refuse_missing(WHOLE)


def test_what_is_no_array_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnusableStore, match=r".*/nothing cannot be read as Zarr"):
        ZarrChunks(tmp_path / "nothing")
