"""An IO-Engine that cannot start: it says why and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gaia.contracts.errors import ConfigurationError, GaiaError
from gaia.protocol.keys import create_key_file
from gaia.validator.app.io_engine import IOEngine
from tests.support.small_world import validator_settings, write_archive
from tests.support.waiting import children_of

pytestmark = pytest.mark.processes

NO_SERVER = "postgresql://gaia@127.0.0.1:9/gaia"
"""The discard port, which no PostgreSQL listens on."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_archive(tmp_path / "archive")
    create_key_file(tmp_path / "validator.json")
    return tmp_path


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (None, "GAIA_HOTKEY_FILE is not set"),
        ("missing.json", r"there is no key file .*missing\.json"),
        ("validator.json", r"cannot reach the database gaia at 127\.0\.0\.1:9"),
    ],
)
async def test_an_engine_that_cannot_start_says_why_and_leaves_no_worker_behind(
    folder: Path, key: str | None, said: str
) -> None:
    before = set(children_of(os.getpid()))
    hotkey_file = None if key is None else folder / key
    engine = IOEngine(validator_settings(folder, NO_SERVER, hotkey_file), local_workers=1)
    with pytest.raises(GaiaError, match=said):
        await engine.start()
    assert set(children_of(os.getpid())) <= before
    await engine.close()


@pytest.mark.database
async def test_an_engine_without_a_source_of_truth_does_not_start(folder: Path, database_dsn: str) -> None:
    settings = validator_settings(folder, database_dsn, folder / "validator.json", truth=None)
    with pytest.raises(ConfigurationError, match="GAIA_TRUTH is not set"):
        async with IOEngine(settings):
            pass


def test_the_process_ends_with_status_2_and_one_line_for_a_setting_to_mend(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GAIA_") and k != "DATABASE_URL"}
    done = subprocess.run(
        [sys.executable, "-m", "gaia.validator.app.io_engine", "--ppid", str(os.getpid())],
        env={**environment, "GAIA_DATA_DIR": str(tmp_path), "GAIA_LOG_FORMAT": "xml"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "GAIA_LOG_FORMAT: Input should be 'json' or 'console'\n")


def test_the_process_goes_by_the_settings_on_its_stdin_and_not_by_the_environment(folder: Path) -> None:
    settings = validator_settings(folder, NO_SERVER, folder / "validator.json", truth=None)
    (folder / ".env").write_text("GAIA_LOG_FORMAT=xml\n")
    done = subprocess.run(
        [sys.executable, "-m", "gaia.validator.app.io_engine", "--ppid", str(os.getpid()), "--settings-on-stdin"],
        env={**os.environ, "GAIA_NO_SUCH_SETTING": "1"},
        input=msgspec.structs.replace(settings, hotkey_file=folder / "nothing.json").to_json(),
        cwd=folder,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"there is no key file {folder / 'nothing.json'}")
    assert done.stderr.count(b"\n") == 1
