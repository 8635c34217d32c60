"""The child process: what it reads, what it writes, and how it is ended."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from gaia.miner.forecasting.forecast_child import attempt
from gaia.miner.forecasting.forecast_job import JOB_NAME, RESULT_NAME, STORE_NAME, ForecastJob, ForecastResult
from gaia.miner.forecasting.forecast_process import _result_of, compute
from gaia.miner.model_choice import ModelChoice
from tests.integration.miner_world import INIT, SPEC, write_archive


@pytest.fixture
def job(tmp_path: Path) -> ForecastJob:
    write_archive(tmp_path / "archive")
    return ForecastJob(
        model=ModelChoice(name="persistence"),
        analysis=f"archive:{tmp_path / 'archive'}",
        climatology=None,
        spec=SPEC,
        init_time=INIT,
    )


async def test_a_forecast_comes_back_as_digests_of_a_whole_store(job: ForecastJob, tmp_path: Path) -> None:
    result = await compute(job, tmp_path / "run" / "attempt", 60.0)
    assert result.error is None
    assert list(result.chunks) == [key for key, _, _ in SPEC.chunks()]
    for key, chunk in result.chunks.items():
        assert (tmp_path / "run" / "attempt" / STORE_NAME / key).stat().st_size == chunk.size_bytes
    assert 10 << 20 < result.peak_rss_bytes < 1 << 30


async def test_a_model_that_takes_too_long_is_killed(job: ForecastJob, tmp_path: Path) -> None:
    endless = msgspec.structs.replace(job, model=ModelChoice(name="tests.integration.odd_models:endless"))
    result = await compute(endless, tmp_path / "attempt", 0.5)
    assert result.error is not None
    assert result.error.code == "forecast_too_slow"
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    assert not [pid for pid in children if "forecast_child" in Path(f"/proc/{pid}/cmdline").read_text()]


def test_an_attempt_writes_down_what_came_of_it(job: ForecastJob, tmp_path: Path) -> None:
    (tmp_path / JOB_NAME).write_bytes(msgspec.json.encode(job))
    result = attempt(tmp_path)
    assert result.error is None
    assert msgspec.json.decode((tmp_path / RESULT_NAME).read_bytes(), type=ForecastResult) == result


@pytest.mark.parametrize("content", [None, b"", b'{"chunks": {', b'{"chunks": {"\xff": 1}}'])
def test_a_result_that_is_not_whole_is_that_of_a_process_that_died(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / RESULT_NAME).write_bytes(content)
    error = _result_of(tmp_path, -9).error
    assert error is not None
    assert error.code == "forecast_process_died"
    assert "ended with signal SIGKILL and no result" in error.message


@pytest.mark.parametrize(
    ("model", "code", "retryable"),
    [("broken", "model_failed", False), ("not_finite", "non_finite_value", False)],
)
def test_a_failure_is_data(job: ForecastJob, tmp_path: Path, model: str, code: str, retryable: bool) -> None:
    odd = msgspec.structs.replace(job, model=ModelChoice(name=f"tests.integration.odd_models:{model}"))
    (tmp_path / JOB_NAME).write_bytes(msgspec.json.encode(odd))
    error = attempt(tmp_path).error
    assert error is not None
    assert (error.code, error.retryable) == (code, retryable)
    assert not (tmp_path / STORE_NAME).exists()


def test_an_analysis_that_is_not_there_yet_can_be_tried_again(job: ForecastJob, tmp_path: Path) -> None:
    later = msgspec.structs.replace(job, init_time=INIT.replace(day=2))
    (tmp_path / JOB_NAME).write_bytes(msgspec.json.encode(later))
    error = attempt(tmp_path).error
    assert error is not None
    assert (error.code, error.retryable) == ("analysis_not_there", True)


def test_a_climatology_that_lacks_the_season_leaves_persistence(job: ForecastJob, tmp_path: Path) -> None:
    seasonless = msgspec.structs.replace(job, climatology=job.analysis, model=ModelChoice(name="climatology"))
    (tmp_path / JOB_NAME).write_bytes(msgspec.json.encode(seasonless))
    persisted = tmp_path / "persisted"
    persisted.mkdir()
    (persisted / JOB_NAME).write_bytes(msgspec.json.encode(job))
    assert attempt(tmp_path).chunks == attempt(persisted).chunks
