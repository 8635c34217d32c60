"""One owner a data folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gaia.contracts.errors import ConfigurationError
from gaia.validator.app.supervision.run_folder import DataFolderInUse, RunFolder
from gaia.validator.utils.settings import Settings
from tests.support.disks import fill, tmpfs_of


def test_a_folder_has_one_owner_until_that_lets_go(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    refused = pytest.raises(DataFolderInUse, match=rf"pid {os.getpid()}.*GAIA_DATA_DIR")
    with RunFolder(settings), refused, RunFolder(settings):
        pass
    with RunFolder(settings) as again:
        assert again.metrics_port_file == tmp_path / "data" / "run" / "metrics.port"


def test_others_may_pass_through_the_data_folder_but_not_enter_the_run_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with RunFolder(settings):
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o711
        assert stat.S_IMODE((tmp_path / "data" / "run").stat().st_mode) == 0o700


def test_sockets_and_their_folders_do_not_outlast_the_owner_even_outside_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / ("long" * 30))
    folder = settings.engine_socket.parent
    assert tmp_path not in folder.parents
    with RunFolder(settings):
        folder.mkdir(mode=0o700)
        settings.engine_socket.touch()
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigurationError, match="GAIA_DATA_DIR"),
        RunFolder(Settings(data_dir=tmp_path / "file" / "data")),
    ):
        pass


def test_the_port_of_metrics_is_written_whole_and_goes_with_its_owner(tmp_path: Path) -> None:
    with RunFolder(Settings(data_dir=tmp_path)) as folder:
        folder.metrics_port_file.write_text("1234\n", encoding="ascii")  # of a supervisor that was killed
        folder.tell_metrics_port(9464)
        assert folder.metrics_port_file.read_text(encoding="ascii") == "9464\n"
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.port"]
    assert not folder.metrics_port_file.exists()


def test_on_a_full_disk_the_folder_still_has_one_owner_and_no_port_is_told_by_half(tmp_path: Path) -> None:
    with tmpfs_of(tmp_path / "disk", "size=64k") as disk:
        settings = Settings(data_dir=disk / "data")
        for name in ("run", "cache"):
            (disk / "data" / name).mkdir(parents=True)
        fill(disk / "ballast")
        with RunFolder(settings) as folder:
            folder.metrics_port_file.touch()  # of a supervisor that was killed
            with pytest.raises(OSError, match="No space left"):
                folder.tell_metrics_port(9464)
            assert list((disk / "data" / "run").iterdir()) == []
            with pytest.raises(DataFolderInUse, match=r"pid unknown"), RunFolder(settings):
                pass
