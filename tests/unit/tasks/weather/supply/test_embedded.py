"""The embedded archive: its layout, its content, and that it appears whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from gaia.protocol.run_spec import FieldId, GridSpec, RunSpec, VariableSpec
from gaia.simulation.structure import ChartMaker, UnknownField
from gaia.simulation.twin import twin_forecast
from gaia.tasks.defined_tasks.weather.files.archive import SourceRole, archive_store
from gaia.tasks.defined_tasks.weather.files.store.flat_store import FlatStore
from gaia.tasks.defined_tasks.weather.supply.catalogue import parse_source
from gaia.tasks.defined_tasks.weather.supply.embedded import ArchiveUnwritable, build_archive

INIT = datetime(2024, 2, 28, 12, tzinfo=UTC)
SPEC = RunSpec(
    variables=(VariableSpec(name="z", levels_hpa=(500, 850)), VariableSpec(name="2t")),
    lead_h=(12, 24),
    scored_lead_h=(24,),
    gate_lead_h=12,
    grid=GridSpec.global_grid(4.0),
)
Z500 = FieldId("z", 500)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("embedded") / "data" / "archive"
    build_archive(path, SPEC, INIT, 5)
    return path


def read(archive: Path, role: SourceRole, lead_h: int, field: FieldId = Z500) -> np.ndarray:
    place = archive_store(archive, role, valid_time=INIT + timedelta(hours=lead_h), init_time=INIT, lead_h=lead_h)
    return FlatStore(place).read(field).astype(np.float64)


def rmse(a: np.ndarray, b: np.ndarray) -> float:
    area = np.cos(np.deg2rad(np.linspace(90, -90, a.shape[0])))
    return float(np.sqrt((((a - b) ** 2).mean(axis=1) * area).sum() / area.sum()))


def test_layout_is_the_agreed_one(archive: Path) -> None:
    stores = sorted(str(p.parent.relative_to(archive)) for p in archive.rglob("fields.json"))
    days = ("0228T06Z", "0228T12Z", "0229T00Z", "0229T12Z")
    assert stores == [
        *(f"climatology/{day}" for day in days),
        "reference/20240228T12Z/012h",
        "reference/20240228T12Z/024h",
        *(f"truth/2024{day}" for day in days),
    ]
    header = json.loads((archive / "archive.json").read_text())
    assert header["format"] == "gaia-archive/1"
    assert header["seed"] == 5
    assert header["init_time"] == "2024-02-28T12:00:00Z"
    assert header["fields"] == [["z", 500], ["z", 850], ["2t", None]]
    assert parse_source(str(archive)).format == "archive"


def test_summary_counts_the_stores(archive: Path) -> None:
    assert build_archive(archive, SPEC, INIT, 5).stores == 10


def test_truth_changes_and_climatology_does_not(archive: Path) -> None:
    assert rmse(read(archive, SourceRole.TRUTH, 0), read(archive, SourceRole.TRUTH, 24)) > 200
    np.testing.assert_array_equal(read(archive, SourceRole.CLIMATOLOGY, -6), read(archive, SourceRole.CLIMATOLOGY, 24))


def test_reference_is_better_than_climatology_and_far_from_perfect(archive: Path) -> None:
    truth = read(archive, SourceRole.TRUTH, 24)
    reference = rmse(read(archive, SourceRole.REFERENCE, 24), truth)
    assert 100 < reference < 0.6 * rmse(read(archive, SourceRole.CLIMATOLOGY, 24), truth)


def test_a_miner_that_knows_the_state_forecasts_the_archive_s_truth(archive: Path) -> None:
    maker = ChartMaker(SPEC.grid)
    initial = maker.streamfunction(read(archive, SourceRole.TRUTH, 0).astype(np.float32), 500)
    state = twin_forecast(initial, [24], truncation=42, initial_error=0.0, seed=0)[0]
    assert np.abs(maker.charts(state, [Z500])[0] - read(archive, SourceRole.TRUTH, 24)).max() < 1.0


def test_store_carries_its_time_and_origin(archive: Path) -> None:
    store = FlatStore(archive / "truth" / "20240229T12Z")
    assert store.valid_time == INIT + timedelta(hours=24)
    assert store.grid == SPEC.grid
    assert "seed 5" in store.header.source


def test_building_again_changes_nothing(archive: Path) -> None:
    before = (archive / "truth" / "20240229T12Z" / "data.f32").stat()
    build_archive(archive, SPEC, INIT, 5)
    assert (archive / "truth" / "20240229T12Z" / "data.f32").stat() == before


def test_archive_of_another_run_is_not_overwritten(archive: Path) -> None:
    with pytest.raises(ArchiveUnwritable, match="another run"):
        build_archive(archive, SPEC, INIT, 6)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_an_archive_whose_header_was_cut_short_is_refused_with_the_fix_and_left_alone(
    archive: Path, share: float
) -> None:
    header = archive / "archive.json"
    whole = header.read_bytes()
    header.write_bytes(whole[: int(share * len(whole))])
    try:
        with pytest.raises(ArchiveUnwritable, match=r"is damaged; choose another place, or delete it"):
            build_archive(archive, SPEC, INIT, 5)
    finally:
        header.write_bytes(whole)


def test_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArchiveUnwritable, match="not an archive"):
        build_archive(tmp_path / "file", SPEC, INIT, 5)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_place_without_a_folder_is_an_error_with_its_cause(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveUnwritable, match=r"cannot write the archive .*: File exists"):
        build_archive(tmp_path / "file" / "archive", SPEC, INIT, 5)


@pytest.mark.slow
def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    impossible = msgspec.structs.replace(SPEC, variables=(VariableSpec(name="2t", levels_hpa=(500,)),))
    with pytest.raises(UnknownField, match="2t500"):
        build_archive(tmp_path / "archive", impossible, INIT, 5)
    assert not list(tmp_path.iterdir())


def test_two_builders_do_not_mix(tmp_path: Path) -> None:
    busy = tmp_path / ".archive.building"
    busy.mkdir()
    descriptor = os.open(busy, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(ArchiveUnwritable, match="another process"):
            build_archive(tmp_path / "archive", SPEC, INIT, 5)
        assert busy.exists()
    finally:
        os.close(descriptor)


_BUILD_AND_DIE = """
import os, signal, sys
from pathlib import Path
from gaia.tasks.defined_tasks.weather.supply import embedded
from tests.unit.tasks.weather.supply.test_embedded import INIT, SPEC
write, written = embedded.write_flat_store, []
def write_then_die(*args, **kwargs):
    write(*args, **kwargs)
    written.append(args)
    if len(written) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
embedded.write_flat_store = write_then_die
embedded.build_archive(Path(sys.argv[1]), SPEC, INIT, 5)
"""


@pytest.mark.slow
def test_a_killed_build_leaves_no_archive_and_the_next_one_succeeds(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "archive"
    killed = subprocess.run([sys.executable, "-c", _BUILD_AND_DIE, str(path)], check=False, timeout=100, cwd=Path.cwd())
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    assert list((tmp_path / ".archive.building").rglob("data.f32"))
    build_archive(path, SPEC, INIT, 5)
    assert [p.name for p in tmp_path.iterdir()] == ["archive"]
    np.testing.assert_array_equal(read(path, SourceRole.TRUTH, 24), read(archive, SourceRole.TRUTH, 24))
