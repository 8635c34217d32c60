"""What of a forecast is in the cache already: a manifest or a chunk that is not whole does not count."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaia.tasks.defined_tasks.weather.validator.fetch_chunks import CacheUnwritable, _prepare
from tests.support.disks import fill, tmpfs_of

MANIFEST = b'{"chunks": {}}' * 20
KEYS = ("z/c/0/0/0", "2t/c/0/0")


@pytest.mark.parametrize("length", [0, 1, len(MANIFEST) // 2, len(MANIFEST) - 1])
def test_a_manifest_cut_short_is_written_anew(tmp_path: Path, length: int) -> None:
    assert _prepare(tmp_path / "miner", MANIFEST, dict.fromkeys(KEYS, 10)) == list(KEYS)
    kept = tmp_path / "miner" / "manifest.json"
    kept.write_bytes(MANIFEST[:length])
    _prepare(tmp_path / "miner", MANIFEST, dict.fromkeys(KEYS, 10))
    assert kept.read_bytes() == MANIFEST


def test_a_manifest_with_one_byte_changed_is_written_anew(tmp_path: Path) -> None:
    _prepare(tmp_path / "miner", MANIFEST, dict.fromkeys(KEYS, 10))
    kept = tmp_path / "miner" / "manifest.json"
    kept.write_bytes(MANIFEST[:-1] + b"]")
    _prepare(tmp_path / "miner", MANIFEST, dict.fromkeys(KEYS, 10))
    assert kept.read_bytes() == MANIFEST


@pytest.mark.parametrize("length", [0, 5, 9, 11])
def test_a_chunk_of_another_length_is_fetched_anew(tmp_path: Path, length: int) -> None:
    _prepare(tmp_path, MANIFEST, dict.fromkeys(KEYS, 10))
    for key in KEYS:
        (tmp_path / key).write_bytes(bytes(10))
    assert _prepare(tmp_path, MANIFEST, dict.fromkeys(KEYS, 10)) == []
    (tmp_path / KEYS[1]).write_bytes(bytes(length))
    assert _prepare(tmp_path, MANIFEST, dict.fromkeys(KEYS, 10)) == [KEYS[1]]


def test_a_full_disk_takes_no_part_of_a_manifest_and_is_no_miner_s_fault(tmp_path: Path) -> None:
    with tmpfs_of(tmp_path / "disk", "size=64k") as disk:
        folder = disk / "miner"
        fill(disk / "ballast")
        with pytest.raises(CacheUnwritable, match="No space left on device"):
            _prepare(folder, MANIFEST, dict.fromkeys(KEYS, 10))
        assert [path for path in folder.rglob("*") if path.is_file()] == []
        (disk / "ballast").unlink()
        _prepare(folder, MANIFEST, dict.fromkeys(KEYS, 10))
        assert (folder / "manifest.json").read_bytes() == MANIFEST
