"""When a disk counts as full, and that it is said once."""

from __future__ import annotations

from pathlib import Path

from gaia.validator.app.machine.disk_space import DiskSpace
from tests.support.disks import tmpfs_of

MIB = 1024 * 1024


class Said:
    """A log that remembers."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def info(self, event: str, **_: object) -> None:
        self.events.append(event)

    error = info


def test_a_disk_that_fills_is_short_until_there_is_room_to_spare(tmp_path: Path) -> None:
    said = Said()
    with tmpfs_of(tmp_path / "disk", "size=8m") as folder:
        disk = DiskSpace(folder, said, least_free_bytes=4 * MIB)
        assert not disk.look()
        (folder / "block").write_bytes(bytes(5 * MIB))
        assert [disk.look(), disk.look()] == [True, True]
        assert disk.free_bytes == 3 * MIB
        (folder / "block").write_bytes(bytes(4 * MIB))
        assert disk.look()  # 4 MiB are free: at the border it would start and stop with every file
        (folder / "block").write_bytes(bytes(3 * MIB))
        assert not disk.look()
    assert said.events == ["data_folder_full", "data_folder_has_room"]


def test_a_disk_without_inodes_is_full_however_many_bytes_are_free(tmp_path: Path) -> None:
    said = Said()
    with tmpfs_of(tmp_path / "disk", "size=8m,nr_inodes=900") as folder:
        assert DiskSpace(folder, said, least_free_bytes=MIB).look()
    assert said.events == ["data_folder_full"]


def test_a_folder_that_cannot_be_asked_changes_nothing(tmp_path: Path) -> None:
    said = Said()
    disk = DiskSpace(tmp_path / "nothing", said)
    assert not disk.look()
    assert disk.free_bytes is None
    assert said.events == []
