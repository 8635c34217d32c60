"""The thin reader against zarr-python, on stores that zarr-python wrote; and what it leaves to it or refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, GzipCodec

from gaia.tasks.defined_tasks.weather.files.errors import StoreDamaged
from gaia.tasks.defined_tasks.weather.files.zarr.zarr_blocks import ZarrBlocks

_SHAPE = (2, 3, 13, 20)
_VALUES = np.random.default_rng(1).normal(250.0, 20.0, _SHAPE).astype(np.float32)


def _store(path: Path, chunks: tuple[int, ...], zarr_format: Any, values: NDArray[Any] = _VALUES, **more: Any) -> Path:
    v3 = BloscCodec(typesize=4, cname="zstd", clevel=3, shuffle="shuffle")
    codec = v3 if zarr_format == 3 else numcodecs.Blosc("lz4", 5, 1)
    options = {"compressors": codec, **more}
    array = zarr.create_array(
        path, shape=values.shape, chunks=chunks, dtype=values.dtype, zarr_format=zarr_format, **options
    )
    array[:] = values
    return path


def _open(path: Path) -> ZarrBlocks:
    blocks = ZarrBlocks.open(path)
    assert blocks is not None
    return blocks


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("chunks", [(1, 1, 13, 20), (1, 3, 4, 7), (2, 2, 13, 20), (1, 3, 13, 20), (2, 3, 5, 6)])
def test_every_block_is_what_was_written(
    tmp_path: Path, chunks: tuple[int, ...], zarr_format: int, compressed: bool
) -> None:
    options: dict[str, Any] = {} if compressed else {"compressors": None}
    blocks = _open(_store(tmp_path / "a", chunks, zarr_format, **options))
    assert np.array_equal(blocks.read(()), _VALUES)
    for time in range(2):
        assert np.array_equal(blocks.read((time,)), _VALUES[time])
        for level in range(3):
            out = np.full((13, 20), np.nan, dtype=np.float32)
            assert blocks.read((time, level), out=out) is out
            assert np.array_equal(out, _VALUES[time, level])


@pytest.mark.parametrize("chunks", [(1, 1, 13, 20), (1, 2, 4, 7), (2, 3, 13, 20)])
def test_ranges_keep_their_axes(tmp_path: Path, chunks: tuple[int, ...]) -> None:
    blocks = _open(_store(tmp_path / "a", chunks, 3))
    assert np.array_equal(blocks.read((range(2), range(1, 3))), _VALUES[:, 1:3])
    assert np.array_equal(blocks.read((1, range(1, 2), range(2, 11))), _VALUES[1, 1:2, 2:11])
    assert np.array_equal(blocks.read((range(1), 2, range(13), 7)), _VALUES[:1, 2, :, 7])


def test_each_chunk_is_shown_once_before_it_is_decoded(tmp_path: Path) -> None:
    path = _store(tmp_path / "a", (1, 3, 13, 10), 3)
    seen: dict[str, bytes] = {}
    _open(path).read((1,), seen=lambda key, encoded: seen.__setitem__(key, bytes(encoded)))
    assert seen == {key: (path / key).read_bytes() for key in ("c/1/0/0/0", "c/1/0/0/1")}


def test_other_arrays_are_left_to_zarr_python(tmp_path: Path) -> None:
    doubles = _store(tmp_path / "f8", (1, 3, 13, 20), 3, _VALUES.astype(np.float64))
    gzipped = _store(tmp_path / "gzip", (1, 3, 13, 20), 3, compressors=GzipCodec())
    sharded = _store(tmp_path / "shards", (1, 1, 13, 20), 3, shards=(1, 3, 13, 20))
    fortran = _store(tmp_path / "fortran", (1, 3, 13, 20), 2, order="F")
    big_endian = _store(tmp_path / "big", (1, 3, 13, 20), 2, _VALUES.astype(">f4"))
    filtered = _store(tmp_path / "delta", (1, 3, 13, 20), 2, filters=[numcodecs.BitRound(20)])
    huge = _store(tmp_path / "huge", (1, 3, 13, 20), 3)
    metadata = json.loads((huge / "zarr.json").read_text())
    metadata["chunk_grid"]["configuration"]["chunk_shape"] = [1000, 1000, 13, 20]
    (huge / "zarr.json").write_text(json.dumps(metadata))
    (tmp_path / "none").mkdir()
    for path in (doubles, gzipped, sharded, fortran, big_endian, filtered, huge, tmp_path / "none"):
        assert ZarrBlocks.open(path) is None


def test_the_metadata_of_another_format_beside_it_are_not_those_of_an_array(tmp_path: Path) -> None:
    gzipped = _store(tmp_path / "a", (1, 3, 13, 20), 3, compressors=zarr.codecs.GzipCodec())
    older = _store(tmp_path / "b", (1, 3, 13, 20), 2)
    (gzipped / ".zarray").write_bytes((older / ".zarray").read_bytes())
    assert ZarrBlocks.open(gzipped) is None


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda file: file.unlink(), "missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), "announces"),
        (lambda file: file.write_bytes(b"short"), "shorter or longer"),
        (lambda file: file.write_bytes(bytes(2_000_000)), "shorter or longer"),
        (lambda file: file.write_bytes(file.read_bytes()[:30] + bytes(len(file.read_bytes()) - 30)), "decompress"),
        (lambda file: (file.unlink(), file.symlink_to("/dev/zero")), "cannot be read"),
    ],
    ids=["missing", "cut", "tiny", "huge", "spoilt", "link"],
)
def test_a_bad_chunk_is_named(tmp_path: Path, spoil: Any, complaint: str) -> None:
    path = _store(tmp_path / "a", (1, 3, 13, 20), 3)
    spoil(path / "c/1/0/0/0")
    with pytest.raises(StoreDamaged, match=f"c/1/0/0/0.*{complaint}"):
        _open(path).read((1,))


@pytest.mark.parametrize("size_bytes", [0, 3119, 3121])
def test_an_uncompressed_chunk_has_its_size(tmp_path: Path, size_bytes: int) -> None:
    path = _store(tmp_path / "a", (1, 3, 13, 20), 3, compressors=None)
    (path / "c/1/0/0/0").write_bytes(bytes(size_bytes))
    with pytest.raises(StoreDamaged, match=r"c/1/0/0/0.*(3120 are expected|shorter or longer)"):
        _open(path).read((1,))


def test_a_block_beyond_the_array_is_an_index_error(tmp_path: Path) -> None:
    blocks = _open(_store(tmp_path / "a", (1, 3, 13, 20), 3))
    for at in ((2,), (-1,), (0, 3), (0, 0, 0, 0, 0), (range(3),), (range(0),), (range(0, 2, 2),)):
        with pytest.raises(IndexError, match="no block"):
            blocks.read(at)
