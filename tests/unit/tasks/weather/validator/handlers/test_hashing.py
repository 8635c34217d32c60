"""The two integrity handlers, called as a worker calls them: plain payload in, plain result out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from blake3 import blake3

from gaia.contracts.errors import Fault
from gaia.tasks.defined_tasks.weather.files.confined_file import UnsafePath
from gaia.tasks.defined_tasks.weather.forecast.forecast_store import LeadNotInRun
from gaia.tasks.defined_tasks.weather.validator.handlers.hashing import (
    FileUnreadable,
    WrongForecast,
    handle_hash_compute,
    handle_verify,
)
from gaia.tasks.defined_tasks.weather.validator.handlers.verify_payloads import HashResult, VerifyResult
from tests.support.small_forecast import SPEC, small_forecast, smooth_field


def test_digest_of_empty_input_is_the_published_one(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    result = msgspec.convert(_hash(tmp_path, "empty"), HashResult)
    # https://github.com/BLAKE3-team/BLAKE3/blob/master/test_vectors/test_vectors.json, input_len 0
    published = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    assert result.digests["empty"].blake3 == published
    assert result.digests["empty"].size_bytes == 0


def test_long_file_is_digested_piece_by_piece_as_a_whole(tmp_path: Path) -> None:
    content = np.random.default_rng(1).bytes(3 * (1 << 20) + 17)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "long").write_bytes(content)
    (tmp_path / "short").write_bytes(b"short")
    result = msgspec.convert(_hash(tmp_path, "a/long", "short"), HashResult)
    assert result.digests["a/long"].blake3 == blake3(content).hexdigest()
    assert result.digests["a/long"].size_bytes == len(content)
    assert result.digests["short"].blake3 == blake3(b"short").hexdigest()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../secret", "a/../../secret", "/etc/passwd", "a//b", "./a", "a/.", "a\0b", "a/"]
)
def test_name_that_leaves_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    with pytest.raises(UnsafePath):
        _hash(folder, name)


def test_links_and_what_is_no_file_are_refused_without_waiting(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path, target_is_directory=True)
    (folder / "sub").mkdir()
    os.mkfifo(folder / "pipe")
    for name in ("link", "up/secret", "sub", "pipe"):
        with pytest.raises(UnsafePath):
            _hash(folder, name)


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match=r"'absent' in .* cannot be read: No such file") as refused:
        _hash(tmp_path, "absent")
    assert refused.value.retryable


def test_honest_forecast_is_verified_whole(tmp_path: Path) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    result = msgspec.convert(handle_verify(forecast.payload()), VerifyResult)
    assert result.chunk_count == 6
    assert result.encoded_bytes == sum((forecast.path / key).stat().st_size for key in forecast.manifest.chunks)
    everything = {
        name: np.stack([smooth_field(field, lead) for _, field, lead in SPEC.chunks() if field.variable == name])
        for name in ("2t", "z")
    }
    for found in result.ranges:
        values = everything.pop(found.variable)
        assert (found.minimum, found.maximum) == (float(values.min()), float(values.max()))
        assert found.unit == {"2t": "K", "z": "m2 s-2"}[found.variable]
    assert not everything


def test_single_lead_needs_only_its_own_chunks(tmp_path: Path) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    for key, _, lead in SPEC.chunks():
        if lead == 24:
            (forecast.path / key).unlink()
    assert handle_verify(forecast.payload(lead_h=[12]))["chunk_count"] == 3


def test_lead_outside_the_run_is_refused_instead_of_verifying_nothing(tmp_path: Path) -> None:
    with pytest.raises(LeadNotInRun):
        handle_verify(small_forecast(tmp_path / "forecast").payload(lead_h=[36]))


@pytest.mark.parametrize("changes", [{"hotkey": "5Other"}, {"run_id": "sn57-weather-20170102T00Z"}])
def test_forecast_of_another_miner_or_run_is_our_fault(tmp_path: Path, changes: dict[str, str]) -> None:
    with pytest.raises(WrongForecast) as refused:
        handle_verify(small_forecast(tmp_path / "forecast").payload(**changes))
    assert refused.value.fault is Fault.VALIDATOR


def test_results_can_cross_the_channel(tmp_path: Path) -> None:
    forecast = small_forecast(tmp_path / "forecast")
    for result in (handle_verify(forecast.payload()), _hash(forecast.path, "manifest.json")):
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(result))


def _hash(folder: Path, *names: str) -> dict[str, Any]:
    return handle_hash_compute({"folder": str(folder), "files": list(names)})
