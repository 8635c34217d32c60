"""The cache keeper: what it drops, and what it must leave."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gaia.validator.app.services.cache_keeper import CacheKeeper
from tests.support.clock import ManualClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def keeper(folder: Path, limit_bytes: int) -> CacheKeeper:
    return CacheKeeper(folder, forecast_limit_bytes=limit_bytes, clock=ManualClock(NOW))


def write(path: Path, size_bytes: int, *, age_s: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size_bytes))
    modified_s = NOW.timestamp() - age_s
    os.utime(path, (modified_s, modified_s))
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_the_oldest_chunks_go_until_a_tenth_is_free(cache: Path) -> None:
    chunks = [write(cache / f"forecasts/run/key/z/c/{n}/0/0", 100, age_s=1000 - n) for n in range(10)]
    report = keeper(cache, 500).keep()
    assert [chunk.exists() for chunk in chunks] == [False] * 6 + [True] * 4
    assert (report.kept_bytes, report.dropped_files) == (400, 6)


def test_within_the_bound_nothing_goes(cache: Path) -> None:
    chunk = write(cache / "forecasts/run/key/z/c/0/0/0", 100, age_s=10**6)
    assert keeper(cache, 100).keep().dropped_files == 0
    assert chunk.exists()


def test_manifests_and_decoded_fields_are_not_counted(cache: Path) -> None:
    manifest = write(cache / "forecasts/run/key/manifest.json", 1000, age_s=10**6)
    fields = write(cache / "fields/truth/20170101T00Z/ab/data.f32", 1000, age_s=10**6)
    assert keeper(cache, 100).keep().dropped_files == 0
    assert manifest.exists()
    assert fields.exists()


def test_old_drafts_are_swept_and_young_ones_left(cache: Path) -> None:
    old_part = write(cache / "forecasts/run/key/z/c/.0.a1b2.part", 10, age_s=7200)
    young_part = write(cache / "forecasts/run/key/z/c/.1.a1b2.part", 10, age_s=60)
    old_store = write(cache / "fields/truth/.20170101T00Z.ffff.tmp/data.f32", 10, age_s=7200).parent
    os.utime(old_store, (NOW.timestamp() - 7200,) * 2)
    assert keeper(cache, 1000).keep().swept == 2
    assert not old_part.exists()
    assert young_part.exists()
    assert not old_store.exists()


def test_a_cache_that_does_not_exist_yet_is_fine(cache: Path) -> None:
    assert keeper(cache, 1000).keep().kept_bytes == 0


async def test_the_service_goes_on_round_after_round(cache: Path) -> None:
    clock = ManualClock(NOW)
    service = CacheKeeper(cache, forecast_limit_bytes=50, clock=clock)
    running = asyncio.create_task(service.run())
    await clock.until_asleep()
    chunk = write(cache / "forecasts/run/key/z/c/0/0/0", 100, age_s=0)
    await clock.advance(60.0)
    await clock.until_asleep()
    assert not chunk.exists()
    running.cancel()
